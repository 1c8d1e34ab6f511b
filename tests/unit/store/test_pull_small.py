"""Small blobs, which come in one piece and are written together: as well guarded as large ones, and no less patient."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import lies
import pytest
from aiohttp import web
from lies import Lie
from lying_registry import LyingRegistry
from oci_artifacts import make_artifact, random_bytes
from pulls import QUICK

from berth_store import batch as batch_module
from berth_store import fetch
from berth_store.batch import Batch
from berth_store.digest import digest_of, hex_of
from berth_store.errors import DigestMismatch, SourceNotFound, SourceUnreachable
from berth_store.integrity import find_damage
from berth_store.local import Store
from berth_store.partial import Partial
from berth_store.pull import pull
from berth_store.ranges import Range
from berth_store.tasks import Budget

FILES = {f"parts/{number}.safetensors": random_bytes(3_000 + number, seed=number) for number in range(60)}
SMALL = make_artifact(FILES)
A_BLOB = next(iter(FILES.values()))


def about_one(lie: Lie, *, times: int) -> Lie:
    """The lie for the first requests for one of the blobs, the truth for all others."""
    left = [lie] * times

    async def answer(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
        return await (left.pop() if content == A_BLOB and left else lies.honest)(request, content, span)

    return answer


async def without_length(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
    """The blob and more, in chunks, so that no header tells its size."""
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    await response.write(content + b"and more")
    return response


async def test_each_is_asked_for_once_and_leaves_nothing_beside_it(store: Store) -> None:
    reported: list[int] = []
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", SMALL)
        assert (
            await pull(store, reference, registries=QUICK, progress=lambda moment: reported.append(moment.bytes_done))
            == SMALL.digest
        )
        asked = [seen.path for seen in registry.seen if "/blobs/" in seen.path]
    assert len(asked) == len(set(asked)) == len(SMALL.blobs)
    assert store.resolve(reference) == SMALL.digest
    assert find_damage(store) == ()
    assert list(store.ingest.iterdir()) == []
    assert {path.name for path in store.locks.iterdir()} == {"store", "quota", "index"}
    assert {oct(path.stat().st_mode & 0o777) for path in store.blobs.iterdir()} == {"0o444"}
    assert reported == sorted(reported)
    assert reported[-1] == SMALL.size_bytes


@pytest.mark.parametrize(
    "lie", [lies.wrong_bytes, lies.reset_midway, lies.reset_at_once, lies.stall, lies.compressed, lies.status(503)]
)
async def test_a_lie_or_a_cut_is_made_good_by_asking_again(store: Store, lie: Lie) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", SMALL)
        registry.always(about_one(lie, times=1))
        await pull(store, reference, registries=QUICK)
        asked = [seen for seen in registry.seen if seen.path.endswith(digest_of(A_BLOB))]
    assert len(asked) == 2
    assert find_damage(store) == ()
    assert store.blob_path(digest_of(A_BLOB)).read_bytes() == A_BLOB


async def test_no_more_than_the_announced_size_is_taken(store: Store) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", SMALL)
        registry.always(about_one(without_length, times=1))
        await pull(store, reference, registries=QUICK)
    assert store.blob_path(digest_of(A_BLOB)).read_bytes() == A_BLOB


@pytest.mark.parametrize(
    ("lie", "error"),
    [
        (lies.wrong_bytes, DigestMismatch),
        (lies.compressed, SourceUnreachable),
        (lies.reset_midway, SourceUnreachable),
        (lies.trickle, SourceUnreachable),
    ],
)
async def test_what_never_gets_right_is_told_and_named_nothing(store: Store, lie: Lie, error: type[Exception]) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", SMALL)
        registry.always(about_one(lie, times=100))
        with pytest.raises(error):
            await pull(store, reference, registries=QUICK)
    assert store.resolve(reference) is None
    assert not store.blob_path(digest_of(A_BLOB)).exists()
    for path in store.blobs.iterdir():
        assert hex_of(digest_of(path.read_bytes())) == path.name


async def test_content_is_flushed_before_its_name_and_the_names_before_the_artifacts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut can't be tried here; the order of the calls that guard against it can be seen."""
    done: list[tuple[str, str]] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(file: int) -> None:
        real_fsync(file)
        done.append(("flushed", os.readlink(f"/proc/self/fd/{file}")))

    def watched_replace(source: Path, target: Path) -> None:
        real_replace(source, target)
        done.append(("named", str(source)))
        done.append(("became", str(target)))

    store.prepare()
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    async with LyingRegistry() as registry:
        await pull(store, registry.hold("a/model", SMALL), registries=QUICK)
    named = [place for place, (what, _) in enumerate(done) if what == "named"]
    assert len(named) > len(FILES)
    for place in named:
        assert ("flushed", done[place][1]) in done[:place]
    last_blob = max(place for place, (what, path) in enumerate(done) if what == "became" and str(store.blobs) in path)
    index = done.index(("became", str(store.root / "index.json")))
    assert ("flushed", str(store.blobs)) in done[last_blob:index]


async def test_a_pull_that_was_given_up_asks_only_for_what_it_had_not_kept(store: Store) -> None:
    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", SMALL)
        registry.lie(lies.honest, times=30)
        registry.always(lies.status(404))
        with pytest.raises(SourceNotFound):
            await pull(store, reference, registries=QUICK)
        kept = {path.name for path in store.blobs.iterdir()}
        registry.seen.clear()
        registry.always(lies.honest)
        await pull(store, reference, registries=QUICK)
        asked = {seen.path[-64:] for seen in registry.seen if "/blobs/" in seen.path}
    assert kept
    assert asked == {hex_of(digest) for digest in SMALL.blobs} - kept


async def test_a_partial_file_of_a_small_blob_is_gone_on_from(store: Store) -> None:
    content = random_bytes(QUICK.chunk_bytes, seed=9)
    artifact = make_artifact({"model.safetensors": content})
    store.prepare()
    partial = Partial(store.ingest / f"{hex_of(digest_of(content))}.partial", len(content))
    assert partial.adopt(1)
    partial.write(0, [content[:100_000]])
    partial.close()
    async with LyingRegistry() as registry:
        await pull(store, registry.hold("a/model", artifact), registries=QUICK)
    assert Range(100_000, len(content)) in registry.spans()
    assert store.blob_path(digest_of(content)).read_bytes() == content


async def test_what_waited_for_a_write_that_failed_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, real_open, fails = Batch(tmp_path), os.open, [OSError(errno.ENOSPC, "full")]

    def open_once_full(*arguments: int, **options: int) -> int:
        if fails:
            raise fails.pop()
        return real_open(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", open_once_full)
    writes = (batch.write(tmp_path / name, name.encode()) for name in ("one", "two", "three"))
    one, two, three = await asyncio.gather(*writes, return_exceptions=True)
    assert isinstance(one, OSError)
    assert two is None
    assert three is None
    assert (tmp_path / "two").read_bytes() == b"two"
    assert (tmp_path / "three").read_bytes() == b"three"


async def test_only_so_many_are_open_at_once_however_many_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, real_close, opened, most = Batch(tmp_path), os.close, set[int](), 0
    real_open = os.open

    def watched_open(*arguments: int, **options: int) -> int:
        nonlocal most
        file = real_open(*arguments, **options)  # type: ignore[arg-type]
        opened.add(file)
        most = max(most, len(opened))
        return file

    def watched_close(file: int) -> None:
        opened.discard(file)
        real_close(file)

    monkeypatch.setattr(batch_module, "WRITTEN_AT_ONCE", 4)
    monkeypatch.setattr(os, "open", watched_open)
    monkeypatch.setattr(os, "close", watched_close)
    names = [f"file-{number}" for number in range(11)]
    await asyncio.gather(*(batch.write(tmp_path / name, name.encode()) for name in names))
    assert most == 4
    assert [(tmp_path / name).read_text() for name in names] == names


async def test_small_blobs_at_once_are_bounded_by_their_bytes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held back where they would take too much memory, and none of them for ever."""
    monkeypatch.setattr(fetch, "SMALL_AT_ONCE_BYTES", 2 * max(map(len, FILES.values())))
    held, most = 0, 0

    class WatchedBudget(Budget):
        @asynccontextmanager
        async def take(self, part: int) -> AsyncIterator[None]:
            nonlocal held, most
            async with super().take(part):
                held += part
                most = max(most, held)
                yield
                held -= part

    monkeypatch.setattr(fetch, "Budget", WatchedBudget)
    async with LyingRegistry() as registry:
        await pull(store, registry.hold("a/model", SMALL), registries=QUICK)
    assert max(map(len, FILES.values())) < most <= fetch.SMALL_AT_ONCE_BYTES


async def test_who_gives_up_waiting_for_a_part_of_a_budget_takes_none() -> None:
    budget = Budget(10)
    async with budget.take(8):
        waiting = asyncio.create_task(_take(budget, 5))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        async with budget.take(2):
            pass
    await asyncio.wait_for(_take(budget, 10), 5)


async def _take(budget: Budget, part: int) -> None:
    async with budget.take(part):
        pass
