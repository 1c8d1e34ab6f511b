"""Events for people: few, counted, and at nobody's cost."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from cluster_contract import config_map
from fake_cluster import FakeCluster
from stepped_time import SteppedTime

from berth_kube.errors import Forbidden
from berth_kube.recorder import EventRecorder, Note
from berth_kube.resources import CONFIG_MAPS, EVENTS, Object, key_of


class Scene:
    """A recorder that runs."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.time = SteppedTime()
        self.recorder = EventRecorder(
            self.cluster, "berth.dev/operator", "pod-1", now=self.time.now, sleep=self.time.sleep
        )
        self.objects = [self.cluster.put(CONFIG_MAPS, config_map("default", f"m{number}")) for number in range(1100)]

    def say(self, text: str, *, reason: str = "Failed", number: int = 0) -> None:
        self.recorder.record(Note(self.objects[number], "Warning", reason, "Reconcile", text))

    @property
    def events(self) -> list[Object]:
        return self.cluster.all_of(EVENTS)

    @property
    def writes(self) -> int:
        return len(self.cluster.writes)


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    task = asyncio.create_task(scene.recorder.run())
    yield scene
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_event_says_what_happened_to_which_object(scene: Scene) -> None:
    scene.say("the image is missing")
    await scene.time.pass_seconds(0)
    (event,) = scene.events
    assert (event["note"], event["reason"], event["type"]) == ("the image is missing", "Failed", "Warning")
    assert event["regarding"]["uid"] == scene.objects[0]["metadata"]["uid"]
    assert "series" not in event


async def test_what_repeats_is_counted_once_a_minute(scene: Scene) -> None:
    for _ in range(110):
        scene.say("it fails")
        await scene.time.pass_seconds(1)
    (event,) = scene.events
    assert scene.writes == 2
    assert 60 <= event["series"]["count"] <= 62


async def test_another_text_for_the_same_reason_waits_for_its_minute_and_is_an_event_of_its_own(scene: Scene) -> None:
    scene.say("10 %")
    await scene.time.pass_seconds(1)
    for percent in range(20, 90, 10):
        scene.say(f"{percent} %")
    await scene.time.pass_seconds(30)
    assert [event["note"] for event in scene.events] == ["10 %"]
    await scene.time.pass_seconds(32)
    assert sorted(event["note"] for event in scene.events) == ["10 %", "80 %"]


async def test_other_reasons_and_other_objects_do_not_wait(scene: Scene) -> None:
    scene.say("a")
    scene.say("b", reason="Other")
    scene.say("c", number=1)
    await scene.time.pass_seconds(1)
    assert len(scene.events) == 3


async def test_an_event_that_the_cluster_has_forgotten_is_made_anew(scene: Scene) -> None:
    scene.say("it fails")
    await scene.time.pass_seconds(59)
    (event,) = scene.events
    scene.cluster.remove(EVENTS, key_of(event))
    scene.say("it fails")
    await scene.time.pass_seconds(5)
    assert len(scene.events) == 1


async def test_refusals_cost_nothing_but_the_event(scene: Scene) -> None:
    scene.cluster.fail_next(Forbidden("no right"), times=2)
    for number in range(3):
        scene.say("it fails", number=number)
    await scene.time.pass_seconds(1)
    assert (len(scene.events), scene.recorder.lost) == (1, 2)


async def test_of_too_many_the_oldest_are_dropped(scene: Scene) -> None:
    for number in range(1100):
        scene.say("it fails", number=number)
    assert scene.recorder.lost == 100
    await scene.time.pass_seconds(1000)
    names = {event["regarding"]["name"] for event in scene.events}
    assert names == {f"m{number}" for number in range(100, 1100)}


async def test_a_flood_is_written_at_a_bounded_rate(scene: Scene) -> None:
    for number in range(500):
        scene.say("it fails", number=number)
    await scene.time.pass_seconds(10)
    assert 25 <= scene.writes <= 25 + 5 * 10 + 1


async def test_a_long_text_is_cut_to_what_an_event_takes(scene: Scene) -> None:
    scene.say("ö" * 2000)
    await scene.time.pass_seconds(0)
    (event,) = scene.events
    assert len(event["note"].encode()) <= 1024
    assert event["note"].endswith("ö…")
