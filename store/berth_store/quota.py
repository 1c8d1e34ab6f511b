"""The bound on a store's bytes: what lies in it and what is on its way into it, against `Store.quota_bytes`.

Whoever brings files reserves them first, in `ingest/<random>.reserved`: which ones, by key and size. The file is locked
for as long as they come, so that the reservation ends with the process. So two pulls at once never come to more than
the quota together, and what is reserved and has arrived counts once. Reservations are made and read one at a time,
under the lock `quota`; what is left of dead ones goes when the next one is made. What archives hold is not known
beforehand: for that `berth_store.room` takes some at a time.
"""

import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from berth_store import locks
from berth_store.durable import temporary_name, write_all
from berth_store.errors import QuotaReached
from berth_store.tasks import in_thread

if TYPE_CHECKING:
    from berth_store.local import Store

Files = Sequence[tuple[str, int]]
"""What is to come, each with its key and its size in bytes."""
RESERVED_SUFFIX: Final = ".reserved"
ROOM_SUFFIX: Final = ".room"
"""Of a file without content that is as large as what its process has taken, see `berth_store.room`."""
RECEIPT_SUFFIX: Final = ".receipt"
"""By which a file is known to have come whose digest nobody told, see `berth_store.fetch`."""
_BLOCK_BYTES: Final = 512
"""The unit of `st_blocks`, whatever the file system's own is."""


@dataclass(frozen=True)
class Usage:
    """What a store has and will have. `coming_bytes` is the part that those who have reserved have still to bring."""

    total_bytes: int
    coming_bytes: int


@asynccontextmanager
async def reserved(store: "Store", files: Files) -> AsyncIterator[None]:
    """Room in the store for what is to come, while it comes. Raises QuotaReached, before a byte is fetched.

    The caller is `using()` the store.
    """
    if not files:
        yield
        return
    handle, path = await in_thread(_reserve, store, files)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def measure(store: "Store", files: Files = ()) -> Usage:
    """By live reservations, with `files` besides, and by what lies there. The caller holds the lock.

    What is reserved counts whole, wherever it has come to by now: others go on moving it from place to place meanwhile.
    """
    reserved = dict(files)
    for found in _reservations(store.ingest):
        reserved.update(found)
    # Room becomes files, which have their size before it shrinks: read in this order, none is missed.
    room = sum(_size(path) for path in _held(store.ingest, ROOM_SUFFIX))
    # Partial files become blobs: in this order one that does so now is counted twice, and never missed.
    lying = _ingest_bytes(store.ingest, reserved) + sum(
        size for name, size in _sizes(store.blobs) if name not in reserved
    )
    by_key = sum(size for key, size in reserved.items() if not _receipt(store, key).exists())
    left = sum(size - arrived_bytes(store, key, size) for key, size in reserved.items())
    return Usage(lying + by_key + room, left + room)


def arrived_bytes(store: "Store", key: str, size: int) -> int:
    """How much of a file that is fetched under `key` is here, whole or in part."""
    if (store.blobs / key).exists() or _receipt(store, key).exists():
        return size
    return min(size, _partial_bytes(store.ingest / f"{key}.partial"))


@contextmanager
def spare_bytes(store: "Store") -> Iterator[int | None]:
    """How much more may be written that nobody has taken or takes meanwhile; None where there is no quota."""
    if store.quota_bytes is None:
        yield None
        return
    with locks.exclusive(store.locks / "quota"):
        yield store.quota_bytes - measure(store).total_bytes


def _reserve(store: "Store", files: Files) -> tuple[int, Path]:
    """The reservation: its open and locked file, and where that lies."""
    with locks.exclusive(store.locks / "quota"):
        if store.quota_bytes is not None:
            _check(store, files, store.quota_bytes)
        else:
            tuple(_reservations(store.ingest))  # Those of killed processes go, though nobody counts them here.
        path = temporary_name(store.ingest).with_suffix(RESERVED_SUFFIX)
        handle = locks.hold(path)
        write_all(handle, json.dumps(dict(files)).encode())
        return handle, path


def _check(store: "Store", files: Files, quota_bytes: int) -> None:
    wanted = sum(size - arrived_bytes(store, key, size) for key, size in dict(files).items())
    usage = measure(store, files)
    if usage.total_bytes <= quota_bytes:
        return
    others, there = usage.coming_bytes - wanted, usage.total_bytes - usage.coming_bytes
    also = f", {others:,} more are being fetched by others" if others else ""
    raise QuotaReached(
        f"{store.root}: {wanted:,} bytes are still to be fetched, {there:,} lie there{also}, and the quota is "
        f"{quota_bytes:,}",
        lacking_bytes=usage.total_bytes - quota_bytes,
        is_final=wanted > quota_bytes,
        keeps=frozenset(key for key, _ in files),
    )


def _reservations(folder: Path) -> Iterator[Mapping[str, int]]:
    for path in _held(folder, RESERVED_SUFFIX):
        with contextlib.suppress(FileNotFoundError):  # It has just been given back.
            yield json.loads(path.read_bytes())


def _held(folder: Path, suffix: str) -> Iterator[Path]:
    """The files by which living processes hold room; those of dead ones go."""
    for path in folder.glob(f"*{suffix}"):
        with locks.exclusive_if_free(path) as free:
            if free:
                path.unlink(missing_ok=True)
        if not free:
            yield path


def _ingest_bytes(folder: Path, reserved: Mapping[str, int]) -> int:
    """Partial files that nobody fetches now, as far as they have come, and what is being unpacked."""
    unpacked = sum(size for path in folder.iterdir() if path.is_dir() for _, size in _sizes(path))
    partial = sum(_partial_bytes(path) for path in folder.glob("*.partial") if path.stem not in reserved)
    return unpacked + partial


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    """Names and sizes of the files; what goes meanwhile is left out."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                yield entry.name, entry.stat().st_size


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _receipt(store: "Store", key: str) -> Path:
    return store.ingest / f"{key}{RECEIPT_SUFFIX}"


def _partial_bytes(path: Path) -> int:
    """A partial file has its whole size from the beginning, and is filled by and by."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0
    return min(status.st_size, status.st_blocks * _BLOCK_BYTES)
