"""A store that is killed at any system call is whole, and the same work done again comes to the same end."""

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from crash_points import crash_points
from hostile.case import WEIGHT_TAR
from oci_artifacts import Layer, MadeArtifact, make_artifact, make_layers, random_bytes
from tar_builders import gzipped, tar_of

from berth_store import mediatypes
from berth_store.batch import Batch
from berth_store.digest import digest_of
from berth_store.evict import SPARED_SECONDS, Wish, evict, link_name
from berth_store.holds import find_holds, take_hold
from berth_store.ingest import ingest_file
from berth_store.integrity import find_damage
from berth_store.loader.load import link_model
from berth_store.local import Store
from berth_store.manifest import build_manifest
from berth_store.partial import Partial
from berth_store.reference import Reference
from berth_store.tasks import run_all

KEPT, CHANGED = Reference.parse("localhost/kept"), Reference.parse("localhost/changed")
OLD = make_artifact({"model.gguf": random_bytes(30_000, seed=1), "LICENSE": b"free"})
NEW = make_artifact({"model.gguf": random_bytes(30_000, seed=2), "LICENSE": b"free", "sub/x.json": b"{}"})
PACKED = make_layers(
    [Layer(gzipped(tar_of({"model.gguf": random_bytes(30_000, seed=4), "LICENSE": b"free"})), f"{WEIGHT_TAR}+gzip")],
    artifact_type=mediatypes.MODELPACK_MANIFEST,
)
WEIGHTS = random_bytes(30_000, seed=3)


def put(store: Store, reference: Reference, artifact: MadeArtifact) -> None:
    with store.using():
        for blob in (*artifact.blobs.values(), artifact.manifest):
            store.write_blob(blob)
        store.tag(reference, artifact.digest)


def make_new(store: Store) -> None:
    put(store, CHANGED, NEW)


def remove_old(store: Store) -> None:
    if store.resolve(CHANGED):
        store.remove(CHANGED)


def view_old(store: Store) -> None:
    store.view(OLD.digest)


def repair_view(store: Store) -> None:
    folder = store.view(OLD.digest)
    for path in folder.rglob("*"):
        path.unlink()
    (folder / "LICENSE").mkdir()
    store.view(OLD.digest)


def unpack(store: Store) -> None:
    """What a pull does with an artifact of archives, once they are there."""
    put(store, CHANGED, PACKED)
    assert len(list(store.view(PACKED.digest).iterdir())) == 2


def ingest(store: Store) -> None:
    source = store.root.parent / "weights.gguf"
    if not source.exists():
        source.write_bytes(WEIGHTS)
    with store.using():
        layer = ingest_file(store, source)
        named = layer.model_copy(
            update={"media_type": mediatypes.GGUF, "annotations": {mediatypes.ANNOTATION_FILEPATH: "weights.gguf"}}
        )
        config = store.write_blob(b"{}").model_copy(update={"media_type": mediatypes.CONFIG_V01})
        store.tag(CHANGED, store.write_blob(build_manifest(config=config, layers=[named])).digest)


def fetch(store: Store) -> None:
    """What a pull does with a blob, without the network."""
    with store.using():
        if not store.blob_path(digest_of(WEIGHTS)).exists():
            partial = Partial(store.ingest / f"{digest_of(WEIGHTS)[7:]}.partial", len(WEIGHTS))
            while not partial.adopt(10_000):
                pass
            for gap in partial.done.missing(len(WEIGHTS)):
                for start in range(gap.start, gap.stop, 7_000):
                    partial.write(start, [WEIGHTS[start : min(start + 7_000, gap.stop)]])
                    partial.hash_some(10_000)
            assert partial.is_whole
            assert partial.digest == digest_of(WEIGHTS)
            partial.keep(store.blob_path(digest_of(WEIGHTS)))
            partial.close()


def evict_old(store: Store) -> None:
    """Room is made by what a Model has left long ago; KEPT is what the evicting Model has itself."""
    evict(store, Wish(1 << 40, OLD.digest, into=store.root.parent), now=time.time() + 2 * SPARED_SECONDS)


def fetch_small(store: Store) -> None:
    """What a pull does with small blobs, without the network."""

    async def write() -> None:
        batch = Batch(store.ingest)
        await run_all(batch.write(store.blob_path(digest), content) for digest, content in NEW.blobs.items())

    with store.using():
        asyncio.run(write())
        store.tag(CHANGED, store.write_blob(NEW.manifest).digest)


WORKS = [make_new, remove_old, evict_old, view_old, repair_view, unpack, ingest, fetch, fetch_small]


@pytest.mark.parametrize("work", WORKS)
def test_a_kill_at_any_system_call_leaves_the_store_whole(tmp_path: Path, work: Callable[[Store], None]) -> None:
    base = Store(tmp_path / "base" / "store")
    put(base, KEPT, OLD)
    if work in (remove_old, evict_old):
        put(base, CHANGED, NEW)
        base.view(NEW.digest)
    if work is evict_old:
        take_hold(base, NEW.digest, "left").close()
        link_model(base, NEW.digest, base.root.parent, link_name(NEW.digest))
    expected = finished(tmp_path / "expected", base, work)
    points = 0
    root = tmp_path / "killed"
    copy(base, root)
    for point in crash_points(lambda: work(Store(root / "store"))):
        store = Store(root / "store")
        assert store.resolve(KEPT) == OLD.digest, point
        assert store.resolve(CHANGED) in {base.resolve(CHANGED), expected.resolve(CHANGED)}, point
        assert find_damage(store) == (), point
        work(store)
        assert store.resolve(CHANGED) == expected.resolve(CHANGED), point
        assert contents(store) >= contents(expected), point
        assert leftovers(store) == leftovers(expected), point
        store.remove(KEPT)
        assert not (store.root / "blobs" / "sha256" / OLD.digest[7:]).exists(), "what is left behind is swept away"
        shutil.rmtree(root)
        copy(base, root)
        points += 1
    assert points >= 5
    print(f"{work.__name__}: {points} points")


def finished(root: Path, base: Store, work: Callable[[Store], None]) -> Store:
    copy(base, root)
    store = Store(root / "store")
    work(store)
    return store


def copy(base: Store, root: Path) -> None:
    shutil.copytree(base.root.parent, root, symlinks=True)


def leftovers(store: Store) -> set[str]:
    """The hold files, and the links beside the store."""
    return {hold.path.name for hold in find_holds(store.root)} | {
        path.name for path in store.root.parent.glob("sha256-*")
    }


def contents(store: Store) -> set[tuple[str, bytes]]:
    return {(path.name, path.read_bytes()) for path in (store.root / "blobs" / "sha256").iterdir()}
