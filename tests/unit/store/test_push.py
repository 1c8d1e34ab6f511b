from pathlib import Path

import pytest
from oci_artifacts import make_artifact
from yarl import URL

from berth_api.errors import InvalidSpec
from berth_store.digest import digest_of
from berth_store.errors import SourceNotFound
from berth_store.home import default_home, default_store
from berth_store.local import Store
from berth_store.push import push, repositories_with
from berth_store.reference import Reference
from berth_store.sweep import PARTIAL_AGE_SECONDS, sweep
from berth_store.upload_session import upload_session

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


ADDRESS = URL("http://127.0.0.1:5000/v2/a/blobs/uploads/1?_state=a%2Fb%3D", encoded=True)


def test_where_an_upload_stands_is_kept_for_the_next_process_and_for_a_week(store: Store) -> None:
    digest = digest_of(b"weights")
    with upload_session(store, "r.example", "a/one", digest) as session:
        session.keep(ADDRESS)
    with upload_session(store, "r.example", "a/one", digest) as session:
        assert session.read() == ADDRESS
    with upload_session(store, "r.example", "a/two", digest) as other:
        assert other.read() is None
    (file,) = store.ingest.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    sweep(store)
    assert file.exists()
    sweep(store, now=file.stat().st_mtime + PARTIAL_AGE_SECONDS + 1)
    assert not file.exists()


def test_a_second_push_of_the_same_blob_leaves_the_first_ones_upload_alone(store: Store) -> None:
    digest = digest_of(b"weights")
    with upload_session(store, "r.example", "a/one", digest) as first:
        first.keep(ADDRESS)
        with upload_session(store, "r.example", "a/one", digest) as second:
            assert second.read() is None
            second.keep(URL("http://127.0.0.1/other"))
            second.forget()
        assert first.read() == ADDRESS


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff\xfe", b"/v2/relative", b"http://[::1/x"])
def test_an_address_that_makes_no_sense_is_none(store: Store, content: bytes) -> None:
    with upload_session(store, "r.example", "a/one", digest_of(b"weights")) as session:
        session.keep(ADDRESS)
        (file,) = store.ingest.iterdir()
        file.write_bytes(content)
        assert session.read() is None
