import errno
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from oci_artifacts import MadeArtifact, make_artifact, random_bytes

from berth_api.artifact import Format, Task
from berth_api.errors import Unavailable
from berth_store import locks
from berth_store.digest import Digest, digest_of
from berth_store.durable import writing
from berth_store.errors import DigestMismatch, DiskFull, SourceNotFound
from berth_store.integrity import discard, find_damage
from berth_store.local import Store
from berth_store.reference import Reference
from berth_store.sweep import PARTIAL_AGE_SECONDS, sweep

ONE, TWO = Reference.parse("localhost/one"), Reference.parse("ghcr.io/team/two:v2")
SHARED = random_bytes(5000, seed=1)
FIRST = make_artifact({"model.gguf": SHARED, "LICENSE": b"free"})
SECOND = make_artifact({"model.gguf": SHARED, "LICENSE": b"not so free"})


def put(store: Store, reference: Reference, artifact: MadeArtifact) -> Digest:
    with store.using():
        for blob in (*artifact.blobs.values(), artifact.manifest):
            store.write_blob(blob)
        store.tag(reference, artifact.digest)
    return artifact.digest


def blobs_of(store: Store) -> set[str]:
    return {path.name for path in store.blobs.iterdir()}


def test_a_store_that_is_not_there_yet_is_empty_and_reading_does_not_make_it(store: Store) -> None:
    assert store.list() == ()
    assert store.resolve(ONE) is None
    assert not store.root.exists()


def test_a_name_stands_for_what_it_was_given(store: Store) -> None:
    put(store, ONE, FIRST)
    put(store, TWO, SECOND)
    assert store.resolve(ONE) == FIRST.digest
    assert [(model.reference, model.digest) for model in store.list()] == [(TWO, SECOND.digest), (ONE, FIRST.digest)]
    put(store, ONE, SECOND)
    assert store.resolve(ONE) == SECOND.digest


def test_a_pinned_name_is_found_under_whatever_name_it_came(store: Store) -> None:
    put(store, ONE, FIRST)
    assert store.resolve(TWO.with_digest(FIRST.digest)) == FIRST.digest
    assert store.resolve(TWO.with_digest(SECOND.digest)) is None


def test_a_name_cannot_stand_for_what_is_not_all_here(store: Store) -> None:
    put(store, ONE, FIRST)
    store.blob_path(digest_of(SHARED)).unlink()
    with pytest.raises(SourceNotFound, match="1 of its blobs"):
        store.tag(TWO, FIRST.digest)
    with pytest.raises(SourceNotFound):
        store.tag(TWO, SECOND.digest)
    assert store.resolve(TWO) is None


def test_a_name_cannot_pin_one_digest_and_stand_for_another(store: Store) -> None:
    put(store, ONE, FIRST)
    with pytest.raises(DigestMismatch):
        store.tag(ONE.with_digest(SECOND.digest), FIRST.digest)


def test_removing_a_name_frees_what_no_other_needs(store: Store) -> None:
    put(store, ONE, FIRST)
    put(store, TWO, SECOND)
    store.view(FIRST.digest)
    removed = store.remove(ONE)
    assert set(removed.digests) == {FIRST.digest, digest_of(b"free")}
    assert removed.freed_bytes == len(FIRST.manifest) + len(b"free")
    assert find_damage(store) == ()
    assert list(store.views.iterdir()) == []
    store.remove(TWO)
    assert blobs_of(store) == set()
    with pytest.raises(SourceNotFound, match="berth list"):
        store.remove(TWO)


def test_one_of_two_names_of_the_same_artifact_frees_nothing(store: Store) -> None:
    put(store, ONE, FIRST)
    store.tag(TWO, FIRST.digest)
    assert store.remove(ONE).digests == ()
    assert find_damage(store) == ()
    assert store.resolve(TWO) == FIRST.digest


def test_nothing_is_swept_while_somebody_adds_content(store: Store) -> None:
    put(store, ONE, FIRST)
    with store.using():
        store.write_blob(b"not named yet")
        assert store.remove(ONE).postponed
        assert digest_of(b"not named yet")[7:] in blobs_of(store)
    sweep(store)
    assert blobs_of(store) == set()


def test_partial_files_stay_a_week_and_other_remains_do_not(store: Store) -> None:
    put(store, ONE, FIRST)
    partial, journal = store.ingest / f"{'a' * 64}.partial", store.ingest / f"{'a' * 64}.journal"
    for path in (partial, journal, store.ingest / "tmp-1-2", store.views / "tmp-1-2", store.locks / ("b" * 64)):
        path.write_bytes(b"")
    sweep(store)
    assert set(store.ingest.iterdir()) == {partial, journal}
    assert list(store.views.iterdir()) == []
    assert {path.name for path in store.locks.iterdir()} == {"store", "index"}
    sweep(store, now=partial.stat().st_mtime + PARTIAL_AGE_SECONDS + 1)
    assert list(store.ingest.iterdir()) == []


def test_a_sweep_that_cannot_read_a_manifest_deletes_nothing(store: Store) -> None:
    put(store, ONE, FIRST)
    put(store, TWO, SECOND)
    store.blob_path(FIRST.digest).unlink()
    before = blobs_of(store)
    assert store.remove(TWO).postponed
    assert blobs_of(store) == before


def test_blobs_are_read_only_and_the_layout_is_oci(store: Store) -> None:
    put(store, ONE, FIRST)
    assert {stat.S_IMODE(path.stat().st_mode) for path in store.blobs.iterdir()} == {0o444}
    assert json.loads((store.root / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads((store.root / "index.json").read_bytes())["manifests"]
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "localhost/one:latest"}
    assert entry["size"] == len(FIRST.manifest)


def test_entries_of_other_tools_are_kept(store: Store) -> None:
    put(store, ONE, FIRST)
    path = store.root / "index.json"
    index = json.loads(path.read_bytes())
    other = {**index["manifests"][0], "annotations": {"org.opencontainers.image.ref.name": "Not A Reference"}}
    path.write_text(json.dumps({**index, "manifests": [other]}))
    put(store, TWO, SECOND)
    assert [model.reference for model in store.list()] == [TWO]
    assert len(json.loads(path.read_bytes())["manifests"]) == 2
    store.remove(TWO)
    assert store.missing(store.manifest(FIRST.digest)) == ()


def test_a_damaged_index_is_told_and_not_guessed_at(store: Store) -> None:
    put(store, ONE, FIRST)
    (store.root / "index.json").write_bytes(b"{")
    with pytest.raises(Unavailable, match=r"index\.json is damaged"):
        store.resolve(ONE)


def test_damage_is_found_and_taken_out(store: Store) -> None:
    put(store, ONE, FIRST)
    put(store, TWO, SECOND)
    path = store.blob_path(digest_of(SHARED))
    path.chmod(0o644)
    path.write_bytes(bytes([SHARED[0] ^ 1]) + SHARED[1:])
    store.blob_path(digest_of(b"free")).unlink()
    read: list[int] = []
    found = {damage.digest: damage for damage in find_damage(store, advance=read.append)}
    assert set(found) == {digest_of(SHARED), digest_of(b"free")}
    assert found[digest_of(SHARED)].problem == "its content was changed"
    assert set(found[digest_of(SHARED)].needed_by) == {FIRST.digest, SECOND.digest}
    assert sum(read) > len(SHARED)
    discard(store, found.values())
    assert not path.exists()
    assert store.resolve(ONE) == FIRST.digest
    assert [model.reference for model in store.list()] == [TWO, ONE], "the names are still listed"


def test_a_changed_manifest_is_noticed_when_it_is_read(store: Store) -> None:
    put(store, ONE, FIRST)
    path = store.blob_path(FIRST.digest)
    path.chmod(0o644)
    path.write_bytes(FIRST.manifest.replace(b"LICENSE", b"LICENCE"))
    with pytest.raises(DigestMismatch):
        store.manifest(FIRST.digest)
    (model,) = store.list()
    assert model.artifact is None


def test_the_list_tells_what_the_config_says(store: Store) -> None:
    config = {
        "config": {
            "format": "gguf",
            "architecture": "llama",
            "parameters": "134.52 M",
            "quantization": "Q4_1",
            "context_size": 2048,
        },
        "descriptor": {"created": "2026-01-02T03:04:05Z"},
    }
    put(store, ONE, make_artifact({"model.gguf": SHARED}, config=config))
    (model,) = store.list()
    assert model.created == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert model.size_bytes == len(SHARED) + len(json.dumps(config))
    assert model.artifact is not None
    assert (model.artifact.format, model.artifact.task) == (Format.GGUF, Task.AUTO)
    assert (model.artifact.parameters, model.artifact.context_length) == (134_520_000, 2048)


def test_a_lock_that_was_swept_away_is_taken_anew(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locks.exclusive(path):
        path.unlink()
        with locks.exclusive_if_free(path) as free:
            assert free, "the swept file locks nothing any more"
    with locks.shared(path), locks.shared(path), locks.exclusive_if_free(path) as free:
        assert not free


@pytest.mark.parametrize(
    ("number", "error", "remedy"),
    [
        (errno.ENOSPC, DiskFull, "free some"),
        (errno.EDQUOT, DiskFull, "BERTH_HOME"),
        (errno.EACCES, Unavailable, "must be able to write"),
        (errno.EROFS, Unavailable, "BERTH_HOME"),
        (errno.EIO, OSError, "Input/output error"),
    ],
)
def test_what_the_disk_refuses_is_told_with_a_remedy(
    tmp_path: Path, number: int, error: type[Exception], remedy: str
) -> None:
    with pytest.raises(error, match=remedy), writing(tmp_path):
        raise OSError(number, os.strerror(number))
