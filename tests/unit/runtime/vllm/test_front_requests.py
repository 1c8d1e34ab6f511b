"""Which requests reach a vLLM, and as what."""

from typing import Any

import pytest
from chat_answers import read_events
from fake_vllm import OPEN_IN_VLLM, a_front

from berth_api.artifact import Task
from berth_api.http_api import posted_paths, read_document
from berth_api.openai_errors import MAX_BODY_BYTES

Json = dict[str, Any]


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


@pytest.mark.parametrize(
    "path", sorted(OPEN_IN_VLLM - {"/metrics"} | {"/", "/ping", "/version", "/v1/responses/resp_1"})
)
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
            assert b"There is nothing at" not in heard.body, path
        refused = await served.ask("/v1/images/detect", {"image": "x"})
        assert (refused.status, refused.code) == (404, "operation_not_supported")
        assert served.vllm.asked == []


async def test_what_of_other_apis_is_not_served_is_named() -> None:
    async with a_front() as served:
        assert "Answers are not kept here" in (await served.ask("/v1/responses/resp_1", method="GET")).body.decode()
        heard = await served.ask("/v1/messages/count_tokens", {})
    assert (heard.status, heard.json["type"], heard.json["error"]["type"]) == (404, "error", "not_found_error")


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages"])
async def test_chats_in_the_words_of_other_apis_are_chats_of_vllm(path: str) -> None:
    said = [{"role": "user", "content": "words=2"}]
    body = {"max_tokens": 5, "messages": said} if path == "/v1/messages" else {"max_output_tokens": 5, "input": said}
    async with a_front() as served:
        heard = await served.ask(path, {**body, "unheard_of": 1}, headers={"x-berth-model": "qwen"})
        assert (heard.status, heard.headers["x-berth-ignored-parameters"]) == (200, "unheard_of")
        output = heard.json["content"] if path == "/v1/messages" else heard.json["output"][0]["content"]
        assert [part["text"] for part in output] == ["w0 w1"]
        assert served.vllm.asked == [("/v1/chat/completions", {"messages": said, "max_tokens": 5, "model": "qwen"})]
        streamed = await served.ask(path, {**body, "stream": True})
    events = read_events(streamed.body)
    assert events[-1]["type"] == ("message_stop" if path == "/v1/messages" else "response.completed")
    assert sum(event["type"] in ("content_block_delta", "response.output_text.delta") for event in events) == 2
    assert streamed.ended


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages"])
@pytest.mark.parametrize("orders", ["error=400 message=Too_hot param=max_tokens", "fail_at=1", "stop_at=1"])
async def test_what_vllm_fails_at_is_said_in_the_words_of_the_api(path: str, orders: str) -> None:
    said = [{"role": "user", "content": orders}]
    body = {"max_tokens": 5, "messages": said} if path == "/v1/messages" else {"max_output_tokens": 5, "input": said}
    async with a_front() as served:
        heard = await served.ask(path, {**body, "stream": True})
    if "error" in orders:
        assert heard.status == 400
        error = heard.json["error"]
        if path == "/v1/messages":
            assert error == {"type": "invalid_request_error", "message": "Too hot"}
        else:
            assert (error["param"], error["message"]) == ("max_output_tokens", "Too hot")
    else:
        assert read_events(heard.body)[-1]["type"] == ("error" if path == "/v1/messages" else "response.failed")
        assert not heard.ended


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages"])
async def test_another_api_has_no_way_past_the_guards(path: str) -> None:
    async with a_front(task=Task.EMBEDDING) as served:
        heard = await served.ask(path, {"model": "qwen"})
        assert heard.status == 404
        assert "does not serve chat requests" in heard.json["error"]["message"]
        heard = await served.ask(path, {"model": "other"})
        assert heard.status == 404
        assert "'other' does not exist" in heard.json["error"]["message"]
        assert served.vllm.asked == []


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


async def test_an_adapter_that_the_gateway_knows_and_this_pod_does_not_is_still_to_come() -> None:
    body = {"model": "qwen:sql", "messages": [{"role": "user", "content": "words=1"}]}
    async with a_front() as served:
        heard = await served.ask("/v1/chat/completions", body, headers={"x-berth-model": "qwen:sql"})
        assert (heard.status, heard.code, heard.headers["retry-after"]) == (503, "model_loading", "5")
        heard = await served.ask("/v1/chat/completions", body)
        assert (heard.status, heard.code) == (404, "model_not_found")
