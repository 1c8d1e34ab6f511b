"""The way out: what runs may end, what is new goes elsewhere, what overruns is told so."""

import asyncio
import time

from runtime_server import RunningServer, a_fake_model, eventually, read_stream, serve_fakes


async def test_what_runs_may_end_while_new_work_is_refused() -> None:
    async with serve_fakes() as running, running.chat("words=10 pause=0.1", stream=True) as response:
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

        text = (await response.read()).decode()
        assert "word9" in text
        assert text.endswith("data: [DONE]\n\n")
        await stopping


async def test_a_stream_that_overruns_the_drain_time_gets_an_error_event_and_no_end() -> None:
    async with serve_fakes(drain_timeout_seconds=0.3) as running:
        async with running.chat("words=1000 pause=0.05", stream=True) as response:
            await response.content.readany()
            began = time.monotonic()
            stopping = asyncio.create_task(running.server.stop())
            text, ended = await read_stream(response)
            await stopping
        assert not ended
        assert '"code":"shutting_down"' in text
        assert "[DONE]" not in text
        assert time.monotonic() - began < 5


async def test_a_request_that_waits_in_the_queue_is_drained_too() -> None:
    async with serve_fakes(a_fake_model("fake", places="1")) as running:
        first, second = (asyncio.create_task(ask(running, "words=1 pause=0.4")) for _ in range(2))

        async def queued() -> bool:
            return bool((await running.status())["queued"] == 1)

        await eventually(queued)
        await running.server.stop()
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
