"""How a vLLM stands, from its first token to its drain or death, as probes, dashboards and its supervisor see it."""

import asyncio
import json

import pytest
from fake_vllm import FakeVllm, Heard, a_front

from berth_api.artifact import Task
from berth_runtime.vllm import middleware
from berth_runtime.vllm.link import Word


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


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "in another pod"])
async def test_an_engine_that_dies_ends_everything_and_is_told(*, elsewhere: bool) -> None:
    async with a_front() as served:
        heard = Heard()
        streaming = asyncio.ensure_future(served.chat("hold=1", stream=True, heard=heard))
        await heard.begun.wait()
        if elsewhere:
            served.supervisor.say(Word.LOST)
        else:
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


async def test_it_is_ready_only_once_every_adapter_has_answered() -> None:
    vllm = FakeVllm(proof_fails=1)
    async with a_front(vllm, adapters=("sql",), wait_ready=False) as served:
        await served.eventually(lambda: Word.READY in served.words)
        assert [body["model"] for _, body in vllm.asked] == ["qwen", "qwen", "qwen:sql"]
