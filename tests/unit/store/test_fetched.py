"""The store of a laptop within its quota: what was fetched goes, the longest unused first, never what is served."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from lying_registry import LyingRegistry
from oci_artifacts import MadeArtifact, make_artifact, random_bytes
from pulls import QUICK

from berth_store.errors import DiskFull, QuotaReached
from berth_store.fetched import fetch_and_hold, hold_fetched
from berth_store.holds import find_holds
from berth_store.local import Store
from berth_store.reference import Reference

pytestmark = pytest.mark.timeout(60)
SIZE = 400_000


class Laptop:
    """A store with room for two artifacts and a half, and where to fetch some."""

    def __init__(self, registry: LyingRegistry, folder: Path) -> None:
        self.registry = registry
        self.folder = folder
        self.store = Store(folder / "store", quota_bytes=5 * SIZE // 2)

    def publish(self, name: str, seed: int) -> tuple[Reference, MadeArtifact]:
        artifact = make_artifact({"model.gguf": random_bytes(SIZE, seed=seed)})
        return self.registry.hold(f"ai/{name}", artifact), artifact

    async def fetch(self, name: str, seed: int, *, used: float = 0) -> Reference:
        """Fetch, and have it used so many seconds ago."""
        reference, _ = self.publish(name, seed)
        digest, hold = await fetch_and_hold(self.store, reference, registries=QUICK)
        assert hold is not None
        hold.close()
        (file,) = (file for file in find_holds(self.store.root) if file.pin == digest)
        os.utime(file.path, (time.time() - used,) * 2)
        return reference

    def package(self, name: str, seed: int) -> Reference:
        """What `berth package` leaves."""
        reference, artifact = Reference.parse(name), make_artifact({"model.gguf": random_bytes(SIZE, seed=seed)})
        with self.store.using():
            for blob in (*artifact.blobs.values(), artifact.manifest):
                self.store.write_blob(blob)
            self.store.tag(reference, artifact.digest)
        return reference

    def has(self, reference: Reference) -> bool:
        return self.store.resolve(reference) is not None


@pytest.fixture
async def laptop(tmp_path: Path) -> AsyncIterator[Laptop]:
    async with LyingRegistry() as registry:
        yield Laptop(registry, tmp_path)


async def test_the_longest_unused_goes_for_the_next(laptop: Laptop) -> None:
    old = await laptop.fetch("old", 1, used=10)
    older = await laptop.fetch("older", 2, used=20)
    new = await laptop.fetch("new", 3)
    assert [laptop.has(each) for each in (old, older, new)] == [True, False, True]


async def test_what_is_served_stays_whatever_its_age_and_its_name(laptop: Laptop) -> None:
    served = await laptop.fetch("served", 1, used=1000)
    digest = laptop.store.resolve(served)
    assert digest is not None
    hold = hold_fetched(laptop.store, served, digest)
    assert hold is not None
    other = await laptop.fetch("other", 2, used=10)
    await laptop.fetch("served", 3)  # The name moves on, and what is served has none any more.
    assert not laptop.has(other)
    assert (laptop.store.view(digest) / "model.gguf").stat().st_size == SIZE
    laptop.store.quota_bytes = 3 * SIZE // 2
    with pytest.raises(QuotaReached, match="what is left is served by `berth up`"):
        await laptop.fetch("new", 4)
    hold.close()
    await laptop.fetch("new", 4)
    assert not laptop.store.blob_path(digest).exists()


async def test_what_was_packaged_here_never_goes(laptop: Laptop) -> None:
    mine = laptop.package("localhost/mine:1", 1)
    under_a_registrys_name = laptop.package("ghcr.io/me/mine:1", 2)
    with pytest.raises(QuotaReached, match="or was packaged here"):
        await laptop.fetch("new", 3)
    assert laptop.has(mine)
    assert laptop.has(under_a_registrys_name)


async def test_what_has_a_name_of_this_machine_too_stays(laptop: Laptop) -> None:
    fetched = await laptop.fetch("fetched", 1, used=1000)
    digest = laptop.store.resolve(fetched)
    assert digest is not None
    laptop.store.tag(Reference.parse("localhost/kept:1"), digest)
    other = await laptop.fetch("other", 2)
    await laptop.fetch("new", 3)
    assert laptop.has(fetched)
    assert not laptop.has(other)


@pytest.mark.parametrize("name", ["ghcr.io/me/mine:1", "localhost/mine:1"])
async def test_asking_for_what_was_packaged_does_not_give_it_away(laptop: Laptop, name: str) -> None:
    mine = laptop.package(name, 1)
    digest = laptop.store.resolve(mine)
    assert digest is not None
    for asked in (mine.with_digest(digest), *([mine] if mine.is_local else [])):
        assert await fetch_and_hold(laptop.store, asked, registries=QUICK) == (digest, None)
    assert list(find_holds(laptop.store.root)) == []


async def test_serving_what_was_packaged_does_not_give_it_away(laptop: Laptop) -> None:
    mine = laptop.package("ghcr.io/me/mine:1", 1)
    digest = laptop.store.resolve(mine)
    assert digest is not None
    assert hold_fetched(laptop.store, mine, digest) is None
    assert list(find_holds(laptop.store.root)) == []


async def test_without_a_quota_nothing_is_ever_freed(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    old = await laptop.fetch("old", 1, used=1000)
    laptop.store.quota_bytes = None
    real = os.statvfs(laptop.folder)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((1, 1, *real[2:4], 1000, *real[5:])))
    with pytest.raises(DiskFull, match="are free on this file system"):
        await laptop.fetch("new", 2)
    assert laptop.has(old)


async def test_a_full_disk_under_a_quota_frees_nothing_either(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    old = await laptop.fetch("old", 1, used=1000)
    real = os.statvfs(laptop.folder)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((1, 1, *real[2:4], 1000, *real[5:])))
    with pytest.raises(DiskFull, match="move the store with BERTH_HOME"):
        await laptop.fetch("new", 2)
    assert laptop.has(old)
