"""What nobody holds goes, the longest unused first; what anybody holds, in whatever process, is never touched."""

import os
import time
from pathlib import Path

import pytest
from held import holding
from oci_artifacts import MadeArtifact, make_artifact, random_bytes

from berth_api.errors import Unavailable
from berth_store import index, locks
from berth_store.digest import Digest
from berth_store.evict import SPARED_SECONDS, Eviction, Wish, evict, link_name
from berth_store.holds import find_holds, hold_path, join_hold, take_hold
from berth_store.integrity import find_damage
from berth_store.loader.load import link_model
from berth_store.local import Store
from berth_store.manifest import Descriptor
from berth_store.mediatypes import ANNOTATION_REFERENCE
from berth_store.reference import Reference

SIZE = 30_000
OWN = Digest("sha256:" + "0" * 64)
LONG_AGO = 10 * SPARED_SECONDS
pytestmark = pytest.mark.timeout(60)


class Claim:
    """A folder that Models share, filled by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "store")

    def bring(self, model: str, seed: int, *, seconds_ago: float = LONG_AGO) -> MadeArtifact:
        """What a loader leaves: the artifact under its pinned name, its link, and a hold that nobody has."""
        artifact = make_artifact({"model.gguf": random_bytes(SIZE, seed=seed)})
        hold = take_hold(self.store, artifact.digest, model)
        with self.store.using():
            for blob in (*artifact.blobs.values(), artifact.manifest):
                self.store.write_blob(blob)
            self.store.tag(Reference.parse(f"r.example/ai/{model}@{artifact.digest}"), artifact.digest)
        link_model(self.store, artifact.digest, self.folder, link_name(artifact.digest))
        hold.close()
        self.used(artifact, model, seconds_ago)
        return artifact

    def used(self, artifact: MadeArtifact, model: str, seconds_ago: float) -> None:
        moment = time.time() - seconds_ago
        os.utime(self.hold(artifact, model), (moment, moment))

    def hold(self, artifact: MadeArtifact, model: str) -> Path:
        return hold_path(self.store.root, artifact.digest, model)

    def has(self, artifact: MadeArtifact) -> bool:
        """Whether all of it is here, or else none: half of one is a failure."""
        is_here = {
            self.store.blob_path(artifact.digest).exists(),
            (self.folder / link_name(artifact.digest)).is_symlink(),
            any(hold.pin == artifact.digest for hold in find_holds(self.store.root)),
        }
        (found,) = is_here
        return found


@pytest.fixture
def claim(tmp_path: Path) -> Claim:
    return Claim(tmp_path)


def free(claim: Claim, lacking_bytes: int, *, own: Digest = OWN, now: float | None = None) -> Eviction:
    return evict(claim.store, Wish(lacking_bytes, own, into=claim.folder), now=now)


def test_the_longest_unused_goes_first_and_no_more_than_must(claim: Claim) -> None:
    old, older = claim.bring("old", 1, seconds_ago=2 * LONG_AGO), claim.bring("older", 2, seconds_ago=3 * LONG_AGO)
    done = free(claim, SIZE)
    assert done.pins == (older.digest,)
    assert done.freed_bytes >= SIZE
    assert (claim.has(older), claim.has(old)) == (False, True)
    assert find_damage(claim.store) == ()


def test_as_much_goes_as_is_lacking(claim: Claim) -> None:
    made = [claim.bring(f"m{seed}", seed) for seed in range(4)]
    assert free(claim, 3 * SIZE).freed_bytes >= 3 * SIZE
    assert sum(map(claim.has, made)) == 1


def test_what_a_killed_unpacking_left_goes_before_any_model(claim: Claim) -> None:
    artifact = claim.bring("old", 1, seconds_ago=2 * LONG_AGO)
    left = claim.store.ingest / "tmp-1-0"
    left.mkdir()
    (left / "0").write_bytes(bytes(SIZE))
    done = free(claim, SIZE)
    assert (done.pins, done.freed_bytes) == ((), SIZE)
    assert claim.has(artifact)
    assert not left.exists()


def test_what_another_process_holds_is_spared_until_that_is_killed(claim: Claim) -> None:
    artifact = claim.bring("held", 1)
    with holding(claim.hold(artifact, "held")) as process:
        done = free(claim, SIZE)
        assert (done.pins, done.held_by, done.freed_bytes) == ((), ("held",), 0)
        assert claim.has(artifact)
        process.kill()
        process.wait()
        claim.used(artifact, "held", LONG_AGO)
        assert free(claim, SIZE).pins == (artifact.digest,)
    assert not claim.has(artifact)


def test_one_of_two_models_is_enough_to_keep_what_both_use(claim: Claim) -> None:
    artifact = claim.bring("one", 1)
    claim.bring("two", 1)
    with holding(claim.hold(artifact, "two")):
        assert free(claim, SIZE).held_by == ("two",)
    assert claim.has(artifact)


def test_who_is_seen_to_hold_has_used_it_now(claim: Claim) -> None:
    artifact = claim.bring("held", 1)
    with holding(claim.hold(artifact, "held")):
        free(claim, SIZE)
    done = free(claim, SIZE)
    assert (done.pins, done.recent_of) == ((), ("held",))


def test_between_the_loader_and_the_engine_it_is_spared(claim: Claim) -> None:
    artifact = claim.bring("starting", 1, seconds_ago=0)
    assert free(claim, SIZE).recent_of == ("starting",)
    later = time.time() + SPARED_SECONDS + 1
    assert free(claim, SIZE, now=later).pins == (artifact.digest,)


def test_what_the_evicting_model_itself_has_is_not_sacrificed(claim: Claim) -> None:
    artifact = claim.bring("mine", 1)
    assert free(claim, SIZE, own=artifact.digest).pins == ()
    assert claim.has(artifact)


def test_while_others_fetch_nobody_looks(claim: Claim) -> None:
    artifact = claim.bring("old", 1)
    with locks.shared(claim.store.locks / "store"):
        done = free(claim, SIZE)
    assert (done.postponed, done.pins) == (True, ())
    assert claim.has(artifact)


def test_blobs_that_another_artifact_needs_stay(claim: Claim) -> None:
    shared, other = random_bytes(SIZE, seed=7), random_bytes(SIZE, seed=8)
    kept = claim.bring("kept", 7)
    gone = make_artifact({"model.gguf": shared, "more.gguf": other})
    with claim.store.using():
        for blob in (*gone.blobs.values(), gone.manifest):
            claim.store.write_blob(blob)
        claim.store.tag(Reference.parse(f"r.example/ai/gone@{gone.digest}"), gone.digest)
    with holding(claim.hold(kept, "kept")):
        assert free(claim, SIZE).pins == (gone.digest,)
    assert claim.has(kept)
    assert find_damage(claim.store) == ()


def test_an_engine_whose_model_was_freed_says_what_to_do(claim: Claim) -> None:
    artifact = claim.bring("late", 1)
    free(claim, SIZE)
    with pytest.raises(Unavailable, match="Delete this pod"):
        join_hold(claim.hold(artifact, "late"))


def test_a_hold_is_joined_in_a_folder_that_can_not_be_written(claim: Claim) -> None:
    artifact = claim.bring("readonly", 1)
    path = claim.hold(artifact, "readonly")
    path.chmod(0o444)
    before = path.stat().st_mtime_ns
    hold = join_hold(path)
    with locks.exclusive_if_free(path) as free:
        assert not free
    hold.close()
    assert path.stat().st_mtime_ns == before


def test_who_takes_a_hold_again_has_used_it_now(claim: Claim) -> None:
    artifact = claim.bring("again", 1)
    take_hold(claim.store, artifact.digest, "again").close()
    assert time.time() - claim.hold(artifact, "again").stat().st_mtime < SPARED_SECONDS / 2


def test_an_artifact_is_known_by_the_digest_that_its_name_pins() -> None:
    pin, manifest = OWN, make_artifact({"m": b"x"}).digest
    named = Descriptor(
        media_type="x", digest=manifest, size=1, annotations={ANNOTATION_REFERENCE: f"hf://Qwen/Qwen3@{pin}"}
    )
    there = index.Index(manifests=(named, Descriptor(media_type="x", digest=manifest, size=1)))
    assert index.pins(there) == {pin, manifest}
    assert index.without_pin(there, manifest).manifests == (named,)
    assert index.pins(index.without_pin(there, pin)) == {manifest}


def test_names_of_others_in_the_folder_are_passed_over(claim: Claim) -> None:
    claim.bring("mine", 1)
    (claim.store.root / "holds/README").write_text("?")
    assert [hold.model for hold in find_holds(claim.store.root)] == ["mine"]
