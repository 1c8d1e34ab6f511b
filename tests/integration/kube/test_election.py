"""Electors on a real API server: one leads, and the next one follows soon."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from cluster_contract import DEADLINE_SECONDS

from berth_kube.client import HttpCluster
from berth_kube.lease import Elector, LeaseTimes
from berth_kube.resources import LEASES, Key

pytestmark = pytest.mark.needs("kube")


@asynccontextmanager
async def replicas(
    cluster: HttpCluster, namespace: str, count: int, times: LeaseTimes
) -> AsyncIterator[tuple[list[Elector], list[asyncio.Task[None]], list[str]]]:
    """Electors that run; the list says who began and ceased to lead, in order."""
    history: list[str] = []

    def note(number: int) -> Callable[[bool], None]:
        return lambda leads: history.append(f"{'+' if leads else '-'}{number}")

    electors = [
        Elector(cluster, Key(namespace, "leader"), f"pod-{number}", times=times, on_change=note(number))
        for number in range(count)
    ]
    tasks = [asyncio.create_task(elector.run()) for elector in electors]
    try:
        yield electors, tasks, history
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def leader(electors: list[Elector]) -> int:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not any(elector.leading.is_set() for elector in electors):
            await asyncio.sleep(0.01)
    (number,) = [number for number, elector in enumerate(electors) if elector.leading.is_set()]
    return number


async def test_a_clean_stop_hands_over_within_three_seconds(cluster: HttpCluster, namespace: str) -> None:
    async with replicas(cluster, namespace, 3, LeaseTimes()) as (electors, tasks, history):
        first = await leader(electors)
        tasks[first].cancel()
        await asyncio.gather(tasks[first], return_exceptions=True)
        stopped = time.monotonic()
        await electors[first].release()
        second = await leader(electors)
        assert time.monotonic() - stopped <= 3
        assert history == [f"+{first}", f"-{first}", f"+{second}"]
        lease = await cluster.get(LEASES, Key(namespace, "leader"))
    assert lease["spec"]["holderIdentity"] == electors[second].identity
    assert lease["spec"]["leaseTransitions"] == 1


async def test_a_killed_leader_is_followed_within_twenty_seconds_and_not_before_its_lease_ends(
    cluster: HttpCluster, namespace: str
) -> None:
    async with replicas(cluster, namespace, 2, LeaseTimes()) as (electors, tasks, _):
        first = await leader(electors)
        tasks[first].cancel()
        await asyncio.gather(tasks[first], return_exceptions=True)
        killed = time.monotonic()
        last_write = electors[first].write_deadline(killed)
        # It is dead: nobody tells it to stop leading.
        electors[first].leading.clear()
        await leader([electors[1 - first]])
        assert last_write < time.monotonic() <= killed + 20


async def test_many_hand_overs_have_one_leader_at_a_time(cluster: HttpCluster, namespace: str) -> None:
    times = LeaseTimes(duration_seconds=6, renew_deadline_seconds=3, retry_seconds=0.05)
    async with replicas(cluster, namespace, 12, times) as (electors, tasks, history):
        for _ in range(11):
            number = await leader(electors)
            tasks[number].cancel()
            await asyncio.gather(tasks[number], return_exceptions=True)
            await electors[number].release()
        await leader(electors)
    assert [turn[0] for turn in history] == ["+", "-"] * 11 + ["+"]
    assert all(began[1:] == ended[1:] for began, ended in zip(history[::2], history[1::2], strict=False))
