"""A store's bytes never pass its quota: what lies there and what all pulls under way will bring, counted once."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import lies
import pytest
import tar_builders as t
from aiohttp import web
from lying_registry import LyingRegistry
from oci_artifacts import Layer, make_artifact, make_layers, random_bytes
from pulls import QUICK

from berth_api.errors import InvalidSpec
from berth_store import locks
from berth_store.errors import QuotaReached
from berth_store.evict import SPARED_SECONDS, Wish, evict
from berth_store.home import default_quota
from berth_store.local import Store
from berth_store.pull import pull
from berth_store.quota import RESERVED_SUFFIX, measure, reserved, spare_bytes
from berth_store.ranges import Range

pytestmark = pytest.mark.timeout(60)
SIZE = 2_000_000
KEY, OTHER = "a" * 64, "b" * 64
ANOTHER_PROCESS = """
import asyncio, sys
from pathlib import Path
from berth_store.local import Store
from berth_store.quota import reserved

async def reserve():
    store = Store(Path(sys.argv[1]))
    with store.using():
        async with reserved(store, [(sys.argv[2], int(sys.argv[3]))]):
            print("reserved", flush=True)
            sys.stdin.read()

asyncio.run(reserve())
"""


def spare(store: Store) -> int | None:
    with spare_bytes(store) as found:
        return found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", quota_bytes=1000)
    store.prepare()
    return store


@pytest.fixture
async def registry() -> AsyncIterator[LyingRegistry]:
    async with LyingRegistry() as registry:
        yield registry


async def test_what_is_reserved_is_gone_for_others_until_it_is_given_back(store: Store) -> None:
    async with reserved(store, [(KEY, 600)]):
        assert spare(store) == 400
        with pytest.raises(QuotaReached, match=r"401 bytes are still to be fetched, 0 lie there, 600 more are being"):
            async with reserved(store, [(OTHER, 401)]):
                pass
        async with reserved(store, [(OTHER, 400)]):
            assert spare(store) == 0
    assert spare(store) == 1000
    assert list(store.ingest.iterdir()) == []


async def test_what_two_pulls_bring_together_counts_once_and_what_has_come_no_more(store: Store) -> None:
    async with reserved(store, [(KEY, 600)]), reserved(store, [(KEY, 600), (OTHER, 400)]):
        (store.blobs / KEY).write_bytes(bytes(600))
        (store.ingest / f"{OTHER}.receipt").write_text("sha256:" + "c" * 64)
        (store.blobs / ("c" * 64)).write_bytes(bytes(400))
        with locks.exclusive(store.locks / "quota"):
            usage = measure(store)
        assert (usage.total_bytes, usage.coming_bytes) == (1000, 0)


async def test_a_partial_file_counts_by_what_has_come_of_it(store: Store) -> None:
    store.quota_bytes = 1 << 20
    partial = store.ingest / f"{KEY}.partial"
    with partial.open("wb") as file:
        file.write(bytes(64 * 1024))
        file.truncate(1 << 20)
        os.fsync(file.fileno())
    assert spare(store) == (1 << 20) - 64 * 1024, "of one that nobody goes on with"
    async with reserved(store, [(KEY, 1 << 20)]):
        assert spare(store) == 0


def test_a_reservation_ends_with_its_process(store: Store) -> None:
    command = [sys.executable, "-c", ANOTHER_PROCESS, str(store.root), KEY, "900"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reserved\n"
        assert spare(store) == 100
        process.kill()
    assert list(store.ingest.glob(f"*{RESERVED_SUFFIX}"))
    assert spare(store) == 1000
    assert list(store.ingest.iterdir()) == []


async def test_two_pulls_at_once_do_not_pass_it_together(tmp_path: Path, registry: LyingRegistry) -> None:
    store = Store(tmp_path / "store", quota_bytes=3 * SIZE // 2)
    first, second = (
        registry.hold(f"a/{seed}", make_artifact({"model.gguf": random_bytes(SIZE, seed=seed)})) for seed in (1, 2)
    )
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def wait(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
        begun.set()
        await may_end.wait()
        return await lies.honest(request, content, span)

    registry.always(wait)
    under_way = asyncio.create_task(pull(store, first, registries=QUICK))
    await begun.wait()
    with pytest.raises(QuotaReached, match="more are being fetched by others, and the quota is 3,000,000"):
        await pull(store, second, registries=QUICK)
    may_end.set()
    await under_way
    assert not [seen for seen in registry.seen if "/a/2/blobs/" in seen.path], "it was told before a byte was fetched"
    registry.always(lies.honest)
    with pytest.raises(QuotaReached):
        await pull(store, second, registries=QUICK)


def archive(files: dict[str, bytes]) -> Layer:
    return Layer(t.gzipped(t.tar_of(files)), "application/vnd.cncf.model.weight.v1.tar+gzip")


async def test_what_an_archive_holds_is_bound_too_and_leaves_nothing_behind(
    tmp_path: Path, registry: LyingRegistry
) -> None:
    store = Store(tmp_path / "store", quota_bytes=100_000)
    packed = registry.hold("a/packed", make_layers([archive({"model.gguf": bytes(50_000), "other": bytes(60_000)})]))
    with pytest.raises(QuotaReached, match=r"'other' unpacks to 60,000 bytes, and of the quota of 100,000 are") as full:
        await pull(store, packed, registries=QUICK)
    assert full.value.lacking_bytes >= 10_000
    assert not any(path.is_dir() for path in store.ingest.iterdir())
    store.quota_bytes = 200_000
    await pull(store, packed, registries=QUICK)


async def test_room_for_what_an_archive_holds_is_not_made_of_the_archive(
    tmp_path: Path, registry: LyingRegistry
) -> None:
    store = Store(tmp_path / "store", quota_bytes=100_000)
    packed = registry.hold("a/packed", make_layers([archive({"model.gguf": bytes(110_000)})]))
    with pytest.raises(QuotaReached) as full:
        await pull(store, packed, registries=QUICK)
    there = set(store.blobs.iterdir())
    assert there
    done = evict(store, Wish(full.value.lacking_bytes, keeps=full.value.keeps))
    assert (done.freed_bytes, set(store.blobs.iterdir())) == (0, there)


def test_what_interrupted_pulls_left_goes_when_it_is_old(store: Store) -> None:
    old, fresh = store.ingest / f"{KEY}.partial", store.ingest / f"{OTHER}.partial"
    for path in (old, fresh):
        path.write_bytes(bytes(5000))
        path.with_suffix(".journal").write_bytes(b"x")
    long_ago = time.time() - 2 * SPARED_SECONDS
    os.utime(old, (long_ago, long_ago))
    done = evict(store, Wish(1_000_000))
    assert done.freed_bytes >= 5000
    assert sorted(path.name for path in store.ingest.iterdir()) == [f"{OTHER}.journal", f"{OTHER}.partial"]


async def test_what_is_asked_for_again_is_not_what_goes(store: Store) -> None:
    partial = store.ingest / f"{KEY}.partial"
    partial.write_bytes(bytes(500))
    long_ago = time.time() - 2 * SPARED_SECONDS
    os.utime(partial, (long_ago, long_ago))
    with pytest.raises(QuotaReached) as full:
        async with reserved(store, [(KEY, 900), (OTHER, 200)]):
            pass
    assert evict(store, Wish(full.value.lacking_bytes, keeps=full.value.keeps)).freed_bytes == 0
    assert partial.exists()
    assert evict(store, Wish(full.value.lacking_bytes)).freed_bytes > 0


@pytest.mark.parametrize(("text", "quota"), [("", None), (" 100Gi ", 100 << 30), ("2500000", 2_500_000), ("0", 0)])
def test_the_quota_of_this_machine_is_a_quantity(text: str, quota: int | None) -> None:
    assert default_quota({"BERTH_STORE_QUOTA": text}) == quota


@pytest.mark.parametrize("text", ["lots", "-1", "10 GB", "1e999"])
def test_another_word_is_refused_by_the_name_of_its_variable(text: str) -> None:
    with pytest.raises(InvalidSpec, match=r"BERTH_STORE_QUOTA: .* is no quantity; write one such as 100Gi"):
        default_quota({"BERTH_STORE_QUOTA": text})
