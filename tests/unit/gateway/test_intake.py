"""What is read of the API server, and when something is to be done about it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fake_cluster import FakeCluster
from model_builders import a_manifest
from model_slices import a_slice, an_endpoint

from berth_gateway.intake import Intake
from berth_gateway.rights import MODEL_ROUTES, MODELS, RIGHTS
from berth_kube.errors import Forbidden, Unreachable
from berth_kube.resources import ENDPOINT_SLICES, PODS, Key


def a_model(name: str = "qwen", namespace: str = "default") -> dict[str, object]:
    return a_manifest("Model", name, namespace=namespace, spec={"source": {"uri": "oci://localhost/a:b"}})


def an_orphan(name: str = "qwen", namespace: str = "default") -> dict[str, object]:
    """A slice that the fake's garbage collector leaves alone."""
    document = a_slice(name, namespace=namespace)
    del document["metadata"]["ownerReferences"]
    return document


@dataclass
class Following:
    cluster: FakeCluster
    intake: Intake
    changes: list[None] = field(default_factory=list)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(0.005)


@asynccontextmanager
async def following(cluster: FakeCluster, *namespaces: str) -> AsyncIterator[Following]:
    changes: list[None] = []
    intake = Intake(cluster, namespaces, lambda: changes.append(None))
    tasks = [asyncio.create_task(watch.reflector.run()) for watch in intake.watches]
    try:
        yield Following(cluster, intake, changes)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_is_there_is_read_before_it_counts_as_synced() -> None:
    cluster = FakeCluster()
    cluster.put(MODELS, a_model())
    cluster.put(MODEL_ROUTES, a_manifest("ModelRoute", "chat", spec={}))
    cluster.put(ENDPOINT_SLICES, an_orphan())
    async with following(cluster) as scene:
        await asyncio.wait_for(scene.intake.wait_synced(), 5)
        documents = scene.intake.documents()
        assert [len(documents.models), len(documents.routes), len(documents.slices)] == [1, 1, 1]
        assert scene.intake.is_synced


async def test_half_a_view_is_not_synced() -> None:
    cluster = FakeCluster()
    cluster.fail_next(Forbidden("no right to list"), resource=MODEL_ROUTES, times=1000)
    async with following(cluster) as scene:
        await scene.until(lambda: "modelroutes" in scene.intake.troubles)
        assert not scene.intake.is_synced
        assert "no right to list" in scene.intake.troubles["modelroutes"]


async def test_every_change_is_told() -> None:
    cluster = FakeCluster()
    async with following(cluster) as scene:
        await scene.intake.wait_synced()
        await scene.until(lambda: cluster.watches == 3)
        cluster.put(MODELS, a_model())
        await scene.until(lambda: len(scene.changes) == 1)
        cluster.remove(MODELS, Key("default", "qwen"))
        await scene.until(lambda: len(scene.changes) == 2)
        assert scene.intake.documents().models == ()


async def test_slices_of_others_are_not_even_read() -> None:
    cluster = FakeCluster()
    foreign = an_orphan("web")
    del foreign["metadata"]["labels"]["berth.dev/model"]
    cluster.put(ENDPOINT_SLICES, foreign)
    async with following(cluster) as scene:
        await scene.intake.wait_synced()
        assert scene.intake.documents().slices == ()


async def test_what_vanished_unseen_is_gone_after_a_gap() -> None:
    cluster = FakeCluster()
    cluster.put(ENDPOINT_SLICES, an_orphan())
    async with following(cluster) as scene:
        await scene.intake.wait_synced()
        cluster.remove_silently(ENDPOINT_SLICES, Key("default", "qwen-engine-x7k2p"))
        cluster.expire_watches()
        await scene.until(lambda: scene.intake.documents().slices == ())
        assert scene.changes


async def test_listed_namespaces_alone_are_read() -> None:
    cluster = FakeCluster()
    for namespace in ("a", "b", "c"):
        cluster.put(MODELS, a_model(namespace=namespace))
    async with following(cluster, "a", "b") as scene:
        await scene.intake.wait_synced()
        assert sorted(model["metadata"]["namespace"] for model in scene.intake.documents().models) == ["a", "b"]


async def test_only_rights_that_the_chart_gives_are_used() -> None:
    cluster = FakeCluster()
    async with following(cluster) as scene:
        await scene.intake.wait_synced()
        await scene.until(lambda: cluster.watches == 3)
    used = {(request.resource, request.verb.removesuffix("_page")) for request in cluster.requests}
    assert used == {(resource, verb) for resource, verbs in RIGHTS.items() for verb in verbs}
    assert PODS not in RIGHTS


async def test_what_is_kept_is_trimmed() -> None:
    cluster = FakeCluster()
    cluster.put(MODELS, a_model() | {"status": {"stages": [{"name": "Fetched", "milliseconds": 1}]}})
    slice_ = an_orphan()
    slice_["endpoints"] = [an_endpoint("10.0.0.1")]
    cluster.put(ENDPOINT_SLICES, slice_)
    async with following(cluster) as scene:
        await scene.intake.wait_synced()
        documents = scene.intake.documents()
        assert "stages" not in documents.models[0]["status"]
        assert "nodeName" not in documents.slices[0]["endpoints"][0]


async def test_the_age_of_a_kind_is_that_of_its_oldest_watch() -> None:
    cluster = FakeCluster()
    cluster.fail_next(Unreachable("gone"), resource=MODELS, times=1000)
    async with following(cluster, "a", "b") as scene:
        await scene.until(lambda: scene.intake.ages_seconds()["models"] > 0.05)
        assert set(scene.intake.ages_seconds()) == {"models", "modelroutes", "endpointslices"}
