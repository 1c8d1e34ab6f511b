"""Pulling an artifact: from a registry into the store of this machine.

The manifest comes first and decides what is fetched; blobs that are here are not fetched again, ones that another
process is fetching are waited for; the name is written last. So an interrupted pull leaves no half-named artifact, and
the next one goes on where it was.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace

from berth_store import locks
from berth_store.digest import Digest, hex_of
from berth_store.download import Download
from berth_store.durable import writing
from berth_store.errors import DigestMismatch, DiskFull, NoModelInSource, SourceError, SourceNotFound
from berth_store.local import Store
from berth_store.machine import machine_architecture
from berth_store.manifest import Descriptor, Index, Manifest, check_model, choose_manifest, parse_manifest
from berth_store.partial import Partial
from berth_store.progress import Meter, Report, Stage
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.registry import FetchedManifest, Registry
from berth_store.retry import with_retries
from berth_store.tasks import in_thread, run_all
from berth_store.transport import Transport
from berth_store.unpack import unpack
from berth_store.view import plan_view

ADOPT_BYTES = 64 * 1024 * 1024
# Left alone, so that a pull that just fits does not leave the machine without room for anything else.
SPARE_BYTES = 64 * 1024 * 1024


async def pull(
    store: Store,
    reference: Reference,
    *,
    registries: RegistryConfig | None = None,
    progress: Report | None = None,
    slots: asyncio.Semaphore | None = None,
) -> Digest:
    """Bring the artifact into the store under its name, and return the digest of its manifest.

    `slots` bounds the requests of several pulls together; by default each pull has `registries.connections` of its own.
    Raises what `berth_store.errors` lists; what had been fetched by then is kept for the next attempt.
    """
    config = registries or RegistryConfig.from_environment()
    meter = Meter(reference, progress)
    meter.enter(Stage.RESOLVING)
    digest = await in_thread(_already_here, store, reference)
    if digest is None:
        refuse_local(reference)
        async with Transport(config) as transport:
            registry = Registry(transport, config, reference)
            fetched, manifest = await fetch_model_manifest(registry, reference)
            bounds = slots or asyncio.Semaphore(config.connections)
            digest = await _Pull(store, registry, reference, meter, bounds).run(fetched, manifest)
    meter.enter(Stage.DONE)
    return digest


def _already_here(store: Store, reference: Reference) -> Digest | None:
    """The digest, if asking a registry could change nothing: the reference is pinned, or a name of this store only."""
    if reference.digest is None and not reference.is_local:
        return None
    digest = store.resolve(reference)
    try:
        if digest is None or store.missing(store.manifest(digest)):
            return None
    except (SourceNotFound, DigestMismatch):
        return None  # The manifest itself is damaged: fetching it again repairs it.
    store.tag(reference, digest)
    return digest


def refuse_local(reference: Reference) -> None:
    """Raise SourceNotFound for a name that no registry can have."""
    if reference.is_local:
        raise SourceNotFound(
            f"{reference}: names on localhost are in this machine's store only, and it has no such one, or not all of "
            "it; make it with `berth package`, or give the port of a registry on this machine (localhost:5000/…)"
        )


async def fetch_model_manifest(registry: Registry, reference: Reference) -> tuple[FetchedManifest, Manifest]:
    """The model's manifest, of a kind that Berth reads; an index leads to the one model in it."""
    retry = registry.config.first_contact
    try:
        fetched = await with_retries(retry, lambda: registry.fetch_manifest(reference))
    except SourceNotFound:
        await _refuse_moved_tag(registry, reference)
        raise
    parsed = parse_manifest(fetched.content, media_type=fetched.media_type, origin=str(reference))
    if isinstance(parsed, Index):
        entry = choose_manifest(parsed, str(reference), architecture=machine_architecture())
        chosen = reference.with_digest(entry.digest)
        fetched = await with_retries(retry, lambda: registry.fetch_manifest(chosen))
        parsed = parse_manifest(fetched.content, media_type=fetched.media_type, origin=str(chosen))
    if isinstance(parsed, Index):
        raise NoModelInSource(f"{reference}: it is an index of indexes; name the model's manifest by its digest")
    check_model(parsed, str(reference))
    plan_view(parsed, str(reference))
    return fetched, parsed


async def _refuse_moved_tag(registry: Registry, reference: Reference) -> None:
    """Raise DigestMismatch where the tag beside a pin is there and leads elsewhere: that is what the user must know."""
    if reference.digest is None or reference.tag is None:
        return
    try:
        found = await registry.fetch_manifest(replace(reference, digest=None))
    except SourceError:
        return
    raise DigestMismatch(
        f"{reference.name}:{reference.tag} is {found.digest}, and {registry.name} has nothing with the digest "
        f"{reference.digest} that is asked for; pin the digest that is there, or push what was meant"
    )


class _Pull:
    """One artifact on its way into the store."""

    def __init__(
        self, store: Store, registry: Registry, reference: Reference, meter: Meter, slots: asyncio.Semaphore
    ) -> None:
        self._store = store
        self._registry = registry
        self._reference = reference
        self._meter = meter
        self._slots = slots

    async def run(self, fetched: FetchedManifest, manifest: Manifest) -> Digest:
        missing = self._store.missing(manifest)
        self._meter.expect(manifest.size_bytes)
        self._meter.add(manifest.size_bytes - sum(blob.size for blob in missing))
        with self._store.using(), writing(self._store.root):
            check_room(self._store, missing)
            at_once = asyncio.Semaphore(self._registry.config.connections)
            await run_all(self._fetch(blob, at_once) for blob in missing)
            unpacked = await in_thread(unpack, self._store, manifest, str(self._reference))
            plan_view(manifest, str(self._reference), unpacked)
            await in_thread(self._store.write_blob, fetched.content)
            await in_thread(self._store.tag, self._reference, fetched.digest)
        return fetched.digest

    async def _fetch(self, blob: Descriptor, at_once: asyncio.Semaphore) -> None:
        lock = self._store.locks / hex_of(blob.digest)
        async with at_once, locks.exclusive_in_turn(lock, lambda: self._meter.enter(Stage.WAITING)):
            if self._store.has(blob):
                self._meter.add(blob.size)
                return
            for _ in range(2):
                if await self._fetch_once(blob):
                    return
        raise DigestMismatch(
            f"{self._reference}: what {self._registry.name} sends for the blob {blob.digest} has another digest, also "
            "the second time; the push was damaged, or something on the way changes it. Push the model again"
        )

    async def _fetch_once(self, blob: Descriptor) -> bool:
        """Fetch the blob, going on from what is there. False, and nothing kept, if the bytes are wrong."""
        partial = await in_thread(Partial, self._store.ingest / f"{hex_of(blob.digest)}.partial", blob.size)
        try:
            if partial.claimed_bytes:
                self._meter.enter(Stage.RESUMING)
            while not await in_thread(partial.adopt, ADOPT_BYTES):
                pass
            self._meter.enter(Stage.FETCHING)
            self._meter.add(partial.done.total)
            source = self._registry.blob(self._reference.repository, blob.digest)
            await Download(self._registry, source, partial, slots=self._slots, meter=self._meter).run()
            if partial.digest == blob.digest:
                await in_thread(partial.keep, self._store.blob_path(blob.digest))
                return True
            self._meter.add(-blob.size)
            await in_thread(partial.discard)
            return False
        finally:
            partial.close()


def check_room(store: Store, blobs: Sequence[Descriptor]) -> None:
    """Raise DiskFull unless the file system has room for `blobs`, less what partial files hold of them already."""
    needed = sum(blob.size - _allocated(store, blob) for blob in blobs)
    disk = os.statvfs(store.root)
    free = disk.f_bavail * disk.f_frsize
    if needed and needed + SPARE_BYTES > free:
        raise DiskFull(
            f"{store.root}: {needed:,} bytes are still to be fetched and {free:,} are free on this file system "
            f"({SPARE_BYTES:,} are left alone)"
        )


def _allocated(store: Store, blob: Descriptor) -> int:
    try:
        status = (store.ingest / f"{hex_of(blob.digest)}.partial").stat()
    except FileNotFoundError:
        return 0
    return min(blob.size, status.st_blocks * 512)
