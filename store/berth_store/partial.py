"""A blob while it is being fetched: bytes arrive in any order, and are hashed in the right one.

sha256 runs from the first byte to the last, while eight connections deliver stretches out of order. So every stretch is
written in place and journalled (`berth_store.journal`), and hashing follows the end of the gapless prefix, reading back
what the page cache still holds. When the last stretch has come, only its bytes are left to hash.

Calls block, and come from the threads of one executor: `write` from many at once, the others one at a time.
"""

import errno
import hashlib
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from isal import isal_zlib

from berth_store.digest import Digest
from berth_store.durable import publish
from berth_store.journal import Journal, Record, read_journal
from berth_store.ranges import Range, Ranges

# What is journalled at once, and lost of each connection when the process is killed.
STRETCH_BYTES = 1024 * 1024
# Small enough to be still in the processor's cache when they are written, or hashed. A mebibyte takes twice as long.
MOVED_BYTES = 512 * 1024
HASHED_BYTES = 256 * 1024
_IOV_MAX = 512

Piece = bytes | memoryview


class Partial:
    """The partial file of one blob of `size` bytes, and its journal. Whoever opens it holds the blob's lock."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.done = Ranges()
        self._journal_path = path.with_suffix(".journal")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.ftruncate(self._file, size)
        self._claimed = deque(read_journal(self._journal_path, size))
        self._believed: list[Record] = []
        self._journal: Journal | None = None
        self._sha256 = hashlib.sha256()
        self._hashed = 0
        # Read into again and again.
        self._block = memoryview(bytearray(HASHED_BYTES))
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._moving = memoryview(bytearray(MOVED_BYTES))

    @contextmanager
    def turn(self) -> Iterator[memoryview]:
        """The block by which bytes go from a connection to the file, for one thread at a time.

        The kernel lets only one write to a file at a time, and several threads with a block each would push one
        another's out of the processor's cache.
        """
        with self._turn:
            yield self._moving

    @property
    def claimed_bytes(self) -> int:
        """How much the journal claims and `adopt` has not looked at yet."""
        return sum(record.span.length for record in self._claimed)

    def adopt(self, budget_bytes: int) -> bool:
        """Read back some of what an earlier process has left, and keep what is as its journal says; True when done."""
        while self._claimed and budget_bytes > 0:
            record = self._claimed.popleft()
            budget_bytes -= record.span.length
            if self._holds(record):
                self._believed.append(record)
                self.done.add(record.span)
        if not self._claimed and self._journal is None:
            self._journal = Journal(self._journal_path, self.size, tuple(self._believed))
            self._believed.clear()
        return not self._claimed

    def write(self, start: int, pieces: Sequence[Piece]) -> None:
        """Put `pieces` where nothing is yet, and journal them. Only after `adopt` is done."""
        stretch = self.begin(start)
        stretch.write(pieces)
        stretch.end()

    def begin(self, start: int) -> "Stretch":
        """A stretch from `start` on that is written piece by piece. Only after `adopt` is done."""
        return Stretch(self, self._file, start)

    def refuse_overlap(self, span: Range) -> None:
        """ValueError if any of it is there: a file that changes after it was hashed is not what its digest says."""
        with self._lock:
            if self.done.overlaps(span):
                raise ValueError(f"bytes {span.start}-{span.stop} of {self.path.name} would be written twice")

    def note(self, record: Record) -> None:
        """Journal a stretch that has been written, and count it as done."""
        with self._lock:
            assert self._journal is not None, "adopt comes first"
            self._journal.append(record)
            self.done.add(record.span)

    def hash_some(self, budget_bytes: int) -> bool:
        """Hash on towards the end of the gapless prefix; False when there is nothing to do for now."""
        with self._lock:
            stop = min(self.done.prefix, self._hashed + budget_bytes)
        if self._hashed >= stop:
            return False
        while self._hashed < stop:
            block = self._read(self._hashed, min(HASHED_BYTES, stop - self._hashed))
            self._sha256.update(block)
            self._hashed += len(block)
        return True

    def flush(self) -> None:
        """Wait until the disk has what has been written so far."""
        os.fdatasync(self._file)

    @property
    def is_whole(self) -> bool:
        """True when every byte is there and hashed."""
        return self._hashed == self.size

    @property
    def digest(self) -> Digest:
        """The digest of what has been hashed."""
        return Digest(f"sha256:{self._sha256.hexdigest()}")

    def keep(self, target: Path) -> None:
        """Flush the file and give it its final, read-only place. The caller has compared the digest."""
        os.fchmod(self._file, 0o444)
        os.fsync(self._file)
        publish(self.path, target)
        self._journal_path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Throw away file and journal: what was fetched is not what was asked for."""
        self._journal_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close both files; they stay for whoever goes on."""
        os.close(self._file)
        if self._journal is not None:
            self._journal.close()

    def _holds(self, record: Record) -> bool:
        """Whether the stretch is as recorded; hashes it along the way if it is the next one."""
        is_next = record.span.start == self._hashed
        hashing, crc, position = self._sha256.copy(), 0, record.span.start
        while position < record.span.stop:
            block = self._read(position, min(HASHED_BYTES, record.span.stop - position))
            crc = isal_zlib.crc32(block, crc)
            if is_next:
                hashing.update(block)
            position += len(block)
        if crc == record.crc and is_next:
            self._sha256, self._hashed = hashing, record.span.stop
        return crc == record.crc

    def _read(self, start: int, length: int) -> memoryview:
        """Some bytes from `start` on, which stay what they are until the next call."""
        count = os.preadv(self._file, [self._block[:length]], start)
        if count == 0:
            raise OSError(errno.EIO, "the partial file was cut while it was in use", str(self.path))
        return self._block[:count]


class Stretch:
    """Bytes that come one after the other, journalled together at the `end`; they count as done then."""

    def __init__(self, partial: Partial, file: int, start: int) -> None:
        self._partial = partial
        self._file = file
        self._start = start
        self._stop = start
        self._crc = 0

    def write(self, pieces: Sequence[Piece]) -> None:
        """Write what comes next."""
        stop = self._stop + sum(map(len, pieces))
        self._partial.refuse_overlap(Range(self._stop, stop))
        _write_at(self._file, self._stop, pieces)
        for piece in pieces:
            self._crc = isal_zlib.crc32(piece, self._crc)
        self._stop = stop

    def end(self) -> None:
        """Journal what was written, if anything was."""
        if self._stop > self._start:
            self._partial.note(Record(Range(self._start, self._stop), self._crc))


def _write_at(file: int, start: int, pieces: Sequence[Piece]) -> None:
    views = deque(memoryview(piece) for piece in pieces if piece)
    while views:
        written = os.pwritev(file, list(views)[:_IOV_MAX], start)
        start += written
        while views and written >= len(views[0]):
            written -= len(views.popleft())
        if written:
            views[0] = views[0][written:]
