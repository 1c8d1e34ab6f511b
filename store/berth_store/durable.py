"""Writing to disk so that an interruption leaves the old state or the new one, never half of one.

Everything in the store is written under a temporary name, flushed, and renamed; then the folder is flushed, so that the
name survives a power cut too. Every module that writes into the store goes through here.
"""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from berth_api.errors import Unavailable
from berth_store.errors import DiskFull

# A file system has a largest file too, and a manifest may claim a larger one.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Turn what the operating system says of a full or forbidden disk into an error for people; `root` is the store."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(f"{root}: no room left on this file system") from error
        if error.errno in _FORBIDDEN:
            raise Unavailable(
                f"{error.filename or root}: {error.strerror}; this user must be able to write here, or set BERTH_HOME"
            ) from error
        raise


def temporary_name(folder: Path) -> Path:
    """A fresh name in `folder`; what is left behind under such names is swept away when nobody writes."""
    return folder / f"tmp-{os.getpid()}-{secrets.token_hex(8)}"


def write_atomically(target: Path, content: bytes, *, scratch: Path, mode: int = 0o644) -> None:
    """Make `target` hold `content`; `scratch` is a folder on the same file system for the temporary file."""
    temporary = temporary_name(scratch)
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_all(file, content)
        os.fchmod(file, mode)
        os.fsync(file)
    finally:
        os.close(file)
    publish(temporary, target)


def write_all(file: int, content: bytes | memoryview) -> None:
    """Write all of `content` at the file's position."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def publish(temporary: Path, target: Path) -> None:
    """Give flushed content its name, and make the name last."""
    temporary.replace(target)
    flush_folder(target.parent)


def flush_folder(folder: Path) -> None:
    """Flush the names in `folder` to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
