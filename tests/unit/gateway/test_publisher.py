"""When states go to Envoy, and what happens while it refuses one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from snapshots import model, ready, snapshot_of

from berth_api.errors import Unavailable
from berth_gateway.discovery import Kind, Rejection
from berth_gateway.publisher import Publisher
from berth_gateway.served import Served
from berth_gateway.snapshot import Endpoint, Snapshot
from berth_gateway.xds import UpdateRejected


def serving(*names: str, host: str = "10.0.0.1") -> Served:
    states = {name: ready(Endpoint(host, 80)) for name in names}
    return Served(snapshot_of(*(model(name) for name in names), states=states))


REJECTED = UpdateRejected(Rejection(1, Kind.ROUTES, "no such header"))


@dataclass
class FakeEnvoy:
    """Takes everything but snapshots that hold `refused`; fails as often as `away` says."""

    refused: str = "default/refused"
    away: int = 0
    served: list[Snapshot] = field(default_factory=list)

    async def apply(self, snapshot: Snapshot) -> None:
        if self.away:
            self.away -= 1
            raise Unavailable("Envoy does not answer")
        if self.refused in snapshot.models:
            raise REJECTED
        self.served.append(snapshot)


@dataclass
class FakeSource:
    state: Served
    built: int = 0
    endpoints: Served | None = None

    def newest(self) -> Served:
        self.built += 1
        return self.state

    def with_newest_endpoints(self, served: Served) -> Served:
        return self.endpoints or served


@dataclass
class Scene:
    envoy: FakeEnvoy
    source: FakeSource
    recorded: list[Served]
    publisher: Publisher

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(0.005)


@asynccontextmanager
async def publishing(state: Served, envoy: FakeEnvoy | None = None) -> AsyncIterator[Scene]:
    scene_envoy, source, recorded = envoy or FakeEnvoy(), FakeSource(state), list[Served]()
    scene = Scene(scene_envoy, source, recorded, Publisher(scene_envoy, source, recorded.append))
    running = asyncio.create_task(scene.publisher.run())
    try:
        yield scene
    finally:
        running.cancel()


async def test_nothing_is_applied_before_the_first_poke() -> None:
    async with publishing(serving("qwen")) as scene:
        await asyncio.sleep(0)
        assert (scene.source.built, scene.publisher.acknowledged) == (0, None)


async def test_a_burst_of_changes_is_one_state() -> None:
    async with publishing(serving("qwen")) as scene:
        for _ in range(1000):
            scene.publisher.poke()
        await scene.until(lambda: bool(scene.recorded))
        assert (scene.source.built, scene.recorded) == (1, [scene.source.state])
        assert scene.publisher.acknowledged == scene.source.state


async def test_a_change_while_one_is_applied_is_applied_after_it() -> None:
    async with publishing(serving("qwen")) as scene:
        scene.publisher.poke()
        await scene.until(lambda: scene.source.built == 1)
        scene.source.state = serving("qwen", "llama")
        scene.publisher.poke()
        await scene.until(lambda: scene.publisher.acknowledged == scene.source.state)


async def test_an_envoy_that_is_away_gets_what_is_newest_when_it_answers() -> None:
    async with publishing(serving("qwen"), FakeEnvoy(away=2)) as scene:
        scene.publisher.poke()
        await scene.until(lambda: bool(scene.recorded))
        assert scene.source.built == 3


async def test_a_refused_state_is_told_and_what_was_acknowledged_stays() -> None:
    async with publishing(serving("qwen")) as scene:
        scene.publisher.poke()
        await scene.until(lambda: bool(scene.recorded))
        scene.source.state = serving("qwen", "refused")
        scene.publisher.poke()
        await scene.until(lambda: scene.publisher.refusal != "")
        assert "no such header" in scene.publisher.refusal
        assert scene.publisher.acknowledged == scene.recorded[-1] == serving("qwen")


async def test_a_refused_state_is_tried_again_when_envoy_comes_back() -> None:
    async with publishing(serving("refused")) as scene:
        scene.publisher.poke()
        await scene.until(lambda: scene.publisher.refusal != "")
        scene.envoy.refused = "nothing"
        scene.publisher.poke()
        await scene.until(lambda: scene.publisher.acknowledged is not None)
        assert scene.publisher.refusal == ""


async def test_while_a_declaration_is_refused_endpoints_still_come_and_go() -> None:
    async with publishing(serving("qwen")) as scene:
        scene.publisher.poke()
        await scene.until(lambda: bool(scene.recorded))
        scene.source.state = serving("qwen", "refused", host="10.0.0.2")
        scene.source.endpoints = serving("qwen", host="10.0.0.2")
        scene.publisher.poke()
        await scene.until(lambda: len(scene.recorded) == 2)
        assert scene.publisher.acknowledged == scene.source.endpoints
        assert scene.publisher.refusal


async def test_the_same_refusal_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async with publishing(serving("refused")) as scene:
        for built in range(1, 4):
            scene.publisher.poke()
            await scene.until(lambda built=built: scene.source.built == built)  # type: ignore[misc]
        assert [record.levelname for record in caplog.records] == ["ERROR"]
