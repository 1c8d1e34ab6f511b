"""Tables of a flatbuffer, read where they lie and never believed: `Flatbuffer` and `Table`, for the TFLite reader.

Source: FlatBuffers' "Internals". A table begins with the distance back to its vtable, which says at which byte of the
table each field lies; texts, vectors and tables are named by the distance forward to them. Tables share vtables, which
lie far off, so pages are kept: otherwise a file would be read twice for each tensor.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from berth_store.headers.file import HeaderFile

PAGE_BYTES = 1 << 12
MAX_PAGES = 512
# The schemas of TFLite have 13 fields in a table at most; those after these are of a schema to come.
MAX_FIELDS = 64
MAX_VTABLES = 1 << 12
MAX_TEXT_BYTES = 4096
REMEDY_TFLITE = "check that it is a TFLite file and that it was fetched whole"


class Number(Enum):
    """The numbers of a flatbuffer, little-endian."""

    U8 = struct.Struct("<B")
    I8 = struct.Struct("<b")
    U16 = struct.Struct("<H")
    I32 = struct.Struct("<i")
    U32 = struct.Struct("<I")
    I64 = struct.Struct("<q")
    U64 = struct.Struct("<Q")
    F32 = struct.Struct("<f")


class Flatbuffer:
    """The flatbuffer that lies in a file from the byte `start` up to, and without, `stop`."""

    def __init__(self, file: HeaderFile, start: int, stop: int) -> None:
        self.file = file
        self._start = start
        self._stop = stop
        self._pages: dict[int, bytes] = {}
        self._vtables: dict[int, tuple[int, ...]] = {}

    def root(self, what: str) -> "Table":
        """The table that everything hangs from."""
        return self.table(self.follow(self._start, what), what)

    def table(self, at: int, what: str) -> "Table":
        """The table at byte `at`."""
        where = at - self.number(at, Number.I32, what)
        fields = self._vtables.get(where)
        if fields is None:
            fields = self._vtable(where, what)
            if len(self._vtables) < MAX_VTABLES:
                self._vtables[where] = fields
        return Table(self, at, fields, what)

    def follow(self, at: int, what: str) -> int:
        """The byte that the distance at `at` leads to."""
        return at + self.number(at, Number.U32, what)

    def number(self, at: int, kind: Number, what: str) -> int:
        """The whole number at byte `at`."""
        value: int = kind.value.unpack(self.take(at, kind.value.size, what))[0]
        return value

    def take(self, at: int, count: int, what: str) -> bytes:
        """`count` bytes from `at` on."""
        self.require(at, count, what)
        first, last = at // PAGE_BYTES, (at + count - 1) // PAGE_BYTES
        if first >= last:
            page = self._page(first, what)
            return page[at - first * PAGE_BYTES : at - first * PAGE_BYTES + count]
        self.file.at = at
        return self.file.take(count, what)

    def require(self, at: int, count: int, what: str) -> None:
        """Refuse the file unless `count` bytes from `at` on lie in the flatbuffer."""
        if not self._start <= at <= at + count <= self._stop:
            raise self.file.refuse(
                f"{what} would lie from byte {at:,} to {at + count:,}, and the model ends at byte {self._stop:,}",
                REMEDY_TFLITE,
            )

    def _vtable(self, at: int, what: str) -> tuple[int, ...]:
        """Length of the table, then the place of each field in it; 0 for one that is absent."""
        length = self.number(at, Number.U16, f"the form of {what}")
        if length < 4 or length % 2:
            raise self.file.refuse(f"the form of {what} has {length} bytes, which can't be", REMEDY_TFLITE)
        count = min(length // 2 - 1, MAX_FIELDS + 1)
        return struct.unpack(f"<{count}H", self.take(at + 2, 2 * count, f"the form of {what}"))

    def _page(self, index: int, what: str) -> bytes:
        page = self._pages.get(index)
        if page is None:
            self.file.at = index * PAGE_BYTES
            page = self.file.take(min(PAGE_BYTES, self.file.length_bytes - self.file.at), what)
            if len(self._pages) >= MAX_PAGES:
                del self._pages[next(iter(self._pages))]
            self._pages[index] = page
        return page


@dataclass(frozen=True, slots=True)
class Vector:
    """Where the `count` entries of a vector lie."""

    at: int
    count: int


@dataclass(frozen=True, slots=True)
class Table:
    """One table; fields are named by their number in the schema. `what` says what it is, for errors."""

    buffer: Flatbuffer
    at: int
    fields: tuple[int, ...]
    what: str

    def number(self, field: int, kind: Number, default: int = 0) -> int:
        """The whole number in a field."""
        where = self._where(field, kind.value.size)
        return default if where is None else self.buffer.number(where, kind, self.what)

    def table(self, field: int, what: str) -> "Table | None":
        """The table that a field leads to."""
        where = self._where(field, 4)
        return None if where is None else self.buffer.table(self.buffer.follow(where, what), what)

    def tables(self, field: int, most: int, what: str) -> Iterator["Table"]:
        """The tables of a vector, which may have `most`."""
        vector = self.vector(field, 4, most, what)
        for index in range(vector.count):
            yield self.buffer.table(self.buffer.follow(vector.at + 4 * index, what), f"{what} {index:,}")

    def numbers(self, field: int, kind: Number, most: int, what: str) -> tuple[int, ...]:
        """The whole numbers of a vector, which may have `most`."""
        return struct.unpack(*self._unpackable(field, kind, most, what))

    def floats(self, field: int, most: int, what: str) -> tuple[float, ...]:
        """The numbers of a vector of floats, which may have `most`."""
        return struct.unpack(*self._unpackable(field, Number.F32, most, what))

    def text(self, field: int, what: str) -> str:
        """The text in a field; empty where there is none."""
        vector = self.vector(field, 1, MAX_TEXT_BYTES, what)
        return self.buffer.take(vector.at, vector.count, what).decode("utf-8", errors="replace")

    def vector(self, field: int, entry_bytes: int, most: int, what: str) -> Vector:
        """Where the vector in a field lies, the whole of it in the flatbuffer; empty where there is none."""
        where = self._where(field, 4)
        if where is None:
            return Vector(self.at, 0)
        at = self.buffer.follow(where, what)
        count = self.buffer.number(at, Number.U32, what)
        if count > most:
            raise self.buffer.file.refuse(
                f"{what} of {self.what} has {count:,} entries, and no real model has more than {most:,}"
            )
        self.buffer.require(at + 4, count * entry_bytes, what)
        return Vector(at + 4, count)

    def _unpackable(self, field: int, kind: Number, most: int, what: str) -> tuple[str, bytes]:
        vector = self.vector(field, kind.value.size, most, what)
        content = self.buffer.take(vector.at, vector.count * kind.value.size, what)
        return f"<{vector.count}{kind.value.format[-1]}", content

    def _where(self, field: int, size: int) -> int | None:
        offset = self.fields[field + 1] if field + 1 < len(self.fields) else 0
        if offset == 0:
            return None
        if offset + size > self.fields[0]:
            raise self.buffer.file.refuse(f"a field of {self.what} lies outside of it", REMEDY_TFLITE)
        return self.at + offset
