"""The parts of the agent in a cluster together, without an Envoy."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from fake_cluster import FakeCluster
from gateway_process import free_port

from berth_gateway import liveness
from berth_gateway.arguments import Options
from berth_gateway.cluster import ClusterAgent
from berth_gateway.settings import GatewaySettings
from berth_gateway.supervision import supervise
from berth_kube.cluster import Scope, WatchEvent
from berth_kube.resources import Resource


@pytest_asyncio.fixture
async def options() -> AsyncIterator[Options]:
    # pytest's own folders have names too long for Unix sockets.
    run_dir = Path(tempfile.mkdtemp(prefix="berth-agent-"))
    settings = GatewaySettings(run_dir, acknowledge_timeout_seconds=0.1)
    yield Options(settings=settings, namespace="berth-system", agent_port=free_port())
    await asyncio.to_thread(shutil.rmtree, run_dir)


class SilentCluster(FakeCluster):
    """Answers every question, and says nothing on any watch."""

    async def watch(self, resource: Resource, scope: Scope, *, since: str) -> AsyncGenerator[WatchEvent, None]:
        await asyncio.Event().wait()
        async for event in super().watch(resource, scope, since=since):
            yield event


async def run(agent: ClusterAgent, stop: asyncio.Event) -> int:
    await agent.start()
    try:
        return await asyncio.wait_for(supervise(agent.parts(), stop), 10)
    finally:
        await agent.stop()


async def test_a_watch_that_has_died_ends_the_process(
    options: Options, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("POLL_SECONDS", "SILENCE_SECONDS", "PROOF_SECONDS"):
        monkeypatch.setattr(liveness, name, 0.02)
    assert await run(ClusterAgent(options, SilentCluster()), asyncio.Event()) == 1
    assert "nothing was heard of" in caplog.text


async def test_the_process_waits_for_an_envoy_as_long_as_it_takes(options: Options) -> None:
    agent, stop = ClusterAgent(options, FakeCluster()), asyncio.Event()
    running = asyncio.create_task(run(agent, stop))
    async with asyncio.timeout(5):
        while "Envoy has not acknowledged" not in agent.unreadiness:
            await asyncio.sleep(0.01)
    stop.set()
    assert await running == 0


async def test_the_first_sentence_says_what_is_missing(options: Options) -> None:
    agent = ClusterAgent(options, FakeCluster())
    assert agent.unreadiness == "the API server has not been read yet"
    assert agent.report() == {"envoy": False, "routes": {}, "models": {}, "restored": False, "refusal": ""}
