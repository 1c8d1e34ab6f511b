"""The way out: what runs may end, what is new goes elsewhere, what overruns is told so."""

import asyncio
from pathlib import Path

from runtime_server import RunningServer, a_fake_model, eventually, read_stream, serve_fakes

PATIENT_SECONDS = 60.0


async def test_what_runs_may_end_while_new_work_is_refused(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with (
        serve_fakes(drain_timeout_seconds=PATIENT_SECONDS) as running,
        running.chat(f"words=10 hold_at=1 until={gate}", stream=True) as response,
    ):
        await response.content.readany()
        stopping = asyncio.create_task(running.server.stop())
        await draining(running)

        async with running.session.get(f"{running.base_url}/health/ready") as ready:
            assert ready.status == 503
        async with running.session.get(f"{running.base_url}/health/live") as live:
            assert live.status == 200
        assert (await running.status())["state"] == "Draining"
        async with running.chat("words=1") as refused:
            assert refused.status == 503
            assert refused.headers["retry-after"] == "1"
            assert refused.headers["connection"] == "close"
            assert (await refused.json())["error"]["code"] == "shutting_down"
        async with running.session.post(f"{running.base_url}/v1/messages", json={}) as refused:
            assert (refused.status, (await refused.json())["error"]["type"]) == (503, "overloaded_error")

        gate.touch()
        text = (await response.read()).decode()
        assert "word9" in text
        assert text.endswith("data: [DONE]\n\n")
        await stopping


async def test_a_stream_that_overruns_the_drain_time_gets_an_error_event_and_no_end() -> None:
    async with serve_fakes(drain_timeout_seconds=0.3) as running:
        async with running.chat("words=10000 pause=0.05", stream=True) as response:
            await response.content.readany()
            stopping = asyncio.create_task(running.server.stop())
            text, ended = await read_stream(response)
            await stopping
        assert not ended
        assert '"code":"shutting_down"' in text
        assert "[DONE]" not in text


async def test_a_request_that_waits_in_the_queue_is_drained_too(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    model = a_fake_model("fake", places="1")
    async with serve_fakes(model, drain_timeout_seconds=PATIENT_SECONDS) as running:
        first, second = (asyncio.create_task(ask(running, f"words=1 until={gate}")) for _ in range(2))

        async def queued() -> bool:
            return bool((await running.status())["queued"] == 1)

        await eventually(queued)
        stopping = asyncio.create_task(running.server.stop())
        await draining(running)
        gate.touch()
        await stopping
        assert await first == 200
        assert await second == 200


async def draining(running: RunningServer) -> None:
    async def begun() -> bool:
        return running.server.drain.draining

    await eventually(begun)


async def ask(running: RunningServer, orders: str) -> int:
    async with running.chat(orders) as response:
        await response.read()
        return int(response.status)
