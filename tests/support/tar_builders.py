"""Writes tar archives byte by byte, for tests of the walker: no library takes part, so two opinions are compared.

Every builder takes the values that a hostile writer would lie about.
"""

import gzip
import io
import struct
from collections.abc import Iterable, Mapping

import zstandard

BLOCK = 512
FILE, HARD_LINK, SYMLINK, CHARACTER, DEVICE, FOLDER, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
END = bytes(2 * BLOCK)


def entry(
    name: str | bytes,
    content: bytes = b"",
    *,
    kind: bytes = FILE,
    size: int | bytes | None = None,
    target: str = "",
    prefix: str = "",
    checksum: int | None = None,
    mtime: int = 0,
    magic: bytes = b"ustar\x0000",
) -> bytes:
    """One entry: header, content, padding. `size` may lie, as a number or as the raw field."""
    raw = name.encode() if isinstance(name, str) else name
    stated = len(content) if size is None else size
    field = stated if isinstance(stated, bytes) else b"%011o\0" % stated
    head = struct.pack(
        "100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x",
        raw, b"0000644\0", b"0000000\0", b"0000000\0", field, b"%011o\0" % mtime, b" " * 8, kind, target.encode(),
        magic, b"", b"", b"0000000\0", b"0000000\0", prefix.encode(),
    )  # fmt: skip
    total = sum(head) if checksum is None else checksum
    head = head[:148] + b"%06o\0 " % total + head[156:]
    return head + content + bytes(-len(content) % BLOCK)


def pax(records: Mapping[str, str], *, kind: bytes = b"x") -> bytes:
    """A pax header for the next entry (or, as kind `g`, for all)."""
    return entry("PaxHeader", b"".join(pax_record(key, value) for key, value in records.items()), kind=kind)


def pax_record(key: str, value: str) -> bytes:
    """`LENGTH KEY=VALUE` and a line feed, where the length counts itself."""
    rest = f" {key}={value}\n".encode()
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def long_name(name: str | bytes) -> bytes:
    """GNU's header for a name that is longer than the field."""
    raw = name.encode() if isinstance(name, str) else name
    return entry("././@LongLink", raw + b"\0", kind=b"L")


def tar(*entries: bytes, end: bytes = END) -> bytes:
    """An archive of the entries."""
    return b"".join(entries) + end


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """An archive of good files, with the folders that a tool would write too."""
    folders = sorted({name.rpartition("/")[0] for name in files if "/" in name})
    return tar(*(entry(f"{each}/", kind=FOLDER) for each in folders), *(entry(n, c) for n, c in files.items()))


def gzipped(content: bytes) -> bytes:
    """One gzip member, without a time."""
    return gzip.compress(content, mtime=0)


def zstandard_of(content: bytes, *, window_log: int = 0) -> bytes:
    """One zstd frame."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=window_log)
    return zstandard.ZstdCompressor(compression_params=parameters).compress(content)


def gzip_stream(pieces: Iterable[bytes], level: int = 6) -> bytes:
    """A gzip member of pieces that need not fit into memory together."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0, compresslevel=level) as packed:
        for piece in pieces:
            packed.write(piece)
    return out.getvalue()


def zstandard_stream(pieces: Iterable[bytes]) -> bytes:
    """The same as a zstd frame."""
    out = io.BytesIO()
    with zstandard.ZstdCompressor(level=3).stream_writer(out, closefd=False) as packed:
        for piece in pieces:
            packed.write(piece)
    return out.getvalue()
