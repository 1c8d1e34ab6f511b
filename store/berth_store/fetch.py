"""Fetching files into the store as blobs, wherever they come from: locked, resumable, hashed, kept under their digest.

`berth_store.pull` and `berth_store.sources.gather` call. A file whose digest nobody tells beforehand is fetched under a
key that stands for its place and version, and a *receipt* beside the partial files remembers which blob it became, so
that what came whole is not fetched again after a kill.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from berth_store import locks
from berth_store.batch import Batch
from berth_store.digest import Digest, digest_of, hex_of, parse_digest
from berth_store.download import Download
from berth_store.durable import write_atomically
from berth_store.errors import DigestMismatch, DiskFull
from berth_store.local import Store
from berth_store.manifest import Descriptor
from berth_store.partial import Partial
from berth_store.progress import Meter, Stage
from berth_store.quota import RECEIPT_SUFFIX, arrived_bytes, reserved
from berth_store.registries import RegistryConfig
from berth_store.small import SMALL_BYTES, fetch_small
from berth_store.sources.protocol import RemoteFile
from berth_store.tasks import Budget, in_thread

ADOPT_BYTES = 64 * 1024 * 1024
# Left alone, so that a fetch that just fits does not leave the machine without room for anything else.
SPARE_BYTES = 64 * 1024 * 1024
# Of small files at once, on their way or waiting to be written: the more are written together, the less each takes.
SMALL_AT_ONCE_BYTES = 24 * 1024 * 1024
_BLOCK_BYTES = 1024 * 1024
_MAX_RECEIPT_BYTES = 128


@dataclass(frozen=True)
class Wanted:
    """One file that is to become a blob. `key` are 64 digits: those of `digest` where that is known."""

    key: str
    size: int
    remote: RemoteFile
    digest: Digest | None = None
    git_digest: str = ""


class Fetcher:
    """Fetches into one store, which the caller is `using()`; `slots` bounds the requests at once, over all files."""

    def __init__(
        self, store: Store, config: RegistryConfig, meter: Meter, *, slots: asyncio.Semaphore | None = None
    ) -> None:
        self.store = store
        self.config = config
        self.meter = meter
        self._slots = slots or asyncio.Semaphore(config.connections)
        self._at_once = asyncio.Semaphore(config.connections)
        self._small_at_once = Budget(SMALL_AT_ONCE_BYTES)
        self._batch = Batch(store.ingest)

    @asynccontextmanager
    async def room_for(self, files: Sequence[Wanted], here: Iterable[Digest]) -> AsyncIterator[None]:
        """While `files` come, which are not here yet. Raises DiskFull unless there is room, or QuotaReached.

        `here` are blobs of the same artifact that have come before: room is not made of them.
        """
        named = [(file.key, file.size) for file in files]
        async with AsyncExitStack() as stack:
            try:
                check_room(self.store, named)
                await stack.enter_async_context(reserved(self.store, named))
            except DiskFull as error:
                raise error.keeping(frozenset(map(hex_of, here))) from error
            yield

    def find(self, file: Wanted) -> Digest | None:
        """The digest, if the file is here."""
        digest = file.digest or self._receipt(file)
        if digest is None:
            return None
        return digest if self.store.has(Descriptor(media_type="", digest=digest, size=file.size)) else None

    async def fetch(self, file: Wanted) -> Digest:
        """Have the file as a blob; its digest. Raises DigestMismatch if what comes is twice not what was promised."""
        if self._is_small(file):
            # No lock: two processes that fetch it at once write the same bytes, which costs less than a file for each.
            async with self._small_at_once.take(file.size):
                return await self._fetch_unless_here(file, self._fetch_small)
        lock = self.store.locks / file.key
        async with self._at_once, locks.exclusive_in_turn(lock, lambda: self.meter.enter(Stage.WAITING)):
            return await self._fetch_unless_here(file, self._fetch_resumable)

    async def _fetch_unless_here(
        self, file: Wanted, fetch_once: Callable[[Wanted], Awaitable[Digest | None]]
    ) -> Digest:
        here = self.find(file)
        if here is not None:
            self.meter.add(file.size)
            return here
        for _ in range(2):
            digest = await fetch_once(file)
            if digest is not None:
                return digest
        promised = file.digest or f"the git digest {file.git_digest}"
        raise DigestMismatch(
            f"{file.remote.subject}: what is sent has another digest than {promised}, also the second time; the "
            "upload was damaged, or something on the way changes it. Upload the model again"
        )

    async def _fetch_resumable(self, file: Wanted) -> Digest | None:
        """Fetch the file, going on from what is there. None, and nothing kept, if the bytes are wrong."""
        partial = await in_thread(Partial, self._partial_path(file), file.size)
        try:
            if partial.claimed_bytes:
                self.meter.enter(Stage.RESUMING)
            while not await in_thread(partial.adopt, ADOPT_BYTES):
                pass
            self.meter.enter(Stage.FETCHING)
            self.meter.add(partial.done.total)
            await Download(file.remote, self.config, partial, slots=self._slots, meter=self.meter).run()
            if await in_thread(_is_promised, partial, file):
                await in_thread(self._keep, partial, file)
                return partial.digest
            self.meter.add(-file.size)
            await in_thread(partial.discard)
            return None
        finally:
            partial.close()

    def _is_small(self, file: Wanted) -> bool:
        """Whether the file comes in one piece; not where a partial file is there to go on from."""
        return file.size <= min(SMALL_BYTES, self.config.chunk_bytes) and not self._partial_path(file).exists()

    async def _fetch_small(self, file: Wanted) -> Digest | None:
        """Fetch the file in one piece. None, and nothing kept, if the bytes are wrong."""
        self.meter.enter(Stage.FETCHING)
        content = await fetch_small(file.remote, file.size, self.config, self._slots)
        digest = digest_of(content)
        if not _is_promised_content(content, digest, file):
            return None
        # The folder is flushed once for all of them, before a name stands for them: see `Store.tag`.
        await self._batch.write(self.store.blob_path(digest), content)
        if file.digest is None:
            await in_thread(self._remember, file, digest)
        self.meter.add(file.size)
        return digest

    def _keep(self, partial: Partial, file: Wanted) -> None:
        partial.keep(self.store.blob_path(partial.digest))
        if file.digest is None:
            self._remember(file, partial.digest)

    def _remember(self, file: Wanted, digest: Digest) -> None:
        write_atomically(self._receipt_path(file), digest.encode(), scratch=self.store.ingest)

    def _receipt(self, file: Wanted) -> Digest | None:
        try:
            with self._receipt_path(file).open("rb") as receipt:
                return parse_digest(receipt.read(_MAX_RECEIPT_BYTES).decode(errors="replace"))
        except (FileNotFoundError, ValueError):
            return None

    def _partial_path(self, file: Wanted) -> Path:
        return self.store.ingest / f"{file.key}.partial"

    def _receipt_path(self, file: Wanted) -> Path:
        return self.store.ingest / f"{file.key}{RECEIPT_SUFFIX}"


def check_room(store: Store, files: Sequence[tuple[str, int]]) -> None:
    """Raise DiskFull unless the file system has room for files, given by key and size, less what is there of them."""
    disk = os.statvfs(store.root)
    free = disk.f_bavail * disk.f_frsize
    if sum(size for _, size in files) + SPARE_BYTES <= free:
        return  # However much of them is here, which takes a look or three for each.
    needed = sum(size - arrived_bytes(store, key, size) for key, size in files)
    if needed and needed + SPARE_BYTES > free:
        raise DiskFull(
            f"{store.root}: {needed:,} bytes are still to be fetched and {free:,} are free on this file system "
            f"({SPARE_BYTES:,} are left alone)",
            lacking_bytes=needed + SPARE_BYTES - free,
            keeps=frozenset(key for key, _ in files),
        )


def git_digest_of(path: Path, size: int) -> str:
    """The sha1 by which git knows a file of these bytes; not a proof against forgery, but against damage."""
    sha1 = _git_sha1(size)
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            sha1.update(block)
    return sha1.hexdigest()


def _git_sha1(size: int) -> "hashlib._Hash":
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)


def _is_promised(partial: Partial, file: Wanted) -> bool:
    if file.digest is not None:
        return partial.digest == file.digest
    return not file.git_digest or git_digest_of(partial.path, file.size) == file.git_digest


def _is_promised_content(content: bytes, digest: Digest, file: Wanted) -> bool:
    if file.digest is not None:
        return digest == file.digest
    sha1 = _git_sha1(file.size)
    sha1.update(content)
    return not file.git_digest or sha1.hexdigest() == file.git_digest
