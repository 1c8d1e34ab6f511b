"""Pulling from a registry that lies in every way that has been seen, and some that have not."""

import asyncio
import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import lying_registry as lies
import pytest
from aiohttp import web
from lying_registry import Lie, LyingRegistry
from oci_artifacts import MadeArtifact, make_artifact, random_bytes

from berth_store import download, mediatypes
from berth_store.digest import digest_of, hex_of
from berth_store.errors import (
    DigestMismatch,
    DiskFull,
    NoModelInSource,
    SourceNotFound,
    SourceUnauthorized,
    SourceUnreachable,
)
from berth_store.integrity import find_damage
from berth_store.journal import read_journal
from berth_store.local import Store
from berth_store.progress import Progress, Stage
from berth_store.pull import pull
from berth_store.ranges import Range
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.retry import RetryPolicy

CHUNK = 256 * 1024
CONTENT = random_bytes(10 * CHUNK + 321)
QUICK = RegistryConfig(
    chunk_bytes=CHUNK,
    connections=4,
    connect_timeout_seconds=5,
    stall_timeout_seconds=0.3,
    retry=RetryPolicy(attempts=4, first_delay_seconds=0.001, longest_delay_seconds=0.01, longest_wait_seconds=1),
)


@pytest.fixture
def artifact() -> MadeArtifact:
    return make_artifact({"model.gguf": CONTENT, "LICENSE": b"Apache-2.0"})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def of_weights(lie: Lie) -> Lie:
    """The lie for the large blob, the truth for the small ones."""

    async def answer(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
        return await (lie if content == CONTENT else lies.honest)(request, content, span)

    return answer


def kept_bytes(store: Store) -> int:
    """How much of the large blob the journal on disk says is there."""
    journal = store.ingest / f"{hex_of(digest_of(CONTENT))}.journal"
    return sum(record.span.length for record in read_journal(journal, len(CONTENT)))


def assert_whole(store: Store, reference: Reference, artifact: MadeArtifact) -> None:
    assert store.resolve(reference) == artifact.digest
    assert find_damage(store) == ()
    assert (store.view(artifact.digest) / "model.gguf").read_bytes() == CONTENT
    assert list(store.ingest.iterdir()) == []


async def test_a_blob_is_fetched_in_ranges_each_byte_once(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        assert await pull(store, reference, registries=QUICK) == artifact.digest
        spans = sorted(span for span in registry.spans() if span)
    assert [span.length for span in spans] == [CHUNK] * 10 + [321]
    assert [span.start for span in spans] == [CHUNK * number for number in range(11)]
    assert_whole(store, reference, artifact)


@pytest.mark.parametrize(
    "lie",
    [
        lies.ignore_range,
        lies.another_range,
        lies.another_size,
        lies.fewer_bytes,
        lies.backward_range,
        lies.one_byte_more,
        lies.not_satisfiable,
        lies.reset_midway,
        lies.reset_at_once,
        lies.stall,
        lies.compressed,
        lies.status(500),
        lies.status(503, "0"),
        lies.status(429, "0"),
        lies.status(502),
    ],
    ids=lambda lie: getattr(lie, "__qualname__", ""),
)
@pytest.mark.parametrize("times", [1, 3])
async def test_a_lie_that_passes_costs_nothing_but_time(
    store: Store, artifact: MadeArtifact, lie: Lie, times: int
) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.lie(lies.honest)
        registry.lie(lie, times=times)
        await pull(store, reference, registries=QUICK)
    assert_whole(store, reference, artifact)


@pytest.mark.parametrize(
    "lie", [lies.ignore_range, lies.another_range, lies.another_size, lies.not_satisfiable, lies.backward_range]
)
async def test_a_server_that_never_does_ranges_is_read_in_one_stream(
    store: Store, artifact: MadeArtifact, lie: Lie
) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.always(lie)
        await pull(store, reference, registries=QUICK)
    assert_whole(store, reference, artifact)


async def test_a_stream_that_breaks_goes_on_past_what_was_kept(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.lie(lies.ignore_range, times=2)
        registry.lie(lies.reset_midway, times=2)
        await pull(store, reference, registries=replace(QUICK, connections=1))
    assert_whole(store, reference, artifact)


async def test_wrong_bytes_are_thrown_away_and_fetched_again(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.lie(lies.wrong_bytes, times=2)
        await pull(store, reference, registries=QUICK)
    assert_whole(store, reference, artifact)


@pytest.mark.parametrize("lie", [lies.wrong_bytes, lies.false_content_range])
async def test_wrong_bytes_twice_are_an_error_and_nothing_is_kept(
    store: Store, artifact: MadeArtifact, lie: Lie
) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.always(of_weights(lie))
        with pytest.raises(DigestMismatch, match="another digest") as failed:
            await pull(store, reference, registries=QUICK)
    assert failed.value.reason == "DigestMismatch"
    assert store.resolve(reference) is None
    assert [path for path in store.ingest.iterdir() if digest_of(CONTENT).endswith(path.stem)] == []
    assert not store.blob_path(digest_of(CONTENT)).exists()


@pytest.mark.parametrize("lie", [lies.reset_midway, lies.stall, lies.status(500), lies.compressed, lies.trickle])
async def test_a_server_that_never_gets_better_is_given_up(store: Store, artifact: MadeArtifact, lie: Lie) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.always(lie)
        with pytest.raises(SourceUnreachable):
            await asyncio.wait_for(pull(store, reference, registries=QUICK), 30)
        assert len(registry.seen) < 60
    assert store.resolve(reference) is None


async def test_a_pause_that_the_server_asks_for_is_kept(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.lie(lies.status(429, "1"))
        await pull(store, reference, registries=replace(QUICK, connections=1))
        blobs = [seen for seen in registry.seen if "/blobs/" in seen.path]
    by_path = {path: [seen.moment for seen in blobs if seen.path == path] for path in {seen.path for seen in blobs}}
    first, again = by_path[blobs[0].path][:2]
    assert again - first >= 1
    assert_whole(store, reference, artifact)


async def test_a_pause_beyond_patience_is_told_instead_of_kept(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.always(lies.status(429, "3600"))
        with pytest.raises(SourceUnreachable, match="too many requests") as failed:
            await pull(store, reference, registries=QUICK)
    assert failed.value.retry_after_seconds == 3600


async def test_a_token_that_expires_in_the_middle_is_renewed(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.require_token(uses=5)
        await pull(store, reference, registries=replace(QUICK, connections=2))
        tokens = {seen.authorization for seen in registry.seen if "/blobs/" in seen.path and seen.authorization}
    assert len(tokens) >= 3
    assert_whole(store, reference, artifact)


async def test_no_credential_follows_a_redirect_to_another_host(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry, LyingRegistry() as cdn:
        reference = registry.hold("a/model", artifact)
        cdn.hold("a/model", artifact)
        registry.require_token(uses=1000)
        registry.always(lies.redirect_to(f"http://{cdn.address}"))
        await pull(store, reference, registries=QUICK)
        assert all(seen.authorization is None for seen in cdn.seen)
        assert any(seen.authorization for seen in registry.seen)
        asked = [seen for seen in registry.seen if hex_of(digest_of(CONTENT)) in seen.path]
        fetched = [seen for seen in cdn.seen if hex_of(digest_of(CONTENT)) in seen.path]
    assert len(fetched) == 11
    assert len(asked) <= 1 + QUICK.connections, "the address that a redirect gave is kept while it works"
    assert_whole(store, reference, artifact)


async def test_an_address_that_has_expired_is_asked_for_anew(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry, LyingRegistry() as cdn:
        reference = registry.hold("a/model", artifact)
        cdn.hold("a/model", artifact)
        registry.always(lies.redirect_to(f"http://{cdn.address}"))
        cdn.lie(lies.honest, times=3)
        cdn.lie(lies.status(403))
        await pull(store, reference, registries=replace(QUICK, connections=1))
    assert_whole(store, reference, artifact)


async def test_a_pull_that_was_given_up_goes_on_where_it_was(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.lie(lies.honest, times=5)
        registry.always(lies.status(404))
        with pytest.raises(SourceNotFound):
            await pull(store, reference, registries=replace(QUICK, connections=1))
        first = [span for span in registry.spans() if span]
        registry.seen.clear()
        registry.always(lies.honest)
        await pull(store, reference, registries=replace(QUICK, connections=1))
        second = [span for span in registry.spans() if span]
    assert len(first) >= 3
    assert sum(span.length for span in second) == len(CONTENT) - CHUNK * (len(first) - 1)
    assert_whole(store, reference, artifact)


async def test_a_broken_request_goes_on_from_the_byte_that_it_reached(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.lie(lies.honest)
        registry.lie(lies.reset_midway)
        await pull(store, reference, registries=replace(QUICK, connections=1))
        asked = [span for span in registry.spans() if span]
    broken, resumed = asked[:2]
    assert broken.start < resumed.start <= broken.start + CHUNK // 2
    assert resumed.stop == broken.stop
    assert_whole(store, reference, artifact)


async def test_what_a_cancelled_pull_had_received_is_kept(
    store: Store, artifact: MadeArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "STRETCH_BYTES", 1)
    patient, expected = replace(QUICK, stall_timeout_seconds=30), QUICK.connections * CHUNK // 2
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.always(of_weights(lies.stall))
        work = asyncio.ensure_future(pull(store, reference, registries=patient))
        async with asyncio.timeout(10):
            while kept_bytes(store) < expected:
                await asyncio.sleep(0.01)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        registry.seen.clear()
        registry.always(lies.honest)
        await pull(store, reference, registries=QUICK)
        assert sum(span.length for span in registry.spans() if span) == len(CONTENT) - expected
    assert_whole(store, reference, artifact)


async def test_two_pulls_at_once_fetch_each_byte_once(store: Store, artifact: MadeArtifact) -> None:
    one_waits = asyncio.Event()

    async def held(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
        await one_waits.wait()
        return await lies.honest(request, content, span)

    def watch(moment: Progress) -> None:
        if moment.stage is Stage.WAITING:
            one_waits.set()

    async with asyncio.timeout(20), LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        other = registry.hold("a/model", artifact, tag="other")
        registry.always(held)
        patient = replace(QUICK, stall_timeout_seconds=30)
        await asyncio.gather(
            pull(store, reference, registries=patient, progress=watch),
            pull(store, other, registries=patient, progress=watch),
        )
        assert sum(span.length for span in registry.spans() if span) == len(CONTENT)
    assert one_waits.is_set()
    assert_whole(store, reference, artifact)
    assert store.resolve(other) == artifact.digest


async def test_requests_for_blobs_never_exceed_the_bound(store: Store) -> None:
    artifact = make_artifact({f"part-{number}": random_bytes(CHUNK * 3, seed=number) for number in range(12)})
    running = highest = 0

    async def counted(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
        nonlocal running, highest
        running += 1
        highest = max(highest, running)
        await asyncio.sleep(0.005)
        running -= 1
        return await lies.honest(request, content, span)

    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.always(counted)
        await pull(store, reference, registries=QUICK)
    assert 2 <= highest <= QUICK.connections


async def test_progress_ends_at_the_total_and_never_goes_beyond(store: Store, artifact: MadeArtifact) -> None:
    moments: list[Progress] = []
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.lie(lies.reset_midway, times=3)
        await pull(store, reference, registries=QUICK, progress=moments.append)
    assert moments[0].stage is Stage.RESOLVING
    assert moments[-1] == Progress(reference, Stage.DONE, artifact.size_bytes, artifact.size_bytes)
    assert all(moment.bytes_done <= artifact.size_bytes for moment in moments)


async def test_a_pinned_reference_that_is_here_asks_nobody(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        await pull(store, reference, registries=QUICK)
    pinned = reference.with_digest(artifact.digest)
    assert await pull(store, pinned, registries=QUICK) == artifact.digest
    assert store.resolve(pinned) == artifact.digest


async def test_a_tag_that_moved_is_followed(store: Store, artifact: MadeArtifact) -> None:
    newer = make_artifact({"model.gguf": CONTENT, "LICENSE": b"MIT"})
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        await pull(store, reference, registries=QUICK)
        registry.hold("a/model", newer)
        registry.seen.clear()
        assert await pull(store, reference, registries=QUICK) == newer.digest
        assert all(span is None for span in registry.spans()), "the weights are here already"
    assert store.resolve(reference) == newer.digest


async def test_a_manifest_that_is_not_what_was_pinned_is_refused(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.artifacts["a/model", artifact.digest] = artifact.manifest + b" "
        with pytest.raises(DigestMismatch):
            await pull(store, reference.with_digest(artifact.digest), registries=QUICK)


async def test_a_missing_tag_says_which_and_what_to_check(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        registry.hold("a/model", artifact)
        reference = Reference.parse(f"{registry.address}/a/model:nope")
        with pytest.raises(SourceNotFound, match=r"nope.*no such tag.*check the name and the tag") as failed:
            await pull(store, reference, registries=QUICK)
    assert failed.value.reason == "SourceNotFound"


async def test_a_registry_that_wants_a_login_says_how(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.require_token(uses=0)
        with pytest.raises(SourceUnauthorized, match=f"docker login {registry.address}"):
            await pull(store, reference, registries=QUICK)


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        (b"{}", "no OCI manifest"),
        (b"<html>", "not JSON"),
        (b"[" * 100_000, "no OCI manifest"),
        (b"{" + b" " * (4 << 20) + b"}", "larger than"),
    ],
    ids=["empty", "html", "deep", "huge"],
)
async def test_what_is_no_manifest_is_refused(store: Store, manifest: bytes, why: str) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", MadeArtifact(manifest, {}))
        with pytest.raises(NoModelInSource, match=why):
            await pull(store, reference, registries=QUICK)


async def test_a_container_image_is_refused_before_its_layers_are_fetched(store: Store) -> None:
    image = make_artifact({"x": CONTENT}, config_type="application/vnd.oci.image.config.v1+json")
    async with LyingRegistry() as registry:
        reference = registry.hold("a/image", image)
        with pytest.raises(NoModelInSource, match="container image"):
            await pull(store, reference, registries=QUICK)
        assert registry.spans() == []


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a\\b", "a\0b", "a/../../b"])
async def test_a_hostile_file_name_is_refused_before_anything_is_fetched(store: Store, name: str) -> None:
    artifact = make_artifact({name: CONTENT})
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        with pytest.raises(NoModelInSource, match="refused"):
            await pull(store, reference, registries=QUICK)
        assert registry.spans() == []


async def test_names_on_localhost_are_never_asked_of_a_registry(store: Store) -> None:
    with pytest.raises(SourceNotFound, match="berth package"):
        await pull(store, Reference.parse("localhost/mine"), registries=QUICK)


async def test_the_digest_of_an_empty_file_is_a_blob_too(store: Store) -> None:
    artifact = make_artifact({"model.gguf": CONTENT, "empty.txt": b""})
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        await pull(store, reference, registries=QUICK)
    assert (store.view(artifact.digest) / "empty.txt").read_bytes() == b""


async def test_a_damaged_blob_is_repaired_by_pulling_again(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        await pull(store, reference, registries=QUICK)
        manifest = store.blob_path(artifact.digest)
        manifest.chmod(0o644)
        manifest.write_bytes(artifact.manifest.replace(b"gguf", b"gguk"))
        store.blob_path(digest_of(CONTENT)).unlink()
        await pull(store, reference, registries=QUICK)
    assert_whole(store, reference, artifact)


async def test_a_disk_without_room_is_told_before_anything_is_fetched(
    store: Store, artifact: MadeArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = os.statvfs("/")
    small = os.statvfs_result((free.f_bsize, 4096, *free[2:4], 100, *free[5:]))
    monkeypatch.setattr(os, "statvfs", lambda path: small)
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        with pytest.raises(DiskFull, match=r"bytes are still to be fetched and 409,600 are free") as failed:
            await pull(store, reference, registries=QUICK)
        assert registry.spans() == []
    assert failed.value.reason == "DiskFull"


async def test_a_disk_that_fills_up_on_the_way_is_told_and_what_came_is_kept(
    store: Store, artifact: MadeArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0
    honest = os.pwritev

    def almost_full(file: int, pieces: list[bytes], position: int) -> int:
        nonlocal written
        if written > 4 * CHUNK:
            raise OSError(errno.ENOSPC, "No space left on device")
        written += sum(map(len, pieces))
        return honest(file, pieces, position)

    monkeypatch.setattr(os, "pwritev", almost_full)
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        with pytest.raises(DiskFull, match="no room left"):
            await pull(store, reference, registries=QUICK)
        monkeypatch.setattr(os, "pwritev", honest)
        registry.seen.clear()
        await pull(store, reference, registries=QUICK)
        assert sum(span.length for span in registry.spans() if span) <= len(CONTENT) - 4 * CHUNK
    assert_whole(store, reference, artifact)


async def test_the_one_model_of_an_index_is_pulled(store: Store, artifact: MadeArtifact) -> None:
    entry = {"mediaType": mediatypes.OCI_MANIFEST, "digest": artifact.digest, "size": len(artifact.manifest)}
    index = json.dumps({"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": [entry]}).encode()
    async with LyingRegistry() as registry:
        registry.hold("a/model", artifact)
        reference = registry.hold("a/model", MadeArtifact(index, {}), tag="multi")
        assert await pull(store, reference, registries=QUICK) == artifact.digest
    assert_whole(store, reference, artifact)
