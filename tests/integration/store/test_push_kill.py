"""A push that is killed or given up goes on where it was, counted on the wire, against a real registry."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from oci_artifacts import make_artifact, random_bytes
from registry import RunningRegistry
from wire import Wire
from yarl import URL

from berth_store.digest import digest_of
from berth_store.integrity import find_damage
from berth_store.local import Store
from berth_store.pull import pull
from berth_store.push import push
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.retry import RetryPolicy
from berth_store.sweep import sweep

pytestmark = [pytest.mark.needs("registry"), pytest.mark.timeout(120)]
MIB = 1024 * 1024
CONTENT = random_bytes(28 * MIB, seed=11)
SENT = 12 * MIB
POLL_SECONDS = 0.02
# What was on its way when the process was killed: in its socket and in the relay's.
LOST_BYTES = 8 * MIB
QUICK = RegistryConfig(retry=RetryPolicy(first_delay_seconds=0.01))


class Broken:
    """A store from which a large blob is pushed, and the wire to the registry, on which it is stopped in its middle."""

    def __init__(self, folder: Path, wire: Wire, registry: RunningRegistry) -> None:
        self.home = folder
        self.store = Store(folder / "store")
        self.wire = wire
        self.registry = registry
        self.reference = Reference.parse(f"{wire.address}/team/{folder.name.replace('_', '-')}:1")
        artifact = make_artifact({"model.gguf": CONTENT})
        with self.store.using():
            for blob in (*artifact.blobs.values(), artifact.manifest):
                self.store.write_blob(blob)
            self.store.tag(self.reference, artifact.digest)

    async def stop_midway(self, stop: Callable[[], None]) -> None:
        self.wire.pace_uploads(16 * MIB)
        await self.wire.wait_for_uploaded(SENT)
        stop()
        self.wire.pace_uploads(None)
        # Until it has said how the request ended, the registry may still be writing what had been sent.
        while not any(int(str(request["http.response.status"])) >= 500 for request in self.registry.requests()):
            await asyncio.sleep(POLL_SECONDS)

    async def push(self) -> int:
        """How many bytes went up until all was there."""
        before = self.wire.uploaded_bytes
        await push(self.store, self.reference, registries=QUICK)
        there = Store(self.store.root / "other")
        await pull(there, self.reference, registries=QUICK)
        assert there.blob_path(digest_of(CONTENT)).read_bytes() == CONTENT
        assert find_damage(self.store) == ()
        return self.wire.uploaded_bytes - before


@pytest.fixture
async def broken(tmp_path: Path, real_registry: RunningRegistry) -> AsyncIterator[Broken]:
    async with Wire(real_registry.port) as wire:
        yield Broken(tmp_path, wire, real_registry)


async def test_after_a_kill_what_had_arrived_is_not_sent_again(broken: Broken) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "berth_cli", "push", str(broken.reference)),
        env={**os.environ, "BERTH_HOME": str(broken.home)},
        stdout=asyncio.subprocess.DEVNULL,
    )
    await broken.stop_midway(process.kill)
    assert await process.wait() == -signal.SIGKILL
    sweep(broken.store)
    (address,) = broken.store.ingest.iterdir()
    assert address.suffix == ".upload", "it may still be gone on with"
    assert await broken.push() < len(CONTENT) - SENT + LOST_BYTES
    assert list(broken.store.ingest.iterdir()) == []


async def forgotten(broken: Broken) -> None:
    for uploads in broken.registry.root.rglob("_uploads"):
        shutil.rmtree(uploads)


async def written_to_by_others(broken: Broken) -> None:
    (address,) = broken.store.ingest.glob("*.upload")
    async with aiohttp.ClientSession() as session:
        async with session.get(URL(address.read_text(), encoded=True)) as known:
            there, begins = URL(known.headers["Location"], encoded=True), int(known.headers["Range"][2:]) + 1
        headers = {"Content-Range": f"{begins}-{begins + 99}", "Content-Type": "application/octet-stream"}
        async with session.patch(there, data=bytes(100), headers=headers) as written:
            assert written.status == 202


async def elsewhere(broken: Broken) -> None:
    (address,) = broken.store.ingest.glob("*.upload")
    address.write_text("http://registry.invalid/v2/upload?_state=x")


@pytest.mark.parametrize("happened", [forgotten, written_to_by_others, elsewhere])
async def test_what_can_not_be_gone_on_with_is_begun_anew(
    broken: Broken, happened: Callable[[Broken], Awaitable[None]]
) -> None:
    given_up = asyncio.create_task(push(broken.store, broken.reference, registries=QUICK))
    await broken.stop_midway(given_up.cancel)
    with pytest.raises(asyncio.CancelledError):
        await given_up
    await happened(broken)
    assert len(CONTENT) <= await broken.push() < 2 * len(CONTENT)
    assert list(broken.store.ingest.iterdir()) == []
