"""The journal beside a partial file: which stretches of it were written, and what they must contain.

It is what makes a killed transfer resumable. One line for each stretch, appended with a single write *after* the bytes
were written to the partial file:

    berth-journal 1 <size of the blob> <crc32 of this line>
    <start> <length> <crc32 of the stretch> <crc32 of this line>

Nothing is fsynced, for nothing is believed: a line that is torn, or glued to a torn one, fails its own checksum and is
passed over; a line that reached the disk before its bytes did (a power cut) is found out when the stretch is read back
and compared. So a kill at any byte costs at most the stretches that were under way. Only
`berth_store.partial` calls.
"""

import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from berth_store.ranges import Range

MAGIC = "berth-journal 1"
MAX_JOURNAL_BYTES = 64 * 1024 * 1024
_RECORD = re.compile(rb"(\d{1,16}) (\d{1,16}) ([0-9a-f]{8})")


@dataclass(frozen=True)
class Record:
    """One stretch that was written, and the crc32 of its bytes."""

    span: Range
    crc: int


def encode_header(size: int) -> bytes:
    """The first line, for a blob of `size` bytes."""
    return _sealed(f"{MAGIC} {size}")


def encode_record(record: Record) -> bytes:
    """The line for one stretch."""
    return _sealed(f"{record.span.start} {record.span.length} {record.crc:08x}")


def decode(content: bytes, size: int) -> tuple[Record, ...]:
    """The records of a journal for a blob of `size` bytes, sorted and without overlaps; none if it is for another."""
    header, *lines = content.split(b"\n")
    if header + b"\n" != encode_header(size):
        return ()
    records = sorted(
        (record for line in lines if (record := _decode_record(line, size))), key=lambda record: record.span
    )
    kept: list[Record] = []
    for record in records:
        if not kept or record.span.start >= kept[-1].span.stop:
            kept.append(record)
    return tuple(kept)


class Journal:
    """An open journal. Every call is one system call; an append either is in the file whole or is passed over later."""

    def __init__(self, path: Path, size: int, records: tuple[Record, ...]) -> None:
        """Rewrite the journal at `path` to say `records` and nothing else, and keep it open for more."""
        fresh = path.with_name(f"{path.name}.new")
        fresh.write_bytes(encode_header(size) + b"".join(map(encode_record, records)))
        fresh.replace(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def append(self, record: Record) -> None:
        """Note that the stretch was written."""
        # The newline in front closes a line that an earlier, failed append may have left torn.
        os.write(self._file, b"\n" + encode_record(record))

    def close(self) -> None:
        """Close the file; it stays for the next process."""
        os.close(self._file)


def read_journal(path: Path, size: int) -> tuple[Record, ...]:
    """The believable records of the journal at `path`; none if there is no such file."""
    try:
        with path.open("rb") as file:
            return decode(file.read(MAX_JOURNAL_BYTES), size)
    except FileNotFoundError:
        return ()


def _sealed(line: str) -> bytes:
    return f"{line} {zlib.crc32(line.encode()):08x}\n".encode()


def _decode_record(line: bytes, size: int) -> Record | None:
    body, _, seal = line.rpartition(b" ")
    fields = _RECORD.fullmatch(body)
    if fields is None or seal != f"{zlib.crc32(body):08x}".encode():
        return None
    start, length, crc = int(fields[1]), int(fields[2]), int(fields[3], 16)
    return Record(Range(start, start + length), crc) if 0 < length <= size - start else None
