"""A file that is read from the front, part by part, and never believed: `HeaderFile`, used by every reader here.

It reads by position through a small window, so memory stays bounded whatever the file says, and each part
that would end beyond the file's last byte is refused with the part's name and both positions.
"""

import os
import stat
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

from berth_api.errors import UnsupportedModel
from berth_store.headers.reads import are_supplied, read_at

SUPPLIED_WINDOW_BYTES = 1 << 16
REMEDY_DAMAGED = "fetch the file again, or compare its size and checksum with those of its source"


def open_regular(path: Path) -> int:
    """Open a regular file for reading and return its descriptor; anything else is refused without waiting for it."""
    try:
        _refuse_special(path, os.stat(path).st_mode)
        # Between the look and the opening the name may come to mean a FIFO, whose opening would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UnsupportedModel(f"{path} can't be read: {error.strerror or error}; check the path") from error
    try:
        _refuse_special(path, os.fstat(descriptor).st_mode)
    except UnsupportedModel:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_special(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a FIFO, socket or device"
        raise UnsupportedModel(f"{path} is {kind}, and a model's weights are read from regular files only")


class HeaderFile:
    """One open file: its `length_bytes`, the position `at`, and `take`, `skip` and `refuse`.

    `limit_bytes` bounds what is read altogether, however the file is built; a smaller `window_bytes` suits readers that
    jump over much and read little.
    """

    def __init__(self, path: Path, *, limit_bytes: int = 256 << 20, window_bytes: int = 1 << 20) -> None:
        self.path = path
        self.at = 0
        self._descriptor = open_regular(path)
        self.length_bytes = os.fstat(self._descriptor).st_size
        self._left_bytes = limit_bytes
        self._limit_bytes = limit_bytes
        self._window_bytes = min(window_bytes, SUPPLIED_WINDOW_BYTES) if are_supplied() else window_bytes
        self._window = b""
        self._window_at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._descriptor)

    def refuse(self, why: str, remedy: str = REMEDY_DAMAGED) -> UnsupportedModel:
        """The error for this file, to be raised by the caller."""
        return UnsupportedModel(f"{self.path.name}: {why}; {remedy}")

    def require(self, count: int, what: str) -> None:
        """Refuse the file unless `count` more bytes lie between here and its end."""
        if count > self.length_bytes - self.at:
            raise self.refuse(
                f"the file is cut off or lies: {what}, which begins at byte {self.at:,}, "
                f"ends at byte {self.at + count:,}, but the file has {self.length_bytes:,} bytes"
            )

    def take(self, count: int, what: str) -> bytes:
        """The next `count` bytes."""
        start = self.at - self._window_at
        if start < 0 or start + count > len(self._window):
            self.require(count, what)
            self._fill(count, what)
            start = 0
        self.at += count
        return self._window[start : start + count]

    def skip(self, count: int, what: str) -> None:
        """Go past the next `count` bytes without reading them."""
        self.require(count, what)
        self.at += count

    def take_byte(self, what: str) -> int:
        """The next byte; most of them lie in the window already."""
        index = self.at - self._window_at
        if 0 <= index < len(self._window):
            self.at += 1
            return self._window[index]
        return self.take(1, what)[0]

    def take_u32(self, what: str) -> int:
        """The next 4 bytes as an unsigned little-endian integer."""
        return int.from_bytes(self.take(4, what), "little")

    def take_u64(self, what: str) -> int:
        """The next 8 bytes as an unsigned little-endian integer."""
        return int.from_bytes(self.take(8, what), "little")

    def skip_strings(self, count: int, what: str) -> None:
        """Go past `count` strings, each a 64-bit length and its bytes, in one pass over the window.

        A vocabulary has a million of them, so this loop is kept free of calls.
        """
        length_of = struct.Struct("<Q").unpack_from
        left = count
        while left:
            self.take(0, what)
            window, at = self._window, self.at - self._window_at
            last = len(window) - 8
            while left and at <= last:
                at += 8 + length_of(window, at)[0]
                left -= 1
            step = at - (self.at - self._window_at)
            if step == 0:
                self.require(8, what)
                self._fill(8, what)
            else:
                self.skip(step, what)

    def _fill(self, count: int, what: str) -> None:
        """Move the window here; it holds `count` bytes or the file was cut while it was read."""
        wanted = max(count, min(self._window_bytes, self.length_bytes - self.at))
        if wanted > self._left_bytes:
            raise self.refuse(f"its header is longer than {self._limit_bytes:,} bytes, and no real one is")
        self._window = read_at(self.path, self._descriptor, wanted, self.at)
        self._window_at = self.at
        self._left_bytes -= len(self._window)
        if len(self._window) < count:
            raise self.refuse(f"the file became shorter while {what} was read", "wait until it is written whole")
