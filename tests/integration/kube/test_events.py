"""Events as a real API server takes them."""

import asyncio
from collections.abc import Callable

import pytest
from cluster_contract import DEADLINE_SECONDS, config_map

from berth_kube.client import HttpCluster
from berth_kube.cluster import Scope
from berth_kube.recorder import EventRecorder, Note
from berth_kube.resources import CONFIG_MAPS, EVENTS, NAMESPACES, Key, Object

pytestmark = pytest.mark.needs("kube")


async def events_of(cluster: HttpCluster, obj: Object, wanted: Callable[[list[Object]], bool]) -> list[Object]:
    """The Events about an object, as soon as they are as wanted."""
    scope = Scope(fields=f"regarding.name={obj['metadata']['name']}")
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not wanted(found := list((await cluster.list_page(EVENTS, scope)).items)):
            await asyncio.sleep(0.02)
    return found


async def test_an_event_is_taken_and_counted_on(cluster: HttpCluster, namespace: str) -> None:
    obj = await cluster.create(CONFIG_MAPS, config_map(namespace, f"of-{namespace}"))
    minutes = iter(range(0, 10_000, 61))
    recorder = EventRecorder(cluster, "berth.dev/operator", "pod-1", now=lambda: float(next(minutes)))
    running = asyncio.create_task(recorder.run())
    note = Note(obj, "Warning", "ImageMissing", "Reconcile", "the image is missing")
    recorder.record(note)
    (event,) = await events_of(cluster, obj, lambda found: len(found) == 1)
    assert (event["note"], event["regarding"]["uid"]) == ("the image is missing", obj["metadata"]["uid"])
    recorder.record(note)
    (event,) = await events_of(cluster, obj, lambda found: "series" in found[0])
    assert (event["series"]["count"], recorder.lost) == (2, 0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_an_event_of_what_belongs_to_the_cluster_is_taken(cluster: HttpCluster, namespace: str) -> None:
    obj = await cluster.get(NAMESPACES, Key("", namespace))
    recorder = EventRecorder(cluster, "berth.dev/operator", "pod-1")
    running = asyncio.create_task(recorder.run())
    recorder.record(Note(obj, "Normal", "Seen", "Look", "it is there"))
    (event,) = await events_of(cluster, obj, lambda found: len(found) == 1)
    assert event["metadata"]["namespace"] == "default"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
