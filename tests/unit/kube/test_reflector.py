"""How the reflector keeps a store like the cluster, whatever happens to its list and its watch."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from cluster_contract import config_map
from fake_cluster import FakeCluster
from stepped_time import SteppedTime, settle

from berth_kube.backoff import Backoff
from berth_kube.cluster import Scope
from berth_kube.errors import ClusterError, Expired, Forbidden, NotFound, Unreachable
from berth_kube.reflector import Reflector
from berth_kube.resources import CONFIG_MAPS, Key, Object
from berth_kube.store import ObjectStore

A, B = Key("default", "a"), Key("default", "b")
Changes = list[tuple[str | None, str | None]]


class Scene:
    """A cluster, a reflector that runs, and what it told."""

    def __init__(self, scope: Scope = Scope(), keep: Callable[[Object], Object] = lambda obj: obj) -> None:  # noqa: B008
        self.cluster = FakeCluster()
        self.time = SteppedTime()
        self.store = ObjectStore()
        self.changes: Changes = []
        self.reflector = Reflector(
            self.cluster,
            CONFIG_MAPS,
            scope,
            self.store,
            self._note,
            keep=keep,
            backoff=Backoff(draw=lambda: 0.0),
            now=self.time.now,
            sleep=self.time.sleep,
        )

    def put(self, name: str, **data: str) -> None:
        self.cluster.put(CONFIG_MAPS, config_map("default", name, **data))

    @property
    def lists(self) -> int:
        return sum(request.verb == "list_page" and not request.metadata_only for request in self.cluster.requests)

    @property
    def tries(self) -> int:
        """Watches that were asked for."""
        return sum(request.verb == "watch" for request in self.cluster.requests)

    def _note(self, old: Object | None, new: Object | None) -> None:
        self.changes.append((_text(old), _text(new)))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.reflector.run())
        try:
            await settle()
            yield
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


def _text(obj: Object | None) -> str | None:
    return None if obj is None else obj["metadata"]["name"] + obj.get("data", {}).get("x", "")


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_it_is_synced_when_the_store_holds_everything(scene: Scene) -> None:
    scene.put("a")
    scene.put("b")
    assert not scene.reflector.synced.is_set()
    async with scene.running():
        assert scene.reflector.synced.is_set()
        assert set(scene.store) == {A, B}


async def test_changes_are_told_with_what_was_known_before(scene: Scene) -> None:
    scene.put("a", x="1")
    async with scene.running():
        scene.put("a", x="2")
        scene.cluster.remove(CONFIG_MAPS, A)
        await settle()
    assert scene.changes == [(None, "a1"), ("a1", "a2"), ("a2", None)]


async def test_a_broken_watch_is_taken_up_where_it_stopped(scene: Scene) -> None:
    scene.put("a", x="1")
    async with scene.running():
        scene.cluster.end_watches(Unreachable("broken"))
        await settle()
        assert scene.cluster.watches == 0
        scene.put("a", x="2")
        await scene.time.pass_seconds(1)
        assert (scene.lists, scene.tries) == (1, 2)
    assert scene.changes == [(None, "a1"), ("a1", "a2")]


async def test_a_bookmark_moves_the_version_to_go_on_from(scene: Scene) -> None:
    scene.put("a")
    async with scene.running():
        scene.cluster.put(CONFIG_MAPS, config_map("elsewhere", "z"))
        await settle()
        scene.cluster.bookmark()
        await settle()
        scene.cluster.end_watches(Unreachable("broken"))
        await scene.time.pass_seconds(1)
        assert scene.tries == 2


async def test_an_expired_version_lists_again_and_drops_what_vanished(scene: Scene) -> None:
    scene.put("a", x="1")
    scene.put("b")
    async with scene.running():
        scene.cluster.remove_silently(CONFIG_MAPS, B)
        scene.cluster.expire_watches()
        await scene.time.pass_seconds(1)
        assert set(scene.store) == {A}
        assert (scene.lists, scene.cluster.watches) == (2, 1)
    # What is as it was is not told again.
    assert scene.changes == [(None, "a1"), (None, "b"), ("b", None)]


async def test_only_an_expired_version_lists_again(scene: Scene) -> None:
    async with scene.running():
        for error in (Unreachable("x"), Forbidden("x"), NotFound("x"), ClusterError("x")):
            scene.cluster.end_watches(error)
            await scene.time.pass_seconds(10)
        assert scene.lists == 1


async def test_a_token_that_expired_between_pages_starts_the_list_anew() -> None:
    scene = Scene()
    for number in range(501):
        scene.put(f"m{number}")
    scene.cluster.fail_next(Expired("the token is too old", status=410), verb="list_page", after=True)
    async with scene.running():
        assert not scene.reflector.synced.is_set()
        await scene.time.pass_seconds(1)
        assert len(scene.store) == 501
        assert scene.lists == 3


async def test_a_successor_found_by_a_list_is_told_with_its_forerunner(scene: Scene) -> None:
    scene.put("a", x="1")
    async with scene.running():
        scene.cluster.remove_silently(CONFIG_MAPS, A)
        scene.put("a", x="2")
        scene.cluster.expire_watches()
        await scene.time.pass_seconds(1)
    assert scene.changes == [(None, "a1"), ("a1", "a2")]


async def test_a_cluster_that_was_restored_to_an_older_state_is_listed_anew(scene: Scene) -> None:
    for x in "123":
        scene.put("a", x=x)
    async with scene.running():
        scene.cluster.lose_everything()
        scene.put("b")
        await scene.time.pass_seconds(1)
        assert set(scene.store) == {B}


async def test_a_stream_that_opens_and_says_nothing_grows_old(scene: Scene) -> None:
    async with scene.running():
        for _ in range(3):
            await scene.time.pass_seconds(70)
            scene.cluster.end_watches(Unreachable("silent"))
        await settle()
        assert scene.reflector.age_seconds(scene.time.now()) == 210


async def test_failures_are_retried_for_ever_and_seen(scene: Scene) -> None:
    scene.cluster.fail_next(Forbidden("configmaps is forbidden"), verb="list_page", times=10)
    async with scene.running():
        assert "forbidden" in scene.reflector.trouble
        await scene.time.pass_seconds(120)
        assert scene.reflector.synced.is_set()
        assert scene.reflector.trouble == ""


async def test_the_delay_doubles_to_its_bound_and_starts_over_when_a_stream_opens(scene: Scene) -> None:
    scene.cluster.fail_next(Unreachable("gone"), verb="watch", times=6)
    async with scene.running():
        tries = []
        for _ in range(64):
            tries.append(scene.tries)
            await scene.time.pass_seconds(0.5)
        # At 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 23.5 seconds; the last one stays.
        assert [tries.index(count) / 2 for count in range(1, 8)] == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 23.5]
        scene.cluster.end_watches(Unreachable("gone"))
        await scene.time.pass_seconds(0.5)
        assert scene.tries == 8


async def test_a_server_that_ends_each_watch_at_once_is_not_hammered(scene: Scene) -> None:
    async with scene.running():
        for _ in range(20):
            scene.cluster.end_watches()
            await scene.time.pass_seconds(0.1)
        assert scene.tries <= 6


async def test_a_watch_that_ended_in_its_time_is_opened_again_at_once(scene: Scene) -> None:
    async with scene.running():
        await scene.time.pass_seconds(280)
        scene.cluster.end_watches()
        await settle()
        assert scene.cluster.watches == 1


async def test_its_age_is_the_time_since_anything_was_heard(scene: Scene) -> None:
    async with scene.running():
        await scene.time.pass_seconds(50)
        assert scene.reflector.age_seconds(scene.time.now()) == 50
        scene.cluster.bookmark()
        await settle()
        assert scene.reflector.age_seconds(scene.time.now()) == 0


async def test_failures_do_not_make_it_younger(scene: Scene) -> None:
    scene.cluster.fail_next(Unreachable("gone"), verb="list_page", times=1000)
    async with scene.running():
        await scene.time.pass_seconds(200)
        assert scene.reflector.age_seconds(scene.time.now()) == 200


async def test_a_sweep_leaves_the_namespaces_of_other_reflectors() -> None:
    scene = Scene(Scope("default"))
    foreign = scene.cluster.put(CONFIG_MAPS, config_map("elsewhere", "z"))
    scene.store.put(foreign)
    scene.put("a")
    async with scene.running():
        assert set(scene.store) == {A, Key("elsewhere", "z")}


async def test_it_keeps_what_it_is_told_to_keep_and_no_managed_fields() -> None:
    def keep(obj: Object) -> Object:
        assert "managedFields" not in obj["metadata"]
        return {"metadata": obj["metadata"], "size": len(obj["data"])}

    scene = Scene(keep=keep)
    obj = config_map("default", "a", x="1", y="2")
    scene.cluster.put(CONFIG_MAPS, {**obj, "metadata": {**obj["metadata"], "managedFields": [{"manager": "x"}]}})
    async with scene.running():
        assert scene.store[A]["size"] == 2


async def test_a_bug_ends_it(scene: Scene) -> None:
    def break_(obj: Object) -> Object:
        raise ZeroDivisionError

    scene = Scene(keep=break_)
    scene.put("a")
    with pytest.raises(ZeroDivisionError):
        await scene.reflector.run()
