from pathlib import Path

import pytest
from oci_artifacts import make_artifact

from berth_api.errors import InvalidSpec
from berth_store.digest import digest_of
from berth_store.errors import SourceNotFound
from berth_store.home import default_home, default_store
from berth_store.local import Store
from berth_store.push import push, repositories_with
from berth_store.reference import Reference

ARTIFACT = make_artifact({"model.gguf": b"weights"})
NAMES = ("ghcr.io/a/one:1", "ghcr.io/a/two:1", "ghcr.io/a/two:2", "other.io/a/three:1")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    with store.using():
        for blob in (*ARTIFACT.blobs.values(), ARTIFACT.manifest):
            store.write_blob(blob)
        for name in NAMES:
            store.tag(Reference.parse(name), ARTIFACT.digest)
    return store


async def test_names_on_localhost_are_never_pushed(store: Store) -> None:
    with pytest.raises(InvalidSpec, match="stay on this machine"):
        await push(store, Reference.parse("localhost/mine"))


async def test_what_is_not_here_or_not_whole_is_not_pushed(store: Store) -> None:
    with pytest.raises(SourceNotFound, match="berth list"):
        await push(store, Reference.parse("ghcr.io/a/none"))
    store.blob_path(digest_of(b"weights")).unlink()
    with pytest.raises(SourceNotFound, match="1 of its blobs"):
        await push(store, Reference.parse(NAMES[0]))


def test_blobs_are_mounted_from_other_repositories_of_the_same_registry_only(store: Store) -> None:
    digest = digest_of(b"weights")
    assert repositories_with(store, "ghcr.io", "a/one", digest) == ("a/two",)
    assert repositories_with(store, "other.io", "a/three", digest) == ()
    assert repositories_with(store, "ghcr.io", "a/new", digest_of(b"?")) == ()


def test_the_home_is_the_users_unless_another_is_chosen(tmp_path: Path) -> None:
    assert default_home({}) == Path.home() / ".berth"
    assert default_home({"BERTH_HOME": str(tmp_path)}) == tmp_path
    assert default_home({"BERTH_HOME": "~/x"}) == Path.home() / "x"
    assert default_store({"BERTH_HOME": str(tmp_path)}) == tmp_path / "store"
