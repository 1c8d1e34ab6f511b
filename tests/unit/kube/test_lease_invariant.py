"""Whatever happens to replicas and their networks: nobody may write while a write of another may be on its way."""

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from fake_cluster import FakeCluster
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stepped_time import SteppedTime, settle

from berth_kube.errors import NotFound, Unreachable
from berth_kube.lease import Elector
from berth_kube.resources import LEASES, Key, Object, Resource

LEASE = Key("berth-system", "berth-operator")
STEP_SECONDS = 0.5
Action = tuple[str, int, float]


class Network:
    """One replica's way to the cluster: slow there or back, or lossy. What was sent arrives, whoever waits for it."""

    def __init__(self, cluster: FakeCluster, time: SteppedTime) -> None:
        self.seconds_there = 0.0
        self.seconds_back = 0.0
        self.loses_requests = False
        self.loses_answers = False
        self.on_the_way: set[asyncio.Task[Object]] = set()
        self._cluster = cluster
        self._time = time

    def heal(self) -> None:
        self.seconds_there = self.seconds_back = 0.0
        self.loses_requests = self.loses_answers = False

    async def get(self, resource: Resource, key: Key) -> Object:
        return await self._travel(self._cluster.get(resource, key))

    async def create(self, resource: Resource, body: Object) -> Object:
        return await self._travel(self._cluster.create(resource, body))

    async def replace(self, resource: Resource, body: Object) -> Object:
        return await self._travel(self._cluster.replace(resource, body))

    async def _travel(self, request: Coroutine[Any, Any, Object]) -> Object:
        if self.loses_requests:
            request.close()
            raise Unreachable("the request was lost")
        task = asyncio.create_task(self._arrive(request, self.seconds_there))
        self.on_the_way.add(task)
        # Of one that was given up nobody asks how it ended.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        back, lost = self.seconds_back, self.loses_answers
        answer = await asyncio.shield(task)
        await self._time.sleep(back)
        if lost:
            raise Unreachable("the answer was lost")
        return answer

    async def _arrive(self, request: Coroutine[Any, Any, Object], seconds: float) -> Object:
        await self._time.sleep(seconds)
        return await request


@dataclass(eq=False)
class Replica:
    """An elector that runs, and the latest moment at which a write that it may have begun can still be on its way."""

    elector: Elector
    network: Network
    task: asyncio.Task[None]
    writes_until: float = float("-inf")

    async def kill(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Town:
    """Replicas that come, go and hang."""

    def __init__(self) -> None:
        self.time = SteppedTime()
        self.cluster = FakeCluster()
        self.running: list[Replica] = []
        self.all: list[Replica] = []

    def start(self) -> None:
        network = Network(self.cluster, self.time)
        name = f"pod-{len(self.all)}"
        elector = Elector(network, LEASE, name, now=self.time.now, sleep=self.time.sleep)  # type: ignore[arg-type]
        replica = Replica(elector, network, asyncio.create_task(elector.run()))
        self.running.append(replica)
        self.all.append(replica)

    async def stop(self, replica: Replica) -> None:
        await replica.kill()
        # Who stops in order has ended its writes before.
        replica.writes_until = float("-inf")
        releasing = asyncio.create_task(replica.elector.release())
        await self.pass_seconds(16)
        assert releasing.done(), "giving back must not hang"

    async def pass_seconds(self, seconds: float) -> None:
        for _ in range(int(seconds / STEP_SECONDS)):
            await self.time.pass_seconds(STEP_SECONDS)
            self.check()

    def check(self) -> None:
        now = self.time.now()
        for replica in self.running:
            deadline = replica.elector.write_deadline(now)
            if deadline > now:
                others = [other for other in self.all if other is not replica and other.writes_until > now]
                assert not others, f"{replica.elector.identity} may write beside {others[0].elector.identity}"
                replica.writes_until = max(replica.writes_until, deadline)

    async def do(self, action: Action) -> None:
        verb, number, seconds = action
        if verb == "start" or not self.running:
            self.start()
        replica = self.running[number % len(self.running)]
        match verb:
            case "kill":
                self.running.remove(replica)
                await replica.kill()
            case "stop":
                self.running.remove(replica)
                await self.stop(replica)
            case "slow there":
                replica.network.seconds_there = seconds
            case "slow back":
                replica.network.seconds_back = seconds
            case "lose requests":
                replica.network.loses_requests = True
            case "lose answers":
                replica.network.loses_answers = True
            case "heal":
                replica.network.heal()
            case "edit":
                with contextlib.suppress(NotFound):
                    await self.cluster.merge(LEASES, LEASE, {"metadata": {"annotations": {"note": str(seconds)}}})
            case "wait":
                await self.pass_seconds(seconds)
            case "pause":
                # As with a suspended machine: everyone wakes with all timers overdue.
                self.time.jump(seconds)
        await settle()

    async def end(self) -> None:
        for replica in self.all:
            await replica.kill()
            for task in replica.network.on_the_way:
                task.cancel()
            await asyncio.gather(*replica.network.on_the_way, return_exceptions=True)


VERBS = ("start", "kill", "stop", "slow there", "slow back", "lose requests", "lose answers", "heal", "edit", "pause")
ACTIONS = st.tuples(
    st.sampled_from(VERBS + ("wait",) * 6), st.integers(0, 3), st.sampled_from([0.5, 1.0, 2.0, 4.5, 8.0, 17.0])
)


@settings(max_examples=10)
@given(st.lists(ACTIONS, min_size=5, max_size=30))
@example([("slow back", 0, 4.5), ("wait", 0, 8.0), ("lose requests", 0, 0), ("wait", 0, 17.0), ("wait", 0, 17.0)])
def test_nobody_may_write_beside_another(actions: list[Action]) -> None:
    async def scenario() -> None:
        town = Town()
        try:
            for action in [("start", 0, 0.0), ("start", 0, 0.0), *actions]:
                await town.do(action)
            # With a network that is well again, somebody leads before long.
            town.start()
            for replica in town.running:
                replica.network.heal()
            await town.pass_seconds(60)
            assert sum(replica.elector.leading.is_set() for replica in town.running) == 1
        finally:
            await town.end()

    asyncio.run(scenario())
