"""What the agent's own port answers."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from gateway_process import free_port

from berth_gateway.agent_port import AgentPort


@dataclass
class FakeSubject:
    unreadiness: str = ""
    drains: int = 0
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    def report(self) -> Mapping[str, Any]:
        return {"envoy": True, "routes": {}}

    async def render_metrics(self) -> bytes:
        return b"one 1\n"

    async def drain(self) -> bool:
        self.drains += 1
        await self.may_end.wait()
        return True


@dataclass
class Asked:
    subject: FakeSubject
    session: aiohttp.ClientSession

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(path) as response:
            return response.status, await response.text()


@asynccontextmanager
async def listening() -> AsyncIterator[Asked]:
    number, subject = free_port(), FakeSubject()
    port = AgentPort(number, subject)
    await port.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{number}") as session:
        try:
            yield Asked(subject, session)
        finally:
            await port.stop()


async def test_it_lives_whether_it_is_ready_or_not() -> None:
    async with listening() as asked:
        asked.subject.unreadiness = "the API server has not been read yet"
        assert (await asked.get("/health"))[0] == (await asked.get("/health/live"))[0] == 200


async def test_it_says_why_it_is_not_ready() -> None:
    async with listening() as asked:
        asked.subject.unreadiness = "the API server has not been read yet"
        status, body = await asked.get("/health/ready")
        assert status == 503
        assert "has not been read yet" in body
        asked.subject.unreadiness = ""
        assert (await asked.get("/health/ready"))[0] == 200


async def test_it_shows_metrics_and_what_is_programmed() -> None:
    async with listening() as asked:
        assert await asked.get("/metrics") == (200, "one 1\n")
        assert await asked.get("/programmed") == (200, '{"envoy": true, "routes": {}}')


async def test_a_drain_is_answered_when_it_is_over() -> None:
    async with listening() as asked:
        hook = asyncio.create_task(asked.get("/drain"))
        async with asyncio.timeout(5):
            while not asked.subject.drains:
                await asyncio.sleep(0.005)
        assert (await asked.get("/health/live"))[0] == 200
        assert not hook.done()
        asked.subject.may_end.set()
        assert await hook == (200, '{"drained": true}')


async def test_a_hook_that_is_called_twice_is_answered_twice() -> None:
    async with listening() as asked:
        asked.subject.may_end.set()
        assert await asked.get("/drain") == await asked.get("/drain")


async def test_looking_whether_there_is_a_drain_drains_nothing() -> None:
    async with listening() as asked:
        asked.subject.may_end.set()
        async with asked.session.head("/drain") as response:
            assert response.status == 405
        assert asked.subject.drains == 0
