"""Bringing a file of the user's into the store.

A hard link would be the cheapest way and is never used: the user's next edit of the file would change a blob behind
its digest. Where the file system can share blocks (FICLONE: btrfs, XFS) the copy costs nothing; elsewhere it is hashed
while it is copied. What is hashed is always what lies in the store.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from berth_api.errors import UnsupportedModel
from berth_store.digest import Digest
from berth_store.durable import publish, temporary_name, write_all
from berth_store.errors import DiskFull
from berth_store.headers.file import open_regular
from berth_store.local import Store
from berth_store.manifest import Descriptor

BLOCK_BYTES = 1024 * 1024
# linux/fs.h: _IOW(0x94, 9, int)
FICLONE = 0x40049409


def ingest_file(store: Store, source: Path, *, advance: Callable[[int], None] = lambda _: None) -> Descriptor:
    """Keep the content of `source` as a blob; the descriptor bears no media type. The caller is `using()` the store.

    UnsupportedModel if the file is none, or is written to meanwhile; DiskFull if there is no room for a copy.
    """
    temporary = temporary_name(store.ingest)
    reading = open_regular(source)
    try:
        writing = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            described = _copy(reading, writing, source, advance)
            if store.has(described):
                temporary.unlink()
            else:
                os.fchmod(writing, 0o444)
                os.fsync(writing)
                publish(temporary, store.blob_path(described.digest))
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(writing)
    finally:
        os.close(reading)
    return described


def _copy(reading: int, writing: int, source: Path, advance: Callable[[int], None]) -> Descriptor:
    before = os.fstat(reading)
    if _clone(reading, writing):
        described = _hash_and_copy(writing, None, advance)
    else:
        _check_room(writing, before.st_size, source)
        described = _hash_and_copy(reading, writing, advance)
    after = os.fstat(reading)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or described.size != after.st_size:
        raise UnsupportedModel(f"{source} was changed while it was being packaged; package it when nobody writes to it")
    return described


def _clone(reading: int, writing: int) -> bool:
    try:
        fcntl.ioctl(writing, FICLONE, reading)
    except OSError:
        return False
    return True


def _hash_and_copy(reading: int, writing: int | None, advance: Callable[[int], None]) -> Descriptor:
    sha256, size = hashlib.sha256(), 0
    while block := os.read(reading, BLOCK_BYTES):
        if writing is not None:
            write_all(writing, block)
        sha256.update(block)
        size += len(block)
        advance(len(block))
    return Descriptor(media_type="", digest=Digest(f"sha256:{sha256.hexdigest()}"), size=size)


def _check_room(writing: int, size: int, source: Path) -> None:
    disk = os.fstatvfs(writing)
    free = disk.f_bavail * disk.f_frsize
    if size > free:
        raise DiskFull(
            f"{source}: the store needs a copy of its {size:,} bytes, and {free:,} are free; free some, or move the "
            "store with BERTH_HOME to the file system of the model, where blocks may be shared"
        )
