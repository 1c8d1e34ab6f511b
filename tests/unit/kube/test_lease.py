"""The election: at most one leads, and somebody soon does. Time passes only as the tests say."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from fake_cluster import FakeCluster
from stepped_time import SteppedTime, settle

from berth_api.errors import InvalidSpec
from berth_kube.errors import ClusterError, Forbidden, Unreachable
from berth_kube.lease import Elector, LeaseTimes
from berth_kube.resources import LEASES, Key, Object

LEASE = Key("berth-system", "berth-operator")


class Replica:
    """An elector that runs, and notes when it led."""

    def __init__(self, cluster: FakeCluster, time: SteppedTime, name: str, *, clock_is_off: timedelta) -> None:
        self.changes: list[tuple[bool, float]] = []
        self.time = time
        self.elector = Elector(
            cluster,
            LEASE,
            name,
            on_change=lambda leads: self.changes.append((leads, time.now())),
            now=time.now,
            sleep=time.sleep,
            wall=lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=time.now()) + clock_is_off,
            draw=lambda: 0.5,
        )
        self.task = asyncio.create_task(self.elector.run())

    @property
    def leads(self) -> bool:
        return self.elector.leading.is_set()

    async def kill(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def stop(self) -> None:
        await self.kill()
        await self.elector.release()


class Scene:
    """A cluster with replicas."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.time = SteppedTime()
        self.replicas: list[Replica] = []

    async def start(self, name: str, *, clock_is_off: timedelta = timedelta()) -> Replica:
        replica = Replica(self.cluster, self.time, name, clock_is_off=clock_is_off)
        self.replicas.append(replica)
        await settle()
        return replica

    def spec(self) -> Object:
        (lease,) = self.cluster.all_of(LEASES)
        spec: Object = lease["spec"]
        return spec

    async def seconds_until(self, replica: Replica, *, most: float) -> float:
        """How long it takes until it leads; nobody else may lead by then."""
        start = self.time.now()
        while not replica.leads:
            assert self.time.now() - start <= most, "it does not lead"
            await self.time.pass_seconds(0.1)
            assert sum(one.leads for one in self.replicas) <= 1
        return self.time.now() - start


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    yield scene
    for replica in scene.replicas:
        await replica.kill()


async def test_the_first_makes_the_lease_and_leads(scene: Scene) -> None:
    first = await scene.start("first")
    assert first.leads
    spec = scene.spec()
    assert spec["holderIdentity"] == first.elector.identity
    assert (spec["leaseDurationSeconds"], spec["leaseTransitions"]) == (15, 0)
    assert spec["renewTime"] == spec["acquireTime"] == "2026-01-01T00:16:40.000000Z"


async def test_the_second_waits_while_the_first_renews(scene: Scene) -> None:
    first, second = await scene.start("first"), await scene.start("second")
    await scene.time.pass_seconds(600)
    assert (first.leads, second.leads) == (True, False)
    assert first.changes == [(True, 1000.0)]
    assert scene.spec()["acquireTime"] < scene.spec()["renewTime"]


async def test_a_clean_stop_hands_over_within_a_retry(scene: Scene) -> None:
    first, second = await scene.start("first"), await scene.start("second")
    await scene.time.pass_seconds(7)
    await first.stop()
    assert scene.spec()["holderIdentity"] == ""
    assert await scene.seconds_until(second, most=2.0) <= 2.0
    assert scene.spec()["leaseTransitions"] == 1


async def test_a_killed_leader_is_followed_when_its_lease_has_expired(scene: Scene) -> None:
    first, second = await scene.start("first"), await scene.start("second")
    await scene.time.pass_seconds(7)
    first.elector.leading.clear()
    await first.kill()
    assert 13 <= await scene.seconds_until(second, most=20) <= 17.5


async def test_a_restart_under_the_same_name_does_not_lead_beside_its_forerunner(scene: Scene) -> None:
    first, same = await scene.start("pod"), await scene.start("pod")
    await scene.time.pass_seconds(60)
    assert (first.leads, same.leads) == (True, False)


@pytest.mark.parametrize("off", [timedelta(hours=-1), timedelta(hours=1)])
async def test_clocks_that_differ_by_an_hour_change_nothing(scene: Scene, off: timedelta) -> None:
    first, second = await scene.start("first"), await scene.start("second", clock_is_off=off)
    await scene.time.pass_seconds(60)
    assert (first.leads, second.leads) == (True, False)
    first.elector.leading.clear()
    await first.kill()
    assert await scene.seconds_until(second, most=20) >= 13


async def test_a_leader_that_can_not_renew_stops_before_its_lease_ends(scene: Scene) -> None:
    first = await scene.start("first")
    await scene.time.pass_seconds(4)
    scene.cluster.fail_next(Unreachable("gone"), resource=LEASES, times=10_000)
    await scene.time.pass_seconds(30)
    # Renewed last at 1004.
    assert first.changes == [(True, 1000.0), (False, 1014.0)]
    assert "gone" in first.elector.trouble


async def test_it_leads_again_when_the_server_is_back(scene: Scene) -> None:
    first = await scene.start("first")
    scene.cluster.fail_next(Unreachable("gone"), resource=LEASES, times=8)
    await scene.time.pass_seconds(60)
    assert [leads for leads, _ in first.changes] == [True, False, True]
    assert scene.spec()["leaseTransitions"] == 0


async def test_a_few_failures_are_no_reason_to_stop(scene: Scene) -> None:
    first = await scene.start("first")
    scene.cluster.fail_next(Unreachable("gone"), resource=LEASES, times=3)
    await scene.time.pass_seconds(60)
    assert first.changes == [(True, 1000.0)]


async def test_a_request_that_hangs_is_given_up(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await scene.start("first")

    async def hang(*_: object) -> Object:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(scene.cluster, "replace", hang)
    await scene.time.pass_seconds(30)
    assert first.changes == [(True, 1000.0), (False, 1010.0)]


async def test_a_renewal_whose_answer_was_lost_is_found_out(scene: Scene) -> None:
    first = await scene.start("first")
    for _ in range(20):
        scene.cluster.fail_next(Unreachable("lost"), verb="replace", after=True)
        await scene.time.pass_seconds(5)
    assert first.changes == [(True, 1000.0)]


async def test_a_first_lease_whose_answer_was_lost_is_found_out(scene: Scene) -> None:
    scene.cluster.fail_next(Unreachable("lost"), verb="create", after=True)
    first = await scene.start("first")
    assert not first.leads
    await scene.time.pass_seconds(2)
    assert first.leads


async def test_somebody_elses_edit_of_the_lease_does_not_stop_its_leader(scene: Scene) -> None:
    first, second = await scene.start("first"), await scene.start("second")
    for number in range(20):
        await scene.cluster.merge(LEASES, LEASE, {"metadata": {"annotations": {"note": str(number)}}})
        await scene.time.pass_seconds(5)
    assert (first.leads, second.leads) == (True, False)
    (lease,) = scene.cluster.all_of(LEASES)
    assert lease["metadata"]["annotations"] == {"note": "19"}


async def test_a_lease_taken_away_ends_leading_with_the_next_try(scene: Scene) -> None:
    first = await scene.start("first")
    await scene.cluster.merge(LEASES, LEASE, {"spec": {"holderIdentity": "an administrator"}})
    await scene.time.pass_seconds(2)
    assert not first.leads
    await scene.time.pass_seconds(17)
    assert first.leads


async def test_a_lease_deleted_under_its_leader_is_made_anew_by_nobody_else(scene: Scene) -> None:
    first, second = await scene.start("first"), await scene.start("second")
    await scene.time.pass_seconds(3.9)
    scene.cluster.remove(LEASES, LEASE)
    await scene.time.pass_seconds(60)
    assert (first.changes, second.changes) == ([(True, 1000.0)], [])


async def test_a_deleted_lease_of_a_dead_leader_is_made_anew_when_it_would_have_expired(scene: Scene) -> None:
    first, second = await scene.start("first"), await scene.start("second")
    first.elector.leading.clear()
    await first.kill()
    scene.cluster.remove(LEASES, LEASE)
    assert await scene.seconds_until(second, most=20) >= 13


async def test_of_many_that_want_an_expired_lease_one_gets_it(scene: Scene) -> None:
    first = await scene.start("first")
    others = [await scene.start(f"other-{number}") for number in range(10)]
    first.elector.leading.clear()
    await first.kill()
    await scene.time.pass_seconds(60)
    assert sum(one.leads for one in others) == 1
    assert scene.spec()["leaseTransitions"] == 1


async def test_many_hand_overs_never_have_two_leaders(scene: Scene) -> None:
    for number in range(50):
        replica = await scene.start(f"replica-{number}")
        await scene.seconds_until(replica, most=2.0)
        await replica.stop()
    assert scene.spec()["leaseTransitions"] == 49
    turns = [change for replica in scene.replicas for change in replica.changes]
    assert [leads for leads, _ in sorted(turns, key=lambda turn: turn[1])] == [True, False] * 50


async def test_a_leader_that_lost_its_lease_gives_nothing_back(scene: Scene) -> None:
    first = await scene.start("first")
    await scene.cluster.merge(LEASES, LEASE, {"spec": {"holderIdentity": "another"}})
    await first.stop()
    assert scene.spec()["holderIdentity"] == "another"
    assert not first.leads


@pytest.mark.parametrize("error", [Unreachable("gone"), Forbidden("no right")])
async def test_giving_back_never_fails(scene: Scene, error: ClusterError) -> None:
    first = await scene.start("first")
    scene.cluster.fail_next(error, times=10)
    await first.stop()
    assert not first.leads


async def test_a_write_ends_two_seconds_before_the_lease(scene: Scene) -> None:
    first, second = await scene.start("first"), await scene.start("second")
    await scene.time.pass_seconds(0.5)
    start = 1000.0
    assert first.elector.write_deadline(start) == start + 10
    assert first.elector.write_deadline(start + 5) == start + 13
    assert first.elector.write_deadline(start + 9.9) == start + 13
    # After a pause nobody has told it that its time is over, and still it may not write.
    assert first.elector.write_deadline(start + 10) == start + 10
    assert second.elector.write_deadline(start) == start


@pytest.mark.parametrize("times", [(15, 14.0, 2.0), (15, 10.0, 10.0), (3, 10.0, 2.0)])
def test_times_that_would_let_two_lead_are_refused(times: tuple[int, float, float]) -> None:
    with pytest.raises(InvalidSpec, match="outlast"):
        LeaseTimes(*times)


async def test_a_leader_that_was_stopped_for_a_while_may_not_write_when_it_wakes(scene: Scene) -> None:
    first = await scene.start("first")
    scene.time.jump(30)
    assert first.elector.write_deadline(scene.time.now()) <= scene.time.now()
    scene.cluster.fail_next(Unreachable("gone"), times=10)
    await scene.time.pass_seconds(0)
    assert not first.leads
