"""What clients get of a vLLM's answers, whatever it does itself."""

import asyncio
import json

import pytest
from fake_vllm import Heard, a_front


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
