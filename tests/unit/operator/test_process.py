"""The whole operator in one process with a cluster in memory: everything is real but the API server, pods and plans."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

from api_server import free_port
from fake_cluster import FakeCluster
from operator_parts import Answers, HandPlanner, needs_apply, put_model, put_route

from berth_kube.cluster import Scope
from berth_kube.errors import Unreachable
from berth_kube.reflector import Reflector
from berth_kube.resources import DEPLOYMENTS, EVENTS, LEASES, Key, Object, Resource
from berth_kube.store import ObjectStore
from berth_operator.process import Deliver, Operator
from berth_operator.settings import Images, OperatorSettings
from berth_operator.subject import MODELS, Kind

SETTINGS = OperatorSettings(namespace="berth-system", images=Images(fetch="fetch", cpu="cpu"))
ENGINE = Key("default", "qwen-engine")


class Replica:
    """One operator, whose intake is a reflector, as it might be one day."""

    def __init__(self, cluster: FakeCluster, name: str = "operator-1") -> None:
        self.cluster = cluster
        self.planner = HandPlanner()
        settings = SETTINGS.model_copy(update={"port": free_port()})
        self.operator = Operator(
            cluster,
            settings,
            name=name,
            planner=self.planner,
            needs_apply=needs_apply,
            ask=Answers(),
            ask_gateway=Answers(),
        )
        self.dropped: list[Object] = []
        self.intake: list[asyncio.Task[Any]] = []
        self.status: int | None = None

    async def run(self) -> None:
        self.status = await self.operator.run(self.take_in)

    async def take_in(self, put: Deliver, drop: Deliver) -> Collection[asyncio.Task[Any]]:
        for kind in Kind:

            def deliver(old: Object | None, new: Object | None, kind: Kind = kind) -> None:
                if new is not None:
                    put(kind, new)
                elif old is not None:
                    drop(kind, old)
                    self.dropped.append(old)

            reflector = Reflector(self.cluster, kind.resource, Scope(), ObjectStore(), deliver)
            self.intake.append(asyncio.create_task(reflector.run()))
        return self.intake


@asynccontextmanager
async def running(*replicas: Replica) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(replica.run()) for replica in replicas]
    try:
        yield
    finally:
        for replica in replicas:
            replica.operator.stop()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks)
        for task in [task for replica in replicas for task in replica.intake]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def until(holds: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while True:
            found = holds()
            if await found if isinstance(found, Awaitable) else found:
                return
            await asyncio.sleep(0.002)


def written(cluster: FakeCluster) -> list[tuple[str, str]]:
    """The writes, without those that every quiet operator makes."""
    return [(one.verb, one.resource.kind) for one in cluster.writes if one.resource not in (LEASES, EVENTS)]


def shows_status(cluster: FakeCluster) -> Callable[[], bool]:
    return lambda: all("status" in model for model in cluster.all_of(MODELS))


async def test_from_a_manifest_to_children_and_status() -> None:
    cluster = FakeCluster()
    put_model(cluster)
    async with running(Replica(cluster)):
        await until(shows_status(cluster))
        put_model(cluster, "phi")
        await until(shows_status(cluster))
    assert sorted(one["metadata"]["name"] for one in cluster.all_of(DEPLOYMENTS)) == ["phi-engine", "qwen-engine"]


async def test_one_manifest_costs_one_write_of_each_kind() -> None:
    cluster = FakeCluster()
    put_model(cluster)
    replica = Replica(cluster)
    async with running(replica):
        await until(lambda: any("status" in facts.document for facts in replica.planner.seen))
        assert written(cluster) == [("apply", "Deployment"), ("apply_status", "Model")]


async def test_of_two_replicas_one_writes_and_its_end_lets_the_other_begin() -> None:
    cluster = FakeCluster()
    first, second = Replica(cluster, "operator-1"), Replica(cluster, "operator-2")
    async with running(second):
        async with running(first):
            put_model(cluster)
            await until(shows_status(cluster))
            assert bool(first.planner.seen) != bool(second.planner.seen)
        assert first.status == 0
        put_model(cluster, "phi")
        await until(shows_status(cluster))


async def test_a_child_that_is_deleted_comes_back() -> None:
    cluster = FakeCluster()
    put_model(cluster)
    async with running(Replica(cluster)):
        await until(shows_status(cluster))
        cluster.remove(DEPLOYMENTS, ENGINE)
        await until(lambda: bool(cluster.all_of(DEPLOYMENTS)))


class LateAnswers(FakeCluster):
    """Answers to status writes wait for `gate`."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def apply_status(self, resource: Resource, body: Object, *, manager: str) -> Object:
        answer = await super().apply_status(resource, body, manager=manager)
        await self.gate.wait()
        return answer


async def test_a_model_that_is_gone_does_not_come_back_by_the_late_answer_to_a_write() -> None:
    cluster = LateAnswers()
    put_model(cluster)
    replica = Replica(cluster)
    async with running(replica):
        await until(shows_status(cluster))
        cluster.remove(MODELS, Key("default", "qwen"))
        await until(lambda: bool(replica.dropped))
        looked = len(replica.planner.seen)
        cluster.gate.set()
        put_model(cluster, "phi")
        await until(lambda: bool(cluster.all_of(MODELS)) and shows_status(cluster)())
        assert {facts.document["metadata"]["name"] for facts in replica.planner.seen[looked:]} == {"phi"}


async def test_the_end_of_the_intake_is_the_end_of_the_process() -> None:
    cluster = FakeCluster()
    replica = Replica(cluster)
    run = asyncio.create_task(replica.run())
    await until(lambda: len(replica.intake) == 2)
    replica.intake[0].cancel()
    await asyncio.wait_for(run, 10)
    assert replica.status == 1
    replica.intake[1].cancel()


async def test_the_lease_is_free_after_an_accident_too() -> None:
    cluster = FakeCluster()
    put_model(cluster)
    replica = Replica(cluster)
    run = asyncio.create_task(replica.run())
    await until(shows_status(cluster))
    replica.intake[0].cancel()
    await asyncio.wait_for(run, 10)
    assert cluster.all_of(LEASES)[0]["spec"]["holderIdentity"] == ""
    replica.intake[1].cancel()


async def test_a_stormy_api_server_is_outlasted() -> None:
    cluster = FakeCluster()
    put_model(cluster)
    for error in (Unreachable("gone"), Unreachable("gone again")):
        for verb in ("apply", "apply_status", "list_page"):
            cluster.fail_next(error, verb=verb, after=verb != "list_page")
    async with running(Replica(cluster)):
        await until(shows_status(cluster))
        cluster.expire_watches()
        put_model(cluster, "phi")
        await until(shows_status(cluster))
        assert len(cluster.all_of(DEPLOYMENTS)) == 2


async def test_a_route_is_looked_at_when_its_model_changes() -> None:
    cluster = FakeCluster()
    replica = Replica(cluster)
    async with running(replica):
        put_route(cluster)
        await until(lambda: len(replica.planner.seen) == 1)
        put_model(cluster)
        await until(lambda: sum(hasattr(facts, "gateways") for facts in replica.planner.seen) >= 2)
