"""The zip archive at the end of a TFLite file with metadata, read within bounds: `AppendedFiles`.

Source: PKWARE's APPNOTE.TXT, of which these archives use the plainest part: one disk, entries stored or deflated. Its
offsets count from wherever the writer began, so they are put right by where the directory was found.
"""

import struct
import zlib
from dataclasses import dataclass

from berth_store.headers.file import HeaderFile

MAX_ENTRIES = 64
MAX_DIRECTORY_BYTES = 1 << 16
MAX_FILE_BYTES = 4 << 20
# A file may be named by many tensors.
MAX_READ_BYTES = 16 << 20
MAX_COMMENT_BYTES = (1 << 16) - 1
STORED, DEFLATED = 0, 8
_END = struct.Struct("<4s4H2IH")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
REMEDY_ZIP = "fetch the file again, or add the files to it again with the tool that writes its metadata"


@dataclass(frozen=True)
class _Entry:
    name: str
    method: int
    flags: int
    packed_bytes: int
    file_bytes: int
    local_at: int


class AppendedFiles:
    """The files in the archive at the end of `file`; none where it has no archive."""

    def __init__(self, file: HeaderFile) -> None:
        self._file = file
        self._left_bytes = MAX_READ_BYTES
        self._entries = {entry.name: entry for entry in self._directory()}

    @property
    def names(self) -> tuple[str, ...]:
        """What the files are called."""
        return tuple(self._entries)

    def read(self, name: str) -> bytes | None:
        """The content of one file; None if there is none of this name."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        what = f"the file {name!r} in its archive"
        if entry.file_bytes > MAX_FILE_BYTES or entry.packed_bytes > MAX_FILE_BYTES:
            raise self._file.refuse(f"{what} has more than {MAX_FILE_BYTES:,} bytes, and no list of labels does")
        if entry.method not in (STORED, DEFLATED) or entry.flags & 1:
            raise self._file.refuse(f"{what} is encrypted, or packed by a method that is not used here", REMEDY_ZIP)
        self._left_bytes -= entry.file_bytes
        if self._left_bytes < 0:
            raise self._file.refuse(
                f"its metadata names more than {MAX_READ_BYTES:,} bytes of files, and no real one does"
            )
        packed = self._packed(entry, what)
        content = packed if entry.method == STORED else self._inflated(packed, entry.file_bytes, what)
        if len(content) != entry.file_bytes:
            raise self._file.refuse(f"{what} does not have the {entry.file_bytes:,} bytes that it claims", REMEDY_ZIP)
        return content

    def _directory(self) -> list[_Entry]:
        end = self._end()
        if end is None:
            return []
        at, count, length, stated_at = end
        if count > MAX_ENTRIES or length > min(MAX_DIRECTORY_BYTES, at):
            raise self._file.refuse(f"its archive lists more than {MAX_ENTRIES} files, or lies", REMEDY_ZIP)
        begins = at - length
        directory = self._bytes(begins, length, "the list of its archive")
        return self._parse(directory, count, shift=begins - stated_at)

    def _end(self) -> tuple[int, int, int, int] | None:
        """Where the end record lies, and what it says: number of entries, length and place of their list."""
        length = min(self._file.length_bytes, _END.size + MAX_COMMENT_BYTES)
        # Archives without a comment, as writers of metadata leave them, end with the record itself.
        for count in (min(length, _END.size), length):
            begins = self._file.length_bytes - count
            tail = self._bytes(begins, count, "its last bytes")
            found = tail.rfind(b"PK\x05\x06")
            if found >= 0 and found + _END.size <= len(tail):
                _, _, _, _, entries, size, offset, _ = _END.unpack_from(tail, found)
                return begins + found, entries, size, offset
        return None

    def _parse(self, directory: bytes, count: int, *, shift: int) -> list[_Entry]:
        entries, at = [], 0
        for _ in range(count):
            if at + _ENTRY.size > len(directory):
                raise self._file.refuse("the list of its archive is cut off", REMEDY_ZIP)
            sign, _, _, flags, method, _, _, _, packed, size, named, extra, comment, *_, local = _ENTRY.unpack_from(
                directory, at
            )
            name = directory[at + _ENTRY.size : at + _ENTRY.size + named]
            if sign != b"PK\x01\x02" or len(name) < named:
                raise self._file.refuse("the list of its archive is damaged", REMEDY_ZIP)
            entries.append(_Entry(name.decode("utf-8", "replace"), method, flags, packed, size, local + shift))
            at += _ENTRY.size + named + extra + comment
        return entries

    def _packed(self, entry: _Entry, what: str) -> bytes:
        local = self._bytes(entry.local_at, _LOCAL.size, what)
        sign, *_, named, extra = _LOCAL.unpack(local)
        if sign != b"PK\x03\x04":
            raise self._file.refuse(f"{what} is not where its list says", REMEDY_ZIP)
        return self._bytes(entry.local_at + _LOCAL.size + named + extra, entry.packed_bytes, what)

    def _inflated(self, packed: bytes, most_bytes: int, what: str) -> bytes:
        """One byte more than it claims tells of a lie, and no more than that is ever unpacked."""
        try:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, most_bytes + 1)
        except zlib.error as error:
            raise self._file.refuse(f"{what} can't be unpacked: {error}", REMEDY_ZIP) from error

    def _bytes(self, at: int, count: int, what: str) -> bytes:
        if at < 0:
            raise self._file.refuse(f"{what} would begin before the file does", REMEDY_ZIP)
        self._file.at = at
        return self._file.take(count, what)
