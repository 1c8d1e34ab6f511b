"""A pull that is killed goes on where it was: counted on the wire, against a real registry."""

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest
from oci_artifacts import make_artifact, random_bytes
from pull_child import Puller
from registry import RunningRegistry
from wire import Asked, Wire

from berth_store import mediatypes
from berth_store.digest import digest_of, hex_of
from berth_store.integrity import find_damage
from berth_store.journal import read_journal
from berth_store.local import Store
from berth_store.manifest import Descriptor
from berth_store.push import push
from berth_store.ranges import Ranges
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig

MIB = 1024 * 1024
SIZE = 220 * MIB
CHUNK = 4 * MIB
KILLS = 20
HEADS_BYTES = MIB  # manifests, configuration, and the heads of some sixty answers
DEADLINE_SECONDS = 120


async def store_and_push(store: Store, reference: Reference, content: bytes) -> str:
    """Put an artifact of one large file into the registry by way of a store of its own."""
    artifact = make_artifact({"model.gguf": content}, layer_type=mediatypes.GGUF, config_type=mediatypes.CONFIG_V01)
    with store.using():
        for blob in (*artifact.blobs.values(), artifact.manifest):
            store.write_blob(blob)
        store.tag(reference, artifact.digest)
    return await push(store, reference, registries=RegistryConfig())


def journalled(store: Store, blob: Descriptor) -> Ranges:
    """What the journal on disk says is there."""
    done = Ranges()
    for record in read_journal(store.ingest / f"{hex_of(blob.digest)}.journal", blob.size):
        done.add(record.span)
    return done


def spans_of(asked: list[Asked], blob: Descriptor) -> list[Asked]:
    return [each for each in asked if each.path.endswith(blob.digest)]


@pytest.mark.needs("registry")
async def test_a_pull_killed_at_twenty_random_moments_fetches_no_kept_byte_again(
    tmp_path: Path, real_registry: RunningRegistry
) -> None:
    content = random_bytes(SIZE, seed=3)
    digest = await store_and_push(Store(tmp_path / "origin"), real_registry.reference("team/big:1"), content)
    blob = Descriptor(media_type=mediatypes.GGUF, digest=digest_of(content), size=SIZE)
    store, chance = Store(tmp_path / "store"), random.Random(20)
    kept_bytes = []
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        Wire(real_registry.port, bytes_per_second=80 * MIB) as wire,
        Puller() as puller,
    ):
        reference = f"{wire.address}/team/big:1"
        for _ in range(KILLS):
            kept, first = journalled(store, blob), len(wire.asked)
            child = await puller.start(store.root, reference, chunk_bytes=CHUNK)
            await wire.wait_for_downloaded(wire.downloaded_bytes + chance.randrange(1, 16 * MIB))
            os.kill(child, signal.SIGKILL)
            assert await puller.ending() == -signal.SIGKILL
            assert store.resolve(Reference.parse(reference)) is None
            for asked in spans_of(wire.asked[first:], blob):
                assert asked.span is not None
                assert not kept.overlaps(asked.span), f"{asked.span} was asked for again"
            kept_bytes.append(journalled(store, blob).total)
        before_kills = wire.downloaded_bytes
        await puller.start(store.root, reference, chunk_bytes=CHUNK)
        assert await puller.ending() == 0
        after_kills = wire.downloaded_bytes - before_kills
    assert store.resolve(Reference.parse(reference)) == digest
    assert kept_bytes == sorted(kept_bytes), "what was kept is never lost"
    # Not kept is, for each kill, a stretch under way on each connection and what the sockets of the relay held.
    assert kept_bytes[-1] > before_kills // 4
    assert after_kills < SIZE - kept_bytes[-1] + HEADS_BYTES, "the last pull fetches what was missing and no more"
    assert store.list()[0].digest == digest
    assert find_damage(store) == ()
    assert store.blob_path(blob.digest).read_bytes() == content
    assert list(store.ingest.iterdir()) == []
    kept_mib, fetched_mib = [count // MIB for count in kept_bytes], (before_kills // MIB, after_kills // MIB)
    print(f"kept after each kill, in MiB: {kept_mib}; fetched before and after: {fetched_mib}")


@pytest.mark.needs("registry")
async def test_two_processes_pull_at_once_and_fetch_it_once(tmp_path: Path, real_registry: RunningRegistry) -> None:
    content = random_bytes(40 * MIB, seed=4)
    digest = await store_and_push(Store(tmp_path / "origin"), real_registry.reference("team/big:1"), content)
    store = Store(tmp_path / "store")
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        Wire(real_registry.port, bytes_per_second=40 * MIB) as wire,
        Puller() as one,
        Puller() as other,
    ):
        for puller in (one, other):
            await puller.start(store.root, f"{wire.address}/team/big:1", chunk_bytes=CHUNK)
        assert [await puller.ending() for puller in (one, other)] == [0, 0]
        asked = [each for each in wire.asked if each.path.endswith(digest_of(content)) and each.span]
    assert sum(each.span.length for each in asked if each.span) == len(content)
    assert store.list()[0].digest == digest
    assert find_damage(store) == ()
