"""Which bytes a pull fetches: each once, whatever was interrupted, and none that the disk has no room for."""

import asyncio
import errno
import os
from dataclasses import replace

import lies
import pytest
from aiohttp import web
from lying_registry import LyingRegistry
from oci_artifacts import MadeArtifact, make_artifact, random_bytes
from pulls import CHUNK, CONTENT, EVEN, QUICK, assert_whole, kept_bytes, of_weights

from berth_store import download, socket_body
from berth_store.digest import digest_of
from berth_store.errors import (
    DiskFull,
    SourceNotFound,
)
from berth_store.local import Store
from berth_store.progress import Progress, Stage
from berth_store.pull import pull
from berth_store.ranges import Range


async def test_a_blob_is_fetched_in_ranges_each_byte_once(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        assert await pull(store, reference, registries=QUICK) == artifact.digest
        spans = sorted(span for span in registry.spans() if span)
    assert [span.length for span in spans] == [EVEN] * 11 + [len(CONTENT) - 11 * EVEN]
    assert [span.start for span in spans] == [EVEN * number for number in range(12)]
    assert_whole(store, reference, artifact)


async def test_a_stream_that_breaks_goes_on_past_what_was_kept(store: Store, artifact: MadeArtifact) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.lie(lies.ignore_range, times=2)
        registry.lie(lies.reset_midway, times=2)
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
    breaks = [lies.reset_midway]

    async def breaking_once(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
        return await (breaks.pop() if breaks else lies.honest)(request, content, span)

    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.always(of_weights(breaking_once))
        await pull(store, reference, registries=replace(QUICK, connections=1))
        asked = [span for span in registry.spans() if span]
    broken, resumed = asked[:2]
    assert broken.start < resumed.start <= broken.start + CHUNK // 2
    assert resumed.stop == broken.stop
    assert_whole(store, reference, artifact)


async def test_a_server_that_gives_ranges_up_midway_is_read_once_more_and_not_twice(
    store: Store, artifact: MadeArtifact
) -> None:
    async def giving_up(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
        # Two gaps are left then, and between them bytes that are there have to be passed over exactly.
        while span and span.start in {0, 5 * EVEN} and kept_bytes(store) < len(CONTENT) - 2 * EVEN:
            await asyncio.sleep(0.01)
        return await (lies.ignore_range if span and span.start == 0 else lies.honest)(request, content, span)

    async with asyncio.timeout(20), LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.always(of_weights(giving_up))
        await pull(store, reference, registries=replace(QUICK, stall_timeout_seconds=10))
        whole = [seen for seen in registry.seen if seen.path.endswith(digest_of(CONTENT)) and seen.span is None]
    assert len(whole) == 1
    assert_whole(store, reference, artifact)


async def test_what_a_cancelled_pull_had_received_is_kept(
    store: Store, artifact: MadeArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_body, "STRETCH_BYTES", 2048)
    patient, expected = replace(QUICK, stall_timeout_seconds=30), QUICK.connections * EVEN // 2
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


async def test_the_disk_writes_while_the_network_delivers(
    store: Store, artifact: MadeArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed_before_all_had_come: list[bool] = []
    done: list[int] = []
    honest = os.fdatasync

    def fdatasync(file: int) -> None:
        honest(file)
        flushed_before_all_had_come.append(not done or done[-1] < artifact.size_bytes)

    monkeypatch.setattr(download, "FLUSH_BYTES", 2 * CHUNK)
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    async with asyncio.timeout(20), LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        await pull(store, reference, registries=QUICK, progress=lambda moment: done.append(moment.bytes_done))
    assert any(flushed_before_all_had_come)
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
