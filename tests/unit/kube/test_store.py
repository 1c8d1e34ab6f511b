"""The store: by key, guarded by UID and version."""

from berth_kube.resources import Key, Object
from berth_kube.store import ObjectStore

A = Key("default", "a")


def stored(*, uid: str = "1", version: int = 5) -> Object:
    return {"metadata": {"namespace": "default", "name": "a", "uid": uid, "resourceVersion": str(version)}}


def test_putting_answers_what_stood_there() -> None:
    store = ObjectStore()
    old, new = stored(version=5), stored(version=6)
    assert store.put(old) is None
    assert store.put(new) is old
    assert store[A] is new


def test_only_the_object_with_that_uid_is_removed() -> None:
    store = ObjectStore()
    store.put(stored(uid="2"))
    assert store.remove(A, "1") is None
    assert store.remove(A, "2") is not None
    assert store.remove(A, "2") is None
    assert A not in store


def test_an_older_version_from_a_source_without_order_changes_nothing() -> None:
    store = ObjectStore()
    # Numbers, not texts: "10" is newer than "9".
    assert store.put_unless_older(stored(version=9))
    assert store.put_unless_older(stored(uid="2", version=10))
    assert not store.put_unless_older(stored(version=9))
    assert store[A]["metadata"]["uid"] == "2"
