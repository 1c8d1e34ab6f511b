"""How a gateway takes itself out of service."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from berth_api.errors import Unavailable
from berth_gateway import drain as module
from berth_gateway.drain import Patience, drain
from berth_gateway.envoy_admin import EnvoyAdmin

QUICK = Patience(most_seconds=30, least_seconds=0.05, quiet_seconds=0.02)


@dataclass
class FakeAdmin:
    """Shows these numbers of requests one after the other, and the last one for ever."""

    active: deque[int] = field(default_factory=lambda: deque([0]))
    is_gone: bool = False
    failed: int = 0

    async def fail_health_check(self) -> None:
        if self.is_gone:
            raise Unavailable("nobody listens")
        self.failed += 1

    async def active_requests(self) -> int:
        return self.active.popleft() if len(self.active) > 1 else self.active[0]


async def drained(admin: FakeAdmin, patience: Patience = QUICK) -> tuple[bool, float]:
    began = asyncio.get_running_loop().time()
    ended_well = await drain(cast("EnvoyAdmin", admin), patience)
    return ended_well, asyncio.get_running_loop().time() - began


@pytest.fixture(autouse=True)
def _polls_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.005)


async def test_an_idle_gateway_waits_until_others_know_that_it_leaves() -> None:
    admin = FakeAdmin()
    ended_well, seconds = await drained(admin)
    assert (ended_well, admin.failed) == (True, 1)
    assert seconds >= QUICK.least_seconds


async def test_requests_in_flight_are_waited_for() -> None:
    admin = FakeAdmin(deque([3] * 20 + [0]))
    ended_well, _ = await drained(admin)
    assert ended_well
    assert list(admin.active) == [0]


async def test_a_moment_without_requests_is_not_the_end_of_them() -> None:
    admin = FakeAdmin(deque([1] * 12 + [0] + [1] * 12 + [0]))
    assert (await drained(admin))[0]
    assert list(admin.active) == [0]


async def test_what_does_not_end_in_time_is_told(caplog: pytest.LogCaptureFixture) -> None:
    patience = Patience(most_seconds=0.2, least_seconds=0.05, quiet_seconds=0.02)
    ended_well, seconds = await drained(FakeAdmin(deque([2])), patience)
    assert not ended_well
    assert seconds >= patience.most_seconds
    assert "still in flight" in caplog.text


async def test_where_envoy_is_gone_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    patience = Patience(most_seconds=60, least_seconds=30)
    ended_well, seconds = await drained(FakeAdmin(is_gone=True), patience)
    assert ended_well
    assert seconds < patience.least_seconds
    assert await drain(EnvoyAdmin(tmp_path / "admin.sock"), QUICK)
