"""Room for files of which nobody knows beforehand how large they are all together: what `berth_store.unpack` writes.

Each file gets its whole size before its content. Where the store has a quota, room for them is taken some at a time,
and what is taken and not given to a file yet lies in `ingest/<random>.room`, which is as large and has no content. So
whoever measures the store (`berth_store.quota`) counts it like files, and what two unpack at once never comes to more
than the quota together. The file is locked, so that the room ends with the process.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from berth_store import locks
from berth_store.durable import temporary_name
from berth_store.errors import DiskFull, QuotaReached
from berth_store.quota import ROOM_SUFFIX, spare_bytes

if TYPE_CHECKING:
    from berth_store.local import Store

STEP_BYTES: Final = 16 * 1024 * 1024
"""What is taken at once: to measure the store for each of thousands of small files would take longer than they do."""


@contextmanager
def open_room(store: "Store", packed_bytes: int, keeps: frozenset[str]) -> Iterator["Room"]:
    """Room for what an archive of `packed_bytes` bytes holds; `keeps` as in DiskFull."""
    room = Room(store, packed_bytes, keeps)
    try:
        yield room
    finally:
        room.close()


class Room:
    """What is there for the files of one archive."""

    def __init__(self, store: "Store", packed_bytes: int, keeps: frozenset[str]) -> None:
        self._store = store
        self._packed_bytes = packed_bytes
        self._keeps = keeps
        self._path = temporary_name(store.ingest).with_suffix(ROOM_SUFFIX)
        self._handle: int | None = None
        self._taken_bytes = 0

    def give(self, file: int, name: str, size: int) -> None:
        """Let an open and empty file have its size. Raises DiskFull or QuotaReached, which tell its `name`."""
        disk = os.statvfs(self._store.root)
        free = disk.f_bavail * disk.f_frsize
        if size > free:
            raise self._refusal(DiskFull, name, size, free, f"{free:,} are free")
        if self._store.quota_bytes is not None and size > self._taken_bytes:
            self._take(name, size)
        os.ftruncate(file, size)
        self._packed_bytes -= size
        self._keep(self._taken_bytes - size)

    def close(self) -> None:
        """Give back what is left."""
        if self._handle is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._handle)

    def _take(self, name: str, size: int) -> None:
        with spare_bytes(self._store) as spare:
            assert spare is not None
            there = self._taken_bytes + spare
            if size > there:
                left = f"and of the quota of {self._store.quota_bytes:,} are {max(there, 0):,} left"
                raise self._refusal(QuotaReached, name, size, there, left)
            if self._handle is None:
                self._handle = locks.hold(self._path)
            self._keep(min(there, max(size, STEP_BYTES)))

    def _keep(self, size: int) -> None:
        if self._handle is not None:
            os.ftruncate(self._handle, size)
            self._taken_bytes = size

    def _refusal(self, kind: type[DiskFull], name: str, size: int, there: int, why: str) -> DiskFull:
        """What is still to come is not known; as a rule no less than the rest of the archive's own size."""
        return kind(
            f"{self._store.root}: {name[:120]!r} unpacks to {size:,} bytes, {why}",
            lacking_bytes=max(size, self._packed_bytes) - there,
            keeps=self._keeps,
        )
