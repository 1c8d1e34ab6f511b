"""When a process whose watches have stopped gives itself up, and when it must not."""

import pytest
from fake_cluster import FakeCluster

from berth_gateway.intake import Watch
from berth_gateway.liveness import PROOF_SECONDS, SILENCE_SECONDS, WatchDied, Watchdog
from berth_gateway.rights import MODELS
from berth_kube.cluster import Scope
from berth_kube.errors import Unreachable
from berth_kube.reflector import Reflector
from berth_kube.store import ObjectStore

LONG = 100_000


class Scene:
    """One watch that heard something at 0 for the last time."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.reflector = Reflector(self.cluster, MODELS, Scope(), ObjectStore(), now=lambda: 0.0)
        self.watchdog = Watchdog(self.cluster, [Watch("", self.reflector)])

    def take_the_server_away(self) -> None:
        self.cluster.fail_next(Unreachable("gone"), verb="list_page", times=LONG)

    async def look_until(self, end: float) -> float | None:
        """When the watch was found dead, looking every 5 s; None where it was not until `end`."""
        now = 0.0
        while now < end:
            now += 5
            try:
                await self.watchdog.look(now)
            except WatchDied:
                return now
        return None


async def test_a_watch_that_is_silent_while_the_server_answers_is_dead_within_three_minutes() -> None:
    found = await Scene().look_until(1000)
    assert found is not None
    assert SILENCE_SECONDS + PROOF_SECONDS <= found < 180 - 30, "a question may take 30 s more"


async def test_an_api_server_that_is_away_is_no_reason_to_end() -> None:
    scene = Scene()
    scene.take_the_server_away()
    assert await scene.look_until(LONG) is None


async def test_after_an_outage_each_watch_has_time_to_come_back() -> None:
    scene = Scene()
    scene.cluster.fail_next(Unreachable("gone"), verb="list_page", times=200)
    assert await scene.look_until(1000 + SILENCE_SECONDS + PROOF_SECONDS - 10) is None
    assert await scene.look_until(LONG) is not None


async def test_a_watch_that_speaks_is_not_asked_about() -> None:
    scene = Scene()
    await scene.watchdog.look(SILENCE_SECONDS - 1)
    assert scene.cluster.requests == []


async def test_the_error_says_what_and_what_then() -> None:
    scene = Scene()
    await scene.watchdog.look(200)
    with pytest.raises(WatchDied, match=r"nothing was heard of models for 300 s .* starts afresh"):
        await scene.watchdog.look(300)
