"""What a list of metadata says about a stream that somebody else reads."""

from cluster_contract import config_map
from fake_cluster import FakeCluster

from berth_kube.audit import Audit, Listing, compare, list_versions
from berth_kube.cluster import Scope
from berth_kube.resources import CONFIG_MAPS, Key, Object, key_of

A, B = Key("default", "a"), Key("default", "b")


def known(key: Key, uid: str, version: int) -> dict[Key, Object]:
    metadata = {"namespace": key.namespace, "name": key.name, "uid": uid, "resourceVersion": str(version)}
    return {key: {"metadata": metadata}}


def listed(version: int, **objects: tuple[str, int]) -> Listing:
    return Listing(version, {Key("default", name): value for name, value in objects.items()})


async def test_the_list_has_uid_and_version_of_every_page() -> None:
    cluster = FakeCluster()
    made = [cluster.put(CONFIG_MAPS, config_map("default", f"m{number}")) for number in range(501)]
    listing = await list_versions(cluster, CONFIG_MAPS, Scope("default"))
    assert listing.objects == {
        key_of(obj): (obj["metadata"]["uid"], int(obj["metadata"]["resourceVersion"])) for obj in made
    }
    assert listing.version == int(made[-1]["metadata"]["resourceVersion"])


def test_nothing_is_wrong_where_both_say_the_same() -> None:
    assert compare(Audit(), listed(9, a=("1", 5)), known(A, "1", 5), now=0) == Audit()


def test_what_is_in_no_list_has_vanished() -> None:
    assert compare(Audit(), listed(9), known(A, "1", 5), now=0).vanished == {A: "1"}


def test_what_is_younger_than_the_list_has_not_vanished() -> None:
    assert compare(Audit(), listed(9), known(A, "1", 10), now=0).vanished == {}


def test_a_forerunner_has_vanished_and_its_successor_is_awaited() -> None:
    audit = compare(Audit(), listed(9, a=("2", 8)), known(A, "1", 5), now=0)
    assert audit.vanished == {A: "1"}
    assert set(audit.awaited) == {A}


def test_a_version_is_overdue_when_it_was_not_delivered_in_time() -> None:
    listing = listed(9, a=("1", 5), b=("2", 7))
    delivered = known(A, "1", 4)
    first = compare(Audit(), listing, delivered | known(B, "2", 7), now=100)
    assert first.overdue == ()
    assert compare(first, listing, delivered | known(B, "2", 7), now=159).overdue == ()
    assert compare(first, listing, delivered | known(B, "2", 7), now=160).overdue == (A,)


def test_an_object_that_never_came_is_overdue_too() -> None:
    first = compare(Audit(), listed(9, a=("1", 5)), {}, now=0)
    assert compare(first, listed(9, a=("1", 5)), {}, now=60).overdue == (A,)


def test_a_busy_object_is_not_overdue_while_its_stream_keeps_up() -> None:
    audit = Audit()
    for minute in range(10):
        now_listed, delivered = 10 * minute + 5, 10 * minute + 4
        audit = compare(audit, listed(1000, a=("1", now_listed)), known(A, "1", delivered), now=60 * minute)
        assert audit.overdue == ()


def test_a_busy_object_is_overdue_when_its_stream_stands_still() -> None:
    audit = compare(Audit(), listed(1000, a=("1", 5)), known(A, "1", 4), now=0)
    assert compare(audit, listed(1000, a=("1", 25)), known(A, "1", 4), now=60).overdue == (A,)


def test_what_was_awaited_and_vanished_is_awaited_no_more() -> None:
    audit = compare(Audit(), listed(9, a=("1", 5)), {}, now=0)
    assert compare(audit, listed(9), {}, now=60) == Audit()


def test_a_cluster_that_was_restored_makes_what_is_known_overdue() -> None:
    first = compare(Audit(), listed(9), known(A, "1", 50), now=0)
    assert (first.vanished, first.overdue, first.awaited) == ({}, (), {})
    assert compare(first, listed(12), known(A, "1", 50), now=60).overdue == (A,)


def test_what_was_known_before_the_list_caught_up_is_not_overdue() -> None:
    audit = Audit()
    for minute in range(5):
        version = 10 * minute + 15
        audit = compare(audit, listed(version - 5, a=("1", version - 5)), known(A, "1", version), now=60 * minute)
        assert (audit.awaited, audit.overdue) == ({}, ())
