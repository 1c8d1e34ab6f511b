"""The objects around Models: whose they are, whom their changes wake, and what is kept of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fake_cluster import FakeCluster
from operator_parts import QWEN, a_child, a_pod, put_model

from berth_kube.errors import Forbidden
from berth_kube.resources import DEPLOYMENTS, JOBS, NODES, PODS, SERVICES, Key, Object
from berth_operator.caches import Caches, Wake
from berth_operator.settings import Images, OperatorSettings
from berth_operator.subject import MODELS


class Scene:
    """A cluster, caches that run, and the list of whom they woke."""

    def __init__(self, **settings: Any) -> None:
        self.cluster = FakeCluster()
        self.woken: list[Key | str] = []
        wake = Wake(
            model=self.woken.append,
            nodes=lambda: self.woken.append("nodes"),
            gateways=lambda: self.woken.append("gateways"),
        )
        given = OperatorSettings(namespace="berth-system", images=Images(fetch="fetch", cpu="cpu"), **settings)
        self.caches = Caches(self.cluster, given, wake, time.monotonic)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(0.001)

    async def settle(self) -> None:
        """Until everything that has happened was heard."""
        for _ in range(30):
            await asyncio.sleep(0)

    def child(self, **given: Any) -> Object:
        model = next(iter(self.cluster.all_of(MODELS)), None) or put_model(self.cluster)
        return self.cluster.put(given.get("resource", DEPLOYMENTS), a_child(model, **given))


@asynccontextmanager
async def running(scene: Scene) -> AsyncIterator[Scene]:
    tasks = [asyncio.create_task(reflector.run()) for reflector in scene.caches.reflectors]
    try:
        await asyncio.wait_for(scene.caches.wait_until_synced(), 5)
        await scene.until(lambda: scene.cluster.watches == len(tasks))
        yield scene
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_child_is_found_by_its_model_and_wakes_it() -> None:
    async with running(Scene()) as scene:
        scene.child(resource=SERVICES)
        await scene.until(lambda: QWEN in scene.woken)
        assert set(scene.caches.children_of(QWEN)) == {("Service", "qwen-engine")}


async def test_what_was_there_before_is_found_too() -> None:
    scene = Scene()
    scene.child()
    async with running(scene):
        assert set(scene.caches.children_of(QWEN)) == {("Deployment", "qwen-engine")}


async def test_a_child_that_went_wakes_its_model_and_is_forgotten() -> None:
    scene = Scene()
    scene.child()
    async with running(scene):
        scene.woken.clear()
        scene.cluster.remove(DEPLOYMENTS, Key("default", "qwen-engine"))
        await scene.until(lambda: QWEN in scene.woken)
        assert scene.caches.children_of(QWEN) == {}


async def test_a_child_without_the_model_s_label_is_found_by_its_owner() -> None:
    async with running(Scene()) as scene:
        model = put_model(scene.cluster)
        body = a_child(model)
        body["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "berth"}
        scene.cluster.put(DEPLOYMENTS, body)
        await scene.until(lambda: QWEN in scene.woken)
        assert scene.caches.children_of(QWEN)


async def test_objects_of_others_are_not_kept() -> None:
    async with running(Scene()) as scene:
        scene.cluster.put(DEPLOYMENTS, {"metadata": {"name": "web", "namespace": "default"}})
        scene.cluster.put(PODS, {"metadata": {"name": "web-1", "namespace": "default"}})
        await scene.settle()
        assert dict(scene.caches.count())["Deployment"] == 0
        assert dict(scene.caches.count())["Pod"] == 0
        assert scene.woken == []


async def test_a_pod_keeps_what_plans_need_and_nothing_else() -> None:
    async with running(Scene()) as scene:
        pod = a_pod(phase="Running")
        pod["spec"] |= {"nodeName": "n1", "volumes": [{"name": "heavy"}]}
        pod["spec"]["containers"][0] |= {"resources": {"limits": {"cpu": "1"}}, "env": [{"name": "heavy"}]}
        scene.cluster.put(PODS, pod)
        await scene.until(lambda: QWEN in scene.woken)
        (kept,) = scene.caches.pods_of(QWEN)
        container = {"name": "engine", "image": "engine", "resources": {"limits": {"cpu": "1"}}}
        assert kept["spec"] == {"nodeName": "n1", "initContainers": [], "containers": [container]}
        assert kept["status"] == {"podIP": "10.0.0.1", "phase": "Running"}


async def test_pods_and_jobs_are_not_mixed_up() -> None:
    async with running(Scene()) as scene:
        scene.child(resource=JOBS, name="qwen-resolve-1")
        scene.cluster.put(PODS, a_pod())
        await scene.until(lambda: len(scene.woken) >= 2)
        assert set(scene.caches.children_of(QWEN)) == {("Job", "qwen-resolve-1")}
        assert [pod["metadata"]["name"] for pod in scene.caches.pods_of(QWEN)] == ["qwen-1"]


async def test_the_heartbeat_of_a_node_wakes_nobody_and_a_new_label_does() -> None:
    def node(at: str, **labels: str) -> dict[str, Any]:
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": at}
        metadata = {"name": "n1", "labels": labels}
        return {"kind": "Node", "metadata": metadata, "status": {"conditions": [ready], "images": ["heavy"]}}

    async with running(Scene()) as scene:
        scene.cluster.put(NODES, node("1"))
        await scene.until(lambda: "nodes" in scene.woken)
        scene.woken.clear()
        scene.cluster.put(NODES, node("2"))
        await scene.settle()
        assert scene.woken == []
        scene.cluster.put(NODES, node("3", gpu="yes"))
        await scene.until(lambda: "nodes" in scene.woken)
        assert scene.caches.nodes is not None
        assert "images" not in next(iter(scene.caches.nodes.values()))["status"]


async def test_nodes_are_not_asked_for_where_they_may_not_be_seen() -> None:
    async with running(Scene(read_nodes=False)) as scene:
        assert scene.caches.nodes is None
        assert all(request.resource != NODES for request in scene.cluster.requests)


async def test_gateway_pods_are_those_of_the_release() -> None:
    def gateway(namespace: str) -> dict[str, Any]:
        labels = {"app.kubernetes.io/name": "berth", "app.kubernetes.io/component": "gateway"}
        return {
            "kind": "Pod",
            "metadata": {"name": "gateway-1", "namespace": namespace, "labels": labels},
            "status": {"podIP": "::1"},
        }

    async with running(Scene()) as scene:
        scene.cluster.put(PODS, gateway("elsewhere"))
        scene.cluster.put(PODS, gateway("berth-system"))
        await scene.until(lambda: "gateways" in scene.woken)
        await scene.settle()
        assert list(scene.caches.gateway_pods) == [Key("berth-system", "gateway-1")]


async def test_only_watched_namespaces_are_asked_for() -> None:
    async with running(Scene(watch_namespaces=("team-a", "team-b"))) as scene:
        scene.child()
        await scene.settle()
        assert scene.caches.children_of(QWEN) == {}
        deployments = [request for request in scene.cluster.requests if request.resource == DEPLOYMENTS]
        assert len([request for request in deployments if request.verb == "watch"]) == 2


async def test_caches_are_synced_when_everything_has_come_in_once() -> None:
    scene = Scene()
    scene.cluster.fail_next(Forbidden("no right yet"), resource=JOBS, verb="list_page")
    assert "Job" in scene.caches.unsynced()
    async with running(scene):
        assert scene.caches.unsynced() == {}


async def test_what_keeps_a_kind_from_coming_in_is_told() -> None:
    scene = Scene()
    scene.cluster.fail_next(Forbidden("no right yet"), resource=JOBS, verb="list_page", times=1000)
    tasks = [asyncio.create_task(reflector.run()) for reflector in scene.caches.reflectors]
    await scene.until(lambda: scene.caches.unsynced() == {"Job": "no right yet"})
    assert scene.caches.troubles() == {"Job": "no right yet"}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
