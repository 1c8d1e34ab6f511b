"""What clients, probes and gateways see of a vLLM, whatever it does itself."""

import asyncio
import json
from typing import Any

import pytest
from fake_vllm import OPEN_IN_VLLM, FakeVllm, Heard, a_front

from berth_api.artifact import Task
from berth_api.http_api import posted_paths, read_document
from berth_api.openai_errors import MAX_BODY_BYTES
from berth_runtime.vllm import middleware
from berth_runtime.vllm.link import Word

Json = dict[str, Any]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "PROVE_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(middleware, "LOOK_SECONDS", 0.01)


async def test_it_is_ready_only_once_a_token_was_seen() -> None:
    vllm = FakeVllm(proof_fails=10**6)
    async with a_front(vllm, wait_ready=False) as served:
        await served.eventually(lambda: len(vllm.asked) > 2)
        ready, chat = await served.ask("/health/ready"), await served.chat()
        assert (ready.status, ready.code) == (503, "model_loading")
        assert (chat.status, chat.code) == (503, "model_loading")
        assert chat.headers["retry-after"] == "5"
        assert "/opt" not in ready.body.decode(), "no path of the image"
        assert (await served.ask("/health/live")).status == 200
        (model,) = (await served.ask("/status")).json["models"]
        assert (model["state"], model["engine"]) == ("Loading", "VLLM")
        assert Word.READY not in served.words
        vllm._proof_fails = 0
        await served.eventually(lambda: Word.READY in served.words)
        assert (await served.ask("/health/ready")).status == (await served.ask("/health")).status == 200


@pytest.mark.parametrize(
    ("task", "path"), [(Task.CHAT, "/v1/completions"), (Task.EMBEDDING, "/v1/embeddings"), (Task.RERANK, "/rerank")]
)
async def test_the_proof_is_work_of_the_models_own_kind(task: Task, path: str) -> None:
    vllm = FakeVllm(proof_fails=1)
    async with a_front(vllm, task=task, wait_ready=False) as served:
        await served.eventually(lambda: Word.READY in served.words)
        assert [asked for asked, _ in vllm.asked] == [path, path]


async def test_status_has_the_form_of_every_runtime() -> None:
    async with a_front(FakeVllm(places=7)) as served:
        (model,) = (await served.ask("/status")).json["models"]
    assert {stage["name"] for stage in model.pop("stages")} == {"Loaded", "Answered"}
    assert model == {
        "name": "qwen",
        "engine": "VLLM",
        "task": "Chat",
        "format": "Safetensors",
        "state": "Ready",
        "message": "",
        "restarts": 0,
        "retryInSeconds": None,
        "inFlight": 0,
        "queued": 0,
        "contextLength": 2048,
        "parallelRequests": 7,
    }


async def test_a_chat_is_answered_whole() -> None:
    async with a_front() as served:
        heard = await served.chat("words=2", model="qwen", temperature=0.5)
        assert (heard.status, heard.ended) == (200, True)
        assert heard.json["choices"][0]["message"]["content"] == "w0 w1"
        ((path, body),) = served.vllm.asked
    assert (path, body["model"], body["temperature"]) == ("/v1/chat/completions", "qwen", 0.5)


async def test_a_chat_is_streamed_to_its_done() -> None:
    async with a_front() as served:
        heard = await served.chat("words=2", stream=True)
    assert [json.loads(one)["choices"][0]["delta"]["content"] for one in heard.events[:-1]] == ["w0", "w1"]
    assert (heard.events[-1], heard.ended, heard.status) == ("[DONE]", True, 200)
    assert heard.headers["content-type"].startswith("text/event-stream")
    assert heard.headers["x-accel-buffering"] == "no"


async def test_the_gateways_name_wins_over_the_clients() -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
    async with a_front() as served:
        heard = await served.ask("/v1/chat/completions", body, headers={"x-berth-model": "qwen"})
        assert heard.json["model"] == "qwen"
        assert served.vllm.asked[0][1]["model"] == "qwen"
        refused = await served.ask("/v1/chat/completions", body)
        assert (refused.status, refused.code) == (404, "model_not_found")
        wrong = await served.ask("/v1/chat/completions", {**body, "model": "qwen"}, headers={"x-berth-model": "other"})
        assert (wrong.status, wrong.code) == (404, "model_not_found")


@pytest.mark.parametrize("path", sorted(OPEN_IN_VLLM - {"/metrics"} | {"/", "/ping", "/version", "/v1/responses"}))
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_nothing_else_of_vllms_own_is_reached(path: str, method: str) -> None:
    async with a_front() as served:
        heard = await served.ask(path, {}, method=method)
        assert (heard.status, heard.code) == (404, "unknown_url")
        assert served.vllm.asked == []


async def test_every_address_of_the_document_is_there_and_does_what_the_model_can() -> None:
    async with a_front() as served:
        assert (await served.ask("/openapi.json")).body == read_document()
        for path in posted_paths():
            heard = await served.ask(path, {"model": "qwen"})
            assert (heard.status, heard.code) != (404, "unknown_url"), path
        refused = await served.ask("/v1/images/detect", {"image": "x"})
        assert (refused.status, refused.code) == (404, "operation_not_supported")
        assert served.vllm.asked == []


async def test_apis_of_others_are_named() -> None:
    async with a_front() as served:
        assert "Responses API is not served here" in (await served.ask("/v1/responses", {})).body.decode()


@pytest.mark.parametrize(
    ("path", "method", "allowed"), [("/v1/completions", "GET", "POST"), ("/status", "POST", "GET, HEAD")]
)
async def test_another_method_is_refused(path: str, method: str, allowed: str) -> None:
    async with a_front() as served:
        heard = await served.ask(path, {}, method=method)
    assert (heard.status, heard.code, heard.headers["allow"]) == (405, "method_not_allowed", allowed)


async def test_a_websocket_is_closed() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async with a_front() as served:
        await served.front({"type": "websocket", "path": "/v1/realtime"}, send, send)  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid_json"),
        (b"[]", "invalid_json"),
        ({"messages": []}, "invalid_value"),
        ({"messages": [{"role": "user", "content": "x"}], "n": 99}, "invalid_value"),
        ({"messages": [{"role": "user", "content": "x"}], "tools": [{}]}, "invalid_value"),
        ({"messages": [{"role": "user", "content": "x"}], "echo": True, "audio": {}}, "unsupported_parameter"),
    ],
)
async def test_a_bad_request_never_reaches_vllm(body: Json | bytes, code: str) -> None:
    async with a_front() as served:
        heard = await served.ask("/v1/chat/completions", body)
        assert (heard.status, heard.code) == (400, code)
        assert served.vllm.asked == []


async def test_no_request_makes_vllm_fetch_a_picture() -> None:
    part = {"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}
    async with a_front() as served:
        heard = await served.ask("/v1/chat/completions", {"messages": [{"role": "user", "content": [part]}]})
        assert (heard.status, heard.code) == (400, "unsupported_content")
        assert served.vllm.asked == []


async def test_what_nobody_knows_is_left_out_and_named() -> None:
    async with a_front() as served:
        heard = await served.chat(request_id="mine", kv_transfer_params={"do_remote_prefill": True}, chat_template="x")
        assert heard.headers["x-berth-ignored-parameters"] == "request_id, kv_transfer_params, chat_template"
        assert set(served.vllm.asked[0][1]) == {"messages", "model"}


async def test_headers_of_clients_do_not_reach_vllm() -> None:
    async with a_front() as served:
        body = {"prompt": "x"}
        await served.ask("/v1/completions", body, headers={"x-request-id": "1", "x-data-parallel-rank": "3"})
        assert set(served.vllm.headers[0]) == {b"content-type", b"content-length"}


@pytest.mark.parametrize(("tools", "status"), [(True, 200), (False, 400)])
async def test_tools_are_taken_where_vllm_reads_calls(tools: bool, status: int) -> None:
    function = {"type": "function", "function": {"name": "weather"}}
    async with a_front(tools=tools) as served:
        assert (await served.chat(tools=[function])).status == status


async def test_a_body_that_is_too_large_is_refused() -> None:
    async with a_front() as served:
        told = await served.ask("/v1/completions", b"x", headers={"content-length": str(MAX_BODY_BYTES + 1)})
        sent = await served.ask("/v1/completions", b"x" * (MAX_BODY_BYTES + 1))
    assert told.status == sent.status == 413
    assert told.code == "request_too_large"


@pytest.mark.parametrize(
    ("orders", "status", "code"),
    [
        ("error=400 message=Bad_thing param=temperature", 400, "invalid_request"),
        ("error=422 message=Bad_thing", 400, "invalid_request"),
        ("error=400 message=This_model's_maximum_context_length_is_5_tokens", 400, "context_length_exceeded"),
        ("error=501 message=no", 404, "operation_not_supported"),
        ("error=503 message=no", 503, "model_unavailable"),
        ("error=500 message=at_/opt/vllm/x.py", 500, "engine_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_vllms_errors_come_in_our_form(orders: str, status: int, code: str, *, stream: bool) -> None:
    async with a_front() as served:
        heard = await served.chat(orders, stream=stream)
    assert (heard.status, heard.code, heard.ended) == (status, code, True)
    assert set(heard.json["error"]) == {"message", "type", "param", "code"}
    assert "/opt" not in heard.body.decode()


@pytest.mark.parametrize(
    ("order", "status"), [("fail_at=0", 500), ("abort_at=0", 500), ("stop_at=0", 500), ("raise_at=0", 500)]
)
async def test_a_stream_that_fails_before_its_first_event_is_a_status(order: str, status: int) -> None:
    async with a_front() as served:
        heard = await served.chat(order, stream=True)
    assert (heard.status, heard.ended) == (status, True)
    assert heard.headers["content-type"] == "application/json"


@pytest.mark.parametrize("order", ["fail_at=1", "abort_at=1", "stop_at=1", "raise_at=1"])
async def test_a_stream_that_fails_later_is_never_taken_for_whole(order: str) -> None:
    async with a_front() as served:
        heard = await served.chat(order, stream=True)
    first, error = heard.events
    assert json.loads(first)["choices"]
    assert json.loads(error)["error"]["code"] in ("engine_error", "internal_error")
    assert not heard.ended, "the connection is cut"
    assert b"[DONE]" not in heard.body
    assert b"/opt" not in heard.body


async def test_the_head_waits_for_the_first_event() -> None:
    async with a_front() as served:
        heard = Heard()
        asking = asyncio.ensure_future(served.chat("hold=0", stream=True, heard=heard))
        await served.eventually(lambda: served.vllm.running == 1)
        assert heard.status == 0
        served.vllm.gate.set()
        await asking
    assert (heard.status, heard.ended) == (200, True)


async def test_a_client_that_leaves_ends_the_work() -> None:
    async with a_front() as served:
        heard, leaves = Heard(), asyncio.Event()
        asking = asyncio.ensure_future(served.chat("hold=1", stream=True, heard=heard, leaves=leaves))
        await heard.begun.wait()
        leaves.set()
        await asking
        assert (served.vllm.running, served.vllm.cancelled) == (0, 1)
        assert b'code="499"' in (await served.ask("/metrics")).body


async def test_generate_has_fewer_words() -> None:
    async with a_front() as served:
        heard = await served.ask("/generate", {"inputs": "words=2", "parameters": {"repetition_penalty": 1.5}})
        assert heard.json["text"] == "w0 w1"
        assert set(heard.json) == {"model", "text", "finish_reason", "usage"}
        path, body = served.vllm.asked[0]
        assert (path, body["repetition_penalty"]) == ("/v1/completions", 1.5)
        streamed = await served.ask("/generate", {"prompt": "words=2", "stream": True})
    assert streamed.events == ['{"text":"w0"}', '{"text":"w1"}', "[DONE]"]


async def test_embeddings_and_rerank_have_the_addresses_of_every_engine() -> None:
    async with a_front(task=Task.EMBEDDING) as served:
        for path in ("/v1/embeddings", "/embeddings"):
            heard = await served.ask(path, {"input": ["a"], "dimensions": 8})
            assert len(heard.json["data"][0]["embedding"]) == 8
        assert all("dimensions" not in body for _, body in served.vllm.asked)
        refused = await served.chat()
        assert (refused.status, refused.code) == (404, "operation_not_supported")
    async with a_front(task=Task.RERANK) as served:
        for path in ("/v1/rerank", "/v2/rerank", "/rerank"):
            heard = await served.ask(path, {"query": "a", "documents": ["b", {"text": "c"}], "top_n": 9})
            assert heard.json["results"] == [{"index": 0, "relevance_score": 0.5}]
            assert served.vllm.asked[-1] == (
                "/rerank",
                {"query": "a", "documents": ["b", "c"], "top_n": 2, "model": "qwen"},
            )
        asked = await served.ask("/rerank", {"query": "a", "documents": ["b"], "return_documents": True})
        assert asked.json["results"][0]["document"] == {"text": "b"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"documents": ["a"]}, "query"),
        ({"query": "a", "documents": []}, "documents"),
        ({"query": "a", "documents": ["a", 1]}, "documents[1]"),
        ({"query": "a", "documents": ["a"], "top_n": -1}, "top_n"),
    ],
)
async def test_a_bad_rerank_names_its_field(body: Json, param: str) -> None:
    async with a_front(task=Task.RERANK) as served:
        heard = await served.ask("/v1/rerank", body)
    assert (heard.status, heard.json["error"]["param"]) == (400, param)


async def test_models_are_listed_under_the_served_name() -> None:
    async with a_front() as served:
        (model,) = (await served.ask("/v1/models")).json["data"]
        assert model["id"] == (await served.ask("/v1/models/qwen")).json["id"] == "qwen"
        assert (await served.ask("/v1/models/qwem")).code == "model_not_found"
        assert (await served.ask("/v1/models", method="HEAD")).body == b""


async def test_metrics_are_ours_and_vllms() -> None:
    async with a_front() as served:
        await served.chat()
        text = (await served.ask("/metrics")).body.decode()
        assert 'berth_requests_total{code="200",endpoint="/v1/chat/completions",model="qwen"} 1.0' in text
        assert 'berth_generated_tokens_total{model="qwen"} 7.0' in text
        assert 'berth_model_state{model="qwen",state="Ready"} 1.0' in text
        assert "berth_time_to_first_event_seconds_count" in text
        assert 'vllm:prompt_tokens_total{model_name="m"} 5.0' in text
        served.vllm.metrics = b"vllm:prompt_tokens_total 9.0\nvllm:generation_tokens_total 7.0\n"
        assert 'berth_prompt_tokens_total{model="qwen"} 9.0' in (await served.ask("/metrics")).body.decode()


async def test_a_bounded_number_of_requests_waits_in_vllm() -> None:
    async with a_front(FakeVllm(places=1)) as served:
        asking = [asyncio.ensure_future(served.chat("hold=0")) for _ in range(5)]
        await served.eventually(lambda: served.vllm.running == 5)
        refused = await served.chat()
        assert (refused.status, refused.code) == (429, "overloaded")
        (model,) = (await served.ask("/status")).json["models"]
        assert (model["inFlight"], model["queued"]) == (1, 4)
        served.vllm.gate.set()
        assert {heard.status for heard in await asyncio.gather(*asking)} == {200}


async def test_draining_refuses_the_new_and_lets_the_old_finish() -> None:
    async with a_front() as served:
        heard = Heard()
        asking = asyncio.ensure_future(served.chat("hold=1", stream=True, heard=heard))
        await heard.begun.wait()
        served.supervisor.say(Word.DRAIN)
        await served.eventually(lambda: served.front._drain.draining)
        refused, ready = await served.chat(), await served.ask("/health/ready")
        assert (refused.status, refused.code, refused.headers["connection"]) == (503, "shutting_down", "close")
        assert refused.headers["retry-after"] == "1"
        assert (ready.status, (await served.ask("/health/live")).status) == (503, 200)
        assert (await served.ask("/status")).json["models"][0]["state"] == "Draining"
        assert Word.DRAINED not in served.words
        served.vllm.gate.set()
        await asking
        await served.eventually(lambda: Word.DRAINED in served.words)
    assert (heard.events[-1], heard.ended) == ("[DONE]", True)


async def test_at_the_end_of_the_drain_streams_get_an_error_event_and_plain_requests_a_status() -> None:
    async with a_front() as served:
        heard = Heard()
        streaming = asyncio.ensure_future(served.chat("hold=1", stream=True, heard=heard))
        plain = asyncio.ensure_future(served.chat("hold=0"))
        await heard.begun.wait()
        await served.eventually(lambda: served.vllm.running == 2)
        served.supervisor.say(Word.DRAIN)
        served.supervisor.say(Word.END)
        await streaming
        assert ((await plain).status, (await plain).code) == (503, "shutting_down")
        await served.eventually(lambda: Word.DRAINED in served.words)
        assert served.vllm.running == 0
    assert json.loads(heard.events[-1])["error"]["code"] == "shutting_down"
    assert not heard.ended
    assert b"[DONE]" not in heard.body


async def test_an_engine_that_dies_ends_everything_and_is_told() -> None:
    async with a_front() as served:
        heard = Heard()
        streaming = asyncio.ensure_future(served.chat("hold=1", stream=True, heard=heard))
        await heard.begun.wait()
        served.vllm.engine_client.errored = True
        await streaming
        assert json.loads(heard.events[-1])["error"]["code"] == "engine_died"
        assert not heard.ended
        assert (await served.ask("/health/ready")).status == 502
        await served.eventually(lambda: Word.DIED in served.words)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_request_that_meets_the_death_before_it_is_known_is_told_of_it(
    monkeypatch: pytest.MonkeyPatch, *, stream: bool
) -> None:
    """The gateway tries it elsewhere, which it does not do for an internal error."""
    monkeypatch.setattr(middleware, "LOOK_SECONDS", 60)
    async with a_front() as served:
        served.vllm.engine_client.errored = True
        heard = await served.chat("fail_at=0" if stream else "error=500", stream=stream)
    assert (heard.status, heard.code) == (502, "engine_died")


async def test_adapters_are_listed_and_asked_for_by_their_own_names() -> None:
    async with a_front(adapters=("sql", "poem")) as served:
        listed = (await served.ask("/v1/models")).json["data"]
        assert [model["id"] for model in listed] == ["qwen", "qwen:sql", "qwen:poem"]
        await served.chat("words=1", model="qwen:sql")
        assert served.vllm.asked[-1][1]["model"] == "qwen:sql"
        body = {"messages": [{"role": "user", "content": "words=1"}]}
        await served.ask("/v1/chat/completions", body)
        assert served.vllm.asked[-1][1]["model"] == "qwen", "without a name the model is meant"
        await served.ask("/v1/chat/completions", body, headers={"x-berth-model": "qwen:poem"})
        assert served.vllm.asked[-1][1]["model"] == "qwen:poem"


async def test_it_is_ready_only_once_every_adapter_has_answered() -> None:
    vllm = FakeVllm(proof_fails=1)
    async with a_front(vllm, adapters=("sql",), wait_ready=False) as served:
        await served.eventually(lambda: Word.READY in served.words)
        assert [body["model"] for _, body in vllm.asked] == ["qwen", "qwen", "qwen:sql"]


async def test_an_adapter_that_the_gateway_knows_and_this_pod_does_not_is_still_to_come() -> None:
    body = {"model": "qwen:sql", "messages": [{"role": "user", "content": "words=1"}]}
    async with a_front() as served:
        heard = await served.ask("/v1/chat/completions", body, headers={"x-berth-model": "qwen:sql"})
        assert (heard.status, heard.code, heard.headers["retry-after"]) == (503, "model_loading", "5")
        heard = await served.ask("/v1/chat/completions", body)
        assert (heard.status, heard.code) == (404, "model_not_found")
