"""Loads of several Models into one folder: one fetch, paths by digest, and room made where it lacks."""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from held import holding
from lying_registry import LyingRegistry
from oci_artifacts import MadeArtifact, make_artifact, random_bytes
from pulls import QUICK
from signatures import a_key, attach, by_key, sign_files

from berth_store import locks, make_room
from berth_store.digest import Digest, digest_of
from berth_store.errors import DiskFull, QuotaReached, SignatureInvalid, SignatureMissing
from berth_store.evict import SPARED_SECONDS, link_name
from berth_store.holds import find_holds, hold_path
from berth_store.loader import shared as shared_module
from berth_store.loader.arguments import parse_arguments
from berth_store.loader.board import Board
from berth_store.loader.shared import Tenant, load_shared
from berth_store.local import Store
from berth_store.reference import Reference
from berth_store.signing.demand import Demand

pytestmark = pytest.mark.timeout(60)
SIZE = 400_000
SPARE = 64 * 1024 * 1024


class Claim:
    """A volume that Models share, on a disk of a size that the test says."""

    def __init__(self, registry: LyingRegistry, folder: Path) -> None:
        self.registry = registry
        self.folder = folder
        self.store = Store(folder / "store")

    def push(self, name: str, seed: int) -> tuple[Reference, MadeArtifact]:
        artifact = make_artifact({"model.gguf": random_bytes(SIZE, seed=seed)})
        return self.registry.hold(f"ai/{name}", artifact).with_digest(artifact.digest), artifact

    async def load(
        self,
        model: str,
        reference: Reference,
        *,
        patience_seconds: float = 600,
        quota_bytes: int | None = None,
        demand: Demand | None = None,
    ) -> Digest:
        assert reference.digest is not None
        return await load_shared(
            reference,
            self.folder,
            Board(time.monotonic),
            tenant=Tenant(model, reference.digest, quota_bytes),
            registries=QUICK,
            patience_seconds=patience_seconds,
            clock=time.monotonic,
            demand=demand,
        )

    def path_of(self, artifact: MadeArtifact) -> Path:
        return self.folder / link_name(artifact.digest) / "model.gguf"

    def age(self, seconds: float = 2 * SPARED_SECONDS) -> None:
        """Time passes for everything that is here."""
        for hold in find_holds(self.store.root):
            moment = hold.path.stat().st_mtime - seconds
            os.utime(hold.path, (moment, moment))


@pytest.fixture
async def claim(tmp_path: Path) -> AsyncIterator[Claim]:
    async with LyingRegistry() as registry:
        folder = tmp_path / "claim"
        folder.mkdir()
        yield Claim(registry, folder)


@pytest.fixture
def room_for_two(claim: Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with room for two artifacts and a half."""
    real = os.statvfs(claim.folder)

    def statvfs(_: object) -> os.statvfs_result:
        folder = claim.store.blobs
        used = sum(path.stat().st_size for path in folder.iterdir()) if folder.is_dir() else 0
        free = SPARE + 5 * SIZE // 2 - used
        return os.statvfs_result((1, 1, *real[2:4], free, *real[5:]))

    monkeypatch.setattr(os, "statvfs", statvfs)


async def test_two_models_with_one_artifact_fetch_it_once(claim: Claim) -> None:
    reference, artifact = claim.push("m", 1)
    await asyncio.gather(claim.load("one", reference), claim.load("two", reference))
    # The large blob is asked for in stretches; none of them twice. Small blobs have no lock, and may be.
    asked = [(seen.path, seen.span) for seen in claim.registry.seen if "/blobs/" in seen.path and seen.span]
    assert asked
    assert len(asked) == len(set(asked))
    assert claim.path_of(artifact).stat().st_size == SIZE
    assert [hold.model for hold in find_holds(claim.store.root)] == ["one", "two"]


async def test_what_is_there_is_not_asked_for(claim: Claim) -> None:
    reference, _ = claim.push("m", 1)
    await claim.load("one", reference)
    claim.registry.seen.clear()
    await claim.load("two", reference)
    assert claim.registry.seen == []


async def test_a_newer_revision_moves_nothing_under_a_running_pod(claim: Claim) -> None:
    before, first = claim.push("m", 1)
    await claim.load("m", before)
    open_before = claim.path_of(first).resolve()
    after, second = claim.push("m", 2)
    await claim.load("m", after)
    assert claim.path_of(first).resolve() == open_before
    assert claim.path_of(second).read_bytes() != claim.path_of(first).read_bytes()
    assert not (claim.folder / "model").is_symlink()


async def test_the_last_use_is_when_the_load_ends(claim: Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    async def load_for_long(reference: Reference, *_: object, **__: object) -> Digest:
        claim.age()
        assert reference.digest is not None
        return reference.digest

    monkeypatch.setattr(shared_module, "load", load_for_long)
    await claim.load("one", claim.push("m", 1)[0])
    (hold,) = find_holds(claim.store.root)
    assert time.time() - hold.path.stat().st_mtime < SPARED_SECONDS / 2


@pytest.mark.usefixtures("room_for_two")
async def test_room_is_made_by_the_longest_unused(claim: Claim) -> None:
    (old, first), (older, second), (new, third) = (claim.push(f"m{seed}", seed) for seed in range(3))
    await claim.load("older", older)
    claim.age(60)
    await claim.load("old", old)
    claim.age()
    await claim.load("new", new)
    there = [claim.path_of(each).exists() for each in (first, second, third)]
    assert there == [True, False, True]
    assert [hold.model for hold in find_holds(claim.store.root)].count("older") == 0


@pytest.mark.usefixtures("room_for_two")
async def test_a_full_claim_says_which_models_hold_it(claim: Claim) -> None:
    (a, first), (b, _), (c, third) = (claim.push(f"m{seed}", seed) for seed in range(3))
    await claim.load("held-one", a)
    claim.age()
    await claim.load("fresh-one", b)
    with (
        holding(hold_path(claim.store.root, first.digest, "held-one")),
        pytest.raises(DiskFull) as full,
    ):
        await claim.load("new", c)
    assert "running pods hold what the Models held-one use" in str(full.value)
    assert "fresh-one used theirs in the last 15 minutes" in str(full.value)
    assert "Give the claim more room" in str(full.value)
    assert claim.path_of(first).exists()
    assert not claim.path_of(third).exists()


@pytest.mark.usefixtures("room_for_two")
async def test_room_is_made_once_others_have_done_fetching(claim: Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_room, "LOOK_AGAIN_SECONDS", 0.01)
    (a, _), (b, _), (c, third) = (claim.push(f"m{seed}", seed) for seed in range(3))
    await claim.load("one", a)
    await claim.load("two", b)
    claim.age()
    with locks.shared(claim.store.locks / "store"):
        waiting = asyncio.create_task(claim.load("three", c))
        await asyncio.sleep(0.1)
        assert not waiting.done()
    await waiting
    assert claim.path_of(third).exists()


@pytest.mark.usefixtures("room_for_two")
async def test_who_waits_in_vain_for_others_gives_up(claim: Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_room, "LOOK_AGAIN_SECONDS", 0.01)
    (a, _), (b, _), (c, _) = (claim.push(f"m{seed}", seed) for seed in range(3))
    await claim.load("one", a)
    await claim.load("two", b)
    claim.age()
    with locks.shared(claim.store.locks / "store"), pytest.raises(DiskFull):
        await claim.load("three", c, patience_seconds=0.05)


async def test_a_quota_is_kept_by_freeing_the_longest_unused(claim: Claim) -> None:
    made = [claim.push(f"m{seed}", seed) for seed in range(4)]
    for number, (reference, _) in enumerate(made):
        claim.age(3600)
        await claim.load(f"m{number}", reference, quota_bytes=5 * SIZE // 2)
    assert [claim.path_of(artifact).exists() for _, artifact in made] == [False, False, True, True]
    assert sum(path.stat().st_size for path in claim.store.blobs.iterdir()) <= 5 * SIZE // 2


async def test_a_quota_never_takes_what_a_pod_holds_and_says_whose_it_is(claim: Claim) -> None:
    (a, first), (b, second) = (claim.push(f"m{seed}", seed) for seed in range(2))
    await claim.load("held-one", a)
    claim.age()
    asked = len(claim.registry.seen)
    with (
        holding(hold_path(claim.store.root, first.digest, "held-one")),
        pytest.raises(QuotaReached) as full,
    ):
        await claim.load("new", b, quota_bytes=SIZE + 1000)
    assert full.value.reason == "CacheQuotaExceeded"
    assert re.search(
        r"store: 400,\d\d\d bytes are still to be fetched, 400,\d\d\d lie there, and the quota is 401,000",
        str(full.value),
    )
    assert "running pods hold what the Models held-one use. Raise spec.cache.quota, or" in str(full.value)
    assert claim.path_of(first).exists()
    assert not [seen for seen in claim.registry.seen[asked:] if "/blobs/" in seen.path], "nothing was fetched"
    await claim.load("new", b, quota_bytes=3 * SIZE)
    assert claim.path_of(second).exists()


async def test_for_what_never_fits_nothing_is_freed(claim: Claim) -> None:
    (a, first), (b, _) = (claim.push(f"m{seed}", seed) for seed in range(2))
    await claim.load("old", a)
    claim.age()
    with pytest.raises(QuotaReached, match=r"this model alone has more than that; raise spec\.cache\.quota"):
        await claim.load("large", b, quota_bytes=SIZE - 1)
    assert claim.path_of(first).exists()


async def test_room_is_not_made_of_what_has_come_already(claim: Claim) -> None:
    a, first = claim.push("a", 1)
    shards = make_artifact({"1.gguf": random_bytes(SIZE, seed=2), "2.gguf": random_bytes(SIZE, seed=3)})
    sharded = claim.registry.hold("ai/sharded", shards).with_digest(shards.digest)
    await claim.load("old", a)
    claim.age()
    here = digest_of(random_bytes(SIZE, seed=2))
    with claim.store.using():
        claim.store.write_blob(shards.blobs[here])  # A loader that was killed had it whole.
    await claim.load("sharded", sharded, quota_bytes=5 * SIZE // 2)
    assert not claim.path_of(first).exists()
    assert not [seen for seen in claim.registry.seen if seen.path.endswith(here)]


async def test_each_model_is_bound_by_its_own_quota(claim: Claim) -> None:
    (a, first), (b, second), (c, third) = (claim.push(f"m{seed}", seed) for seed in range(3))
    await claim.load("one", a)
    await claim.load("two", b)
    claim.age()
    await claim.load("modest", c, quota_bytes=SIZE + 10_000)
    assert [claim.path_of(each).exists() for each in (first, second, third)] == [False, False, True]


ALONE = ("--source", "oci://r.example/a/b:1", "--into", "/models")


def test_a_loader_that_is_told_of_nobody_else_is_alone() -> None:
    assert parse_arguments(ALONE).shared_by == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--shared-by", "qwen"), "give --digest too"),
        (("--quota", "1000"), "give --shared-by too"),
        (("--shared-by", "qwen", "--digest", "sha256:" + "1" * 64, "--quota", "1Gi"), "no number of bytes"),
        (("--shared-by", "../qwen", "--digest", "sha256:" + "1" * 64), "no name of a Model"),
    ],
)
def test_a_folder_is_shared_by_a_name_and_a_digest(
    options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse_arguments((*ALONE, *options))
    assert said in capsys.readouterr().err


async def test_what_one_model_fetched_is_no_less_judged_by_the_next(claim: Claim) -> None:
    reference, artifact = claim.push("a", 1)
    await claim.load("trusting", reference)
    with pytest.raises(SignatureMissing):
        await claim.load("strict", reference, patience_seconds=0, demand=by_key(a_key()))
    files = {"model.gguf": random_bytes(SIZE, seed=1)}
    attach(claim.registry, "ai/a", artifact, sign_files(files, a_key()))
    asked = len(claim.registry.spans())
    await claim.load("strict", reference, demand=by_key(a_key()))
    assert len(claim.registry.spans()) == asked + 1, "the signature alone was fetched"
    with pytest.raises(SignatureInvalid):
        await claim.load("other", reference, patience_seconds=0, demand=by_key(a_key(2)))
    assert claim.path_of(artifact).exists(), "for the first it stays as it is"


def test_a_link_has_a_name_of_its_own_beside_the_store(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--source", "oci://r/m", "--into", "/models"]
    assert parse_arguments(words).link == "model"
    assert parse_arguments([*words, "--link", "adapter-sql"]).link == "adapter-sql"
    for name in ("store", "../x", "", "A"):
        with pytest.raises(SystemExit):
            parse_arguments([*words, "--link", name])
        assert "is no name for a link" in capsys.readouterr().err
