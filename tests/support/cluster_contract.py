"""What every `Cluster` does, as rules: run on the fake in memory and on HTTP with a real API server.

class TestSomething(ClusterContract): its module gives the fixtures `cluster` and `namespace` (of a test's own).
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from berth_kube.cluster import Change, Cluster, Scope, WatchEvent
from berth_kube.errors import AlreadyExists, Conflict, NotFound
from berth_kube.resources import CONFIG_MAPS, DEPLOYMENTS, LEASES, Key, Object, uid_of

DEADLINE_SECONDS = 20
OURS, THEIRS = "berth-operator", "someone"


def config_map(namespace: str, name: str, *, labels: dict[str, str] | None = None, **data: str) -> Object:
    metadata: dict[str, object] = {"namespace": namespace, "name": name}
    if labels is not None:
        metadata["labels"] = labels
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def deployment(namespace: str, name: str, *, replicas: int | None = 1, env: dict[str, str] | None = None) -> Object:
    container: dict[str, object] = {"name": "main", "image": "example/image:1"}
    if env is not None:
        container["env"] = [{"name": key, "value": value} for key, value in env.items()]
    spec: dict[str, object] = {
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": name},
        "spec": spec,
    }


def status_of(namespace: str, name: str, **conditions: str) -> Object:
    """A status to apply: conditions by type."""
    listed = [{"type": kind, "status": status, "reason": "Test", "message": ""} for kind, status in conditions.items()]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": name},
        "status": {"conditions": listed},
    }


def with_metadata(body: Object, **metadata: object) -> Object:
    return {**body, "metadata": {**body["metadata"], **metadata}}


def version_of(obj: Object) -> str:
    return str(obj["metadata"]["resourceVersion"])


def conditions_of(obj: Object) -> dict[str, str]:
    return {condition["type"]: condition["status"] for condition in obj["status"].get("conditions", ())}


async def version_now(cluster: Cluster, namespace: str) -> str:
    return (await cluster.list_page(CONFIG_MAPS, Scope(namespace))).version


async def next_change(events: AsyncGenerator[WatchEvent, None]) -> WatchEvent:
    """The next event that is no bookmark."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for event in events:
            if event.change is not Change.BOOKMARK:
                return event
    raise AssertionError("the watch ended")


class ReadContract:
    """Getting and listing."""

    async def test_what_is_not_there_is_not_found(self, cluster: Cluster, namespace: str) -> None:
        with pytest.raises(NotFound):
            await cluster.get(CONFIG_MAPS, Key(namespace, "nothing"))

    async def test_what_was_created_is_read_with_uid_and_version(self, cluster: Cluster, namespace: str) -> None:
        made = await cluster.create(CONFIG_MAPS, config_map(namespace, "a", x="1"))
        read = await cluster.get(CONFIG_MAPS, Key(namespace, "a"))
        assert (read["data"], uid_of(read), version_of(read)) == ({"x": "1"}, uid_of(made), version_of(made))
        assert uid_of(read)

    async def test_an_object_is_created_once(self, cluster: Cluster, namespace: str) -> None:
        await cluster.create(CONFIG_MAPS, config_map(namespace, "a"))
        with pytest.raises(AlreadyExists):
            await cluster.create(CONFIG_MAPS, config_map(namespace, "a"))

    async def test_a_list_comes_in_pages_of_one_version(self, cluster: Cluster, namespace: str) -> None:
        for name in "abcde":
            await cluster.create(CONFIG_MAPS, config_map(namespace, name, labels={"of": "pages"}))
        scope = Scope(namespace, labels="of=pages")
        first = await cluster.list_page(CONFIG_MAPS, scope, limit=2)
        await cluster.create(CONFIG_MAPS, config_map(namespace, "z", labels={"of": "pages"}))
        second = await cluster.list_page(CONFIG_MAPS, scope, limit=2, more=first.more)
        third = await cluster.list_page(CONFIG_MAPS, scope, limit=2, more=second.more)
        names = [obj["metadata"]["name"] for page in (first, second, third) for obj in page.items]
        assert (names, third.more, first.version) == (list("abcde"), "", third.version)

    async def test_a_listed_object_says_what_it_is(self, cluster: Cluster, namespace: str) -> None:
        await cluster.create(DEPLOYMENTS, deployment(namespace, "a"))
        (item,) = (await cluster.list_page(DEPLOYMENTS, Scope(namespace))).items
        assert (item["apiVersion"], item["kind"]) == ("apps/v1", "Deployment")

    async def test_a_list_of_metadata_has_nothing_else(self, cluster: Cluster, namespace: str) -> None:
        made = await cluster.create(CONFIG_MAPS, config_map(namespace, "a", labels={"only": "this"}, x="1"))
        page = await cluster.list_page(CONFIG_MAPS, Scope(namespace, labels="only"), metadata_only=True)
        assert [(uid_of(item), version_of(item), "data" in item) for item in page.items] == [
            (uid_of(made), version_of(made), False)
        ]

    @pytest.mark.parametrize(
        ("selector", "names"),
        [
            ("tier", ["a", "b"]),
            ("!tier,team", ["c"]),
            ("tier=gold", ["a"]),
            ("tier!=gold,team", ["b", "c"]),
            ("tier in (gold, silver),team=x", ["a"]),
            ("team notin (x)", ["b"]),
        ],
    )
    async def test_labels_select(self, cluster: Cluster, namespace: str, selector: str, names: list[str]) -> None:
        labels = {"a": {"tier": "gold", "team": "x"}, "b": {"tier": "silver", "team": "y"}, "c": {"team": "x"}}
        for name, own in labels.items():
            await cluster.create(CONFIG_MAPS, config_map(namespace, name, labels=own))
        found = (await cluster.list_page(CONFIG_MAPS, Scope(namespace, labels=selector))).items
        assert [obj["metadata"]["name"] for obj in found if obj["metadata"]["name"] in labels] == names

    async def test_a_field_selects(self, cluster: Cluster, namespace: str) -> None:
        for name in "ab":
            await cluster.create(CONFIG_MAPS, config_map(namespace, name))
        found = (await cluster.list_page(CONFIG_MAPS, Scope(namespace, fields="metadata.name=b"))).items
        assert [obj["metadata"]["name"] for obj in found] == ["b"]


class WatchContract:
    """Hearing of changes."""

    async def test_a_watch_says_first_that_it_is_open(self, cluster: Cluster, namespace: str) -> None:
        since = await version_now(cluster, namespace)
        async with aclosing(cluster.watch(CONFIG_MAPS, Scope(namespace), since=since)) as events:
            first = await anext(events)
        assert (first.change, version_of(first.object)) == (Change.BOOKMARK, since)

    async def test_a_watch_tells_what_happened_since_its_version(self, cluster: Cluster, namespace: str) -> None:
        since = await version_now(cluster, namespace)
        made = await cluster.create(CONFIG_MAPS, config_map(namespace, "a"))
        await cluster.merge(CONFIG_MAPS, Key(namespace, "a"), {"data": {"x": "1"}})
        await cluster.delete(CONFIG_MAPS, Key(namespace, "a"), uid=uid_of(made))
        async with aclosing(cluster.watch(CONFIG_MAPS, Scope(namespace), since=since)) as events:
            changes = [await next_change(events) for _ in range(3)]
        assert [event.change for event in changes] == [Change.ADDED, Change.MODIFIED, Change.DELETED]
        assert {uid_of(event.object) for event in changes} == {uid_of(made)}
        versions = [int(version_of(event.object)) for event in changes]
        assert versions == sorted(set(versions))

    async def test_a_watch_goes_on_while_things_happen(self, cluster: Cluster, namespace: str) -> None:
        since = await version_now(cluster, namespace)
        async with aclosing(cluster.watch(CONFIG_MAPS, Scope(namespace), since=since)) as events:
            await anext(events)
            for name in "ab":
                await cluster.create(CONFIG_MAPS, config_map(namespace, name))
                assert (await next_change(events)).object["metadata"]["name"] == name

    async def test_an_object_leaves_a_watch_with_the_label_that_selected_it(
        self, cluster: Cluster, namespace: str
    ) -> None:
        scope = Scope(namespace, labels="seen=yes")
        since = await version_now(cluster, namespace)
        await cluster.create(CONFIG_MAPS, config_map(namespace, "a", labels={"seen": "no"}))
        async with aclosing(cluster.watch(CONFIG_MAPS, scope, since=since)) as events:
            for value in ("yes", "no"):
                await cluster.merge(CONFIG_MAPS, Key(namespace, "a"), {"metadata": {"labels": {"seen": value}}})
            changes = [(await next_change(events)).change for _ in range(2)]
        assert changes == [Change.ADDED, Change.DELETED]


class WriteContract:
    """Replacing, patching and deleting, with their preconditions."""

    async def test_an_old_version_is_not_replaced(self, cluster: Cluster, namespace: str) -> None:
        body = {"metadata": {"namespace": namespace, "name": "a"}, "spec": {"holderIdentity": "one"}}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **body}
        old = await cluster.create(LEASES, lease)
        new = await cluster.replace(LEASES, {**old, "spec": {"holderIdentity": "two"}})
        with pytest.raises(Conflict):
            await cluster.replace(LEASES, {**old, "spec": {"holderIdentity": "three"}})
        assert (await cluster.get(LEASES, Key(namespace, "a")))["spec"]["holderIdentity"] == "two"
        assert version_of(new) != version_of(old)

    async def test_what_is_not_there_is_not_replaced(self, cluster: Cluster, namespace: str) -> None:
        made = await cluster.create(CONFIG_MAPS, config_map(namespace, "a"))
        await cluster.delete(CONFIG_MAPS, Key(namespace, "a"), uid=uid_of(made))
        # A real server says Conflict here, because the body names a version or UID of something that is gone.
        with pytest.raises((NotFound, Conflict)):
            await cluster.replace(CONFIG_MAPS, made)

    async def test_a_patch_removes_with_null_and_keeps_the_rest(self, cluster: Cluster, namespace: str) -> None:
        await cluster.create(CONFIG_MAPS, config_map(namespace, "a", labels={"one": "1", "two": "2"}, x="1"))
        await cluster.merge(CONFIG_MAPS, Key(namespace, "a"), {"metadata": {"labels": {"one": None}}})
        read = await cluster.get(CONFIG_MAPS, Key(namespace, "a"))
        assert (read["metadata"]["labels"], read["data"]) == ({"two": "2"}, {"x": "1"})

    @pytest.mark.parametrize("precondition", ["uid", "resourceVersion"])
    async def test_a_patch_for_another_object_is_a_conflict(
        self, cluster: Cluster, namespace: str, precondition: str
    ) -> None:
        old = await cluster.create(CONFIG_MAPS, config_map(namespace, "a", x="1"))
        await cluster.delete(CONFIG_MAPS, Key(namespace, "a"), uid=uid_of(old))
        await cluster.create(CONFIG_MAPS, config_map(namespace, "a", x="2"))
        patch = {"metadata": {precondition: old["metadata"][precondition]}, "data": {"x": "3"}}
        with pytest.raises(Conflict):
            await cluster.merge(CONFIG_MAPS, Key(namespace, "a"), patch)
        assert (await cluster.get(CONFIG_MAPS, Key(namespace, "a")))["data"] == {"x": "2"}

    async def test_a_successor_is_not_deleted_in_the_place_of_its_forerunner(
        self, cluster: Cluster, namespace: str
    ) -> None:
        key = Key(namespace, "a")
        old = await cluster.create(CONFIG_MAPS, config_map(namespace, "a"))
        await cluster.delete(CONFIG_MAPS, key, uid=uid_of(old))
        await cluster.create(CONFIG_MAPS, config_map(namespace, "a"))
        with pytest.raises(Conflict):
            await cluster.delete(CONFIG_MAPS, key, uid=uid_of(old))
        assert await cluster.get(CONFIG_MAPS, key)

    async def test_deleting_what_is_gone_is_fine(self, cluster: Cluster, namespace: str) -> None:
        await cluster.delete(CONFIG_MAPS, Key(namespace, "nothing"), uid="00000000-0000-0000-0000-000000000000")


class ApplyContract:
    """Server-side apply."""

    async def test_an_apply_that_changes_nothing_keeps_the_version(self, cluster: Cluster, namespace: str) -> None:
        body = deployment(namespace, "a", env={"X": "1"})
        first = await cluster.apply(DEPLOYMENTS, body, manager=OURS)
        assert version_of(await cluster.apply(DEPLOYMENTS, body, manager=OURS)) == version_of(first)

    async def test_what_an_apply_leaves_out_goes(self, cluster: Cluster, namespace: str) -> None:
        body = with_metadata(deployment(namespace, "a", env={"X": "1", "Y": "2"}), labels={"one": "1", "two": "2"})
        await cluster.apply(DEPLOYMENTS, body, manager=OURS)
        body = with_metadata(deployment(namespace, "a", env={"Y": "2"}), labels={"two": "2"})
        after = await cluster.apply(DEPLOYMENTS, body, manager=OURS)
        (container,) = after["spec"]["template"]["spec"]["containers"]
        assert (container["env"], after["metadata"]["labels"]) == ([{"name": "Y", "value": "2"}], {"two": "2"})

    async def test_what_two_own_stays_until_both_leave_it_out(self, cluster: Cluster, namespace: str) -> None:
        shared = config_map(namespace, "a", x="1")
        await cluster.apply(CONFIG_MAPS, shared, manager=OURS)
        await cluster.apply(CONFIG_MAPS, shared, manager=THEIRS)
        after = await cluster.apply(CONFIG_MAPS, config_map(namespace, "a"), manager=OURS)
        assert after["data"] == {"x": "1"}
        after = await cluster.apply(CONFIG_MAPS, config_map(namespace, "a"), manager=THEIRS)
        assert not after.get("data")

    async def test_another_managers_fields_stay(self, cluster: Cluster, namespace: str) -> None:
        await cluster.apply(CONFIG_MAPS, config_map(namespace, "a", x="1"), manager=OURS)
        await cluster.merge(CONFIG_MAPS, Key(namespace, "a"), {"data": {"theirs": "1"}})
        after = await cluster.apply(CONFIG_MAPS, config_map(namespace, "a", x="2"), manager=OURS)
        assert after["data"] == {"x": "2", "theirs": "1"}

    async def test_our_fields_are_forced_back(self, cluster: Cluster, namespace: str) -> None:
        await cluster.apply(CONFIG_MAPS, config_map(namespace, "a", x="1"), manager=OURS)
        await cluster.merge(CONFIG_MAPS, Key(namespace, "a"), {"data": {"x": "theirs"}})
        after = await cluster.apply(CONFIG_MAPS, config_map(namespace, "a", x="1"), manager=OURS)
        assert after["data"] == {"x": "1"}

    async def test_an_apply_with_a_uid_never_makes_an_object_anew(self, cluster: Cluster, namespace: str) -> None:
        body = config_map(namespace, "a")
        old = await cluster.apply(CONFIG_MAPS, body, manager=OURS)
        await cluster.delete(CONFIG_MAPS, Key(namespace, "a"), uid=uid_of(old))
        with pytest.raises(Conflict):
            await cluster.apply(CONFIG_MAPS, with_metadata(body, uid=uid_of(old)), manager=OURS)
        with pytest.raises(NotFound):
            await cluster.get(CONFIG_MAPS, Key(namespace, "a"))

    async def test_only_a_changed_spec_is_a_new_generation(self, cluster: Cluster, namespace: str) -> None:
        await cluster.apply(DEPLOYMENTS, deployment(namespace, "a", replicas=1), manager=OURS)
        await cluster.apply_status(DEPLOYMENTS, status_of(namespace, "a", Ready="True"), manager=OURS)
        labelled = with_metadata(deployment(namespace, "a", replicas=1), labels={"x": "1"})
        same = await cluster.apply(DEPLOYMENTS, labelled, manager=OURS)
        other = await cluster.apply(DEPLOYMENTS, deployment(namespace, "a", replicas=2), manager=OURS)
        assert (same["metadata"]["generation"], other["metadata"]["generation"]) == (1, 2)


class StatusContract:
    """Status through its subresource."""

    async def test_status_is_written_only_through_its_subresource(self, cluster: Cluster, namespace: str) -> None:
        body = {**deployment(namespace, "a"), "status": status_of(namespace, "a", Ready="True")["status"]}
        made = await cluster.apply(DEPLOYMENTS, body, manager=OURS)
        assert not made.get("status", {}).get("conditions")
        after = await cluster.apply_status(DEPLOYMENTS, status_of(namespace, "a", Ready="True"), manager=OURS)
        assert conditions_of(after) == {"Ready": "True"}
        assert conditions_of(await cluster.apply(DEPLOYMENTS, deployment(namespace, "a"), manager=OURS)) == {
            "Ready": "True"
        }

    async def test_a_condition_that_is_left_out_goes_and_others_conditions_stay(
        self, cluster: Cluster, namespace: str
    ) -> None:
        await cluster.apply(DEPLOYMENTS, deployment(namespace, "a"), manager=OURS)
        await cluster.apply_status(DEPLOYMENTS, status_of(namespace, "a", Theirs="True"), manager=THEIRS)
        await cluster.apply_status(DEPLOYMENTS, status_of(namespace, "a", Ready="True", Fits="True"), manager=OURS)
        after = await cluster.apply_status(DEPLOYMENTS, status_of(namespace, "a", Ready="False"), manager=OURS)
        assert conditions_of(after) == {"Theirs": "True", "Ready": "False"}

    async def test_status_of_what_is_not_there_is_not_found(self, cluster: Cluster, namespace: str) -> None:
        with pytest.raises(NotFound):
            await cluster.apply_status(DEPLOYMENTS, status_of(namespace, "a", Ready="True"), manager=OURS)

    async def test_a_status_for_an_old_version_is_a_conflict(self, cluster: Cluster, namespace: str) -> None:
        old = await cluster.apply(DEPLOYMENTS, deployment(namespace, "a"), manager=OURS)
        await cluster.apply(DEPLOYMENTS, deployment(namespace, "a", replicas=2), manager=OURS)
        status = with_metadata(status_of(namespace, "a", Ready="True"), resourceVersion=version_of(old))
        with pytest.raises(Conflict):
            await cluster.apply_status(DEPLOYMENTS, status, manager=OURS)

    async def test_a_status_that_changes_nothing_keeps_the_version(self, cluster: Cluster, namespace: str) -> None:
        await cluster.apply(DEPLOYMENTS, deployment(namespace, "a"), manager=OURS)
        first = await cluster.apply_status(DEPLOYMENTS, status_of(namespace, "a", Ready="True"), manager=OURS)
        again = await cluster.apply_status(DEPLOYMENTS, status_of(namespace, "a", Ready="True"), manager=OURS)
        assert version_of(again) == version_of(first)


class ClusterContract(ReadContract, WatchContract, WriteContract, ApplyContract, StatusContract):
    """All of it."""
