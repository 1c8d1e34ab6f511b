"""An archive's bytes from front to back, decompressed within bounds: `open_stream`.

Memory is bounded whatever the stream says: zlib has a window of 32 KiB, zstd's is refused from `MAX_WINDOW_BYTES` on.
What comes out is bounded by what went in: real weights shrink to a half at best, text to a tenth.
"""

import zlib
from collections.abc import Callable
from typing import IO, Protocol, cast

import zstandard

from berth_store.archive.kinds import Codec
from berth_store.archive.tar import TarError

PIECE_BYTES = 256 * 1024
# What zstd's levels up to 19 need at most is 8 MiB; `--long` and `--ultra` ask for more.
MAX_WINDOW_BYTES = 32 * 1024 * 1024
MAX_RATIO = 100
FREE_BYTES = 16 * 1024 * 1024

Read = Callable[[int], bytes]


class Decoder(Protocol):
    """Gives at most so many bytes that come next; none at the end."""

    def read(self, count: int) -> bytes: ...  # noqa: D102


class Stream:
    """What an archive of `packed_bytes` bytes holds, from front to back."""

    def __init__(self, decoder: Decoder, packed_bytes: int) -> None:
        self._decoder = decoder
        self._packed_bytes = packed_bytes
        self._most_bytes = most_bytes(packed_bytes)
        self._position = 0

    def read(self, count: int) -> bytes:
        """At most `count` bytes; none at the end."""
        piece = self._decoder.read(min(count, PIECE_BYTES))
        self._position += len(piece)
        check_expansion(self._position, self._packed_bytes)
        return piece

    def exactly(self, count: int) -> bytes:
        """The next `count` bytes, of which there must be so many, or none at all at the very end."""
        pieces, left = [], count
        while left:
            piece = self.read(left)
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
        if left and pieces:
            raise TarError("it is cut off")
        return b"".join(pieces)

    def skip(self, count: int) -> None:
        """Go past `count` bytes."""
        while count:
            piece = self.read(count)
            if not piece:
                raise TarError("it is cut off")
            count -= len(piece)

    def drain(self) -> None:
        """Read to the end, where checksums stand and a cut shows."""
        while self.read(PIECE_BYTES):
            pass


def open_stream(read: Read, codec: Codec, packed_bytes: int) -> Stream:
    """The stream of an archive; `read` gives at most so many of its bytes that come next, none at the end."""
    match codec:
        case Codec.GZIP:
            decoder: Decoder = _Gzip(read)
        case Codec.ZSTD:
            decoder = _Zstd(read)
        case Codec.NONE:
            decoder = _Plain(read)
    return Stream(decoder, packed_bytes)


def most_bytes(packed_bytes: int) -> int:
    """What an archive of this size may hold."""
    return FREE_BYTES + MAX_RATIO * packed_bytes


def check_expansion(unpacked_bytes: int, packed_bytes: int) -> None:
    """Refuse what is, or claims to be, more than any model shrinks to its archive's size."""
    if unpacked_bytes > most_bytes(packed_bytes):
        raise TarError(
            f"its {packed_bytes:,} bytes unpack to {unpacked_bytes:,} or more, and no model shrinks {MAX_RATIO} to 1"
        )


class _Plain:
    def __init__(self, read: Read) -> None:
        self.read = read


class _Gzip:
    """Members of gzip, one after the other."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._inflate = zlib.decompressobj(wbits=31)
        self._packed = b""

    def read(self, count: int) -> bytes:
        while True:
            try:
                piece = self._inflate.decompress(self._packed, count)
            except zlib.error as error:
                raise TarError(f"it is no gzip stream, or a damaged one ({error})") from error
            self._packed = self._inflate.unconsumed_tail
            if piece:
                return piece
            if self._inflate.eof:
                self._packed = self._inflate.unused_data or self._read(PIECE_BYTES)
                if not self._packed:
                    return b""
                self._inflate = zlib.decompressobj(wbits=31)
            elif not self._packed:
                self._packed = self._read(PIECE_BYTES)
                if not self._packed:
                    raise TarError("it is cut off")


class _Zstd:
    """Frames of zstd, one after the other."""

    def __init__(self, read: Read) -> None:
        self._reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).stream_reader(
            cast("IO[bytes]", _Source(read)), read_size=PIECE_BYTES, read_across_frames=True, closefd=False
        )

    def read(self, count: int) -> bytes:
        try:
            return self._reader.read(count)
        except zstandard.ZstdError as error:
            why = (
                f"its zstd stream wants a window of more than {MAX_WINDOW_BYTES:,} bytes; compress it without --long"
                if "too much memory" in str(error)
                else f"it is no zstd stream, or a damaged one ({error})"
            )
            raise TarError(why) from error


class _Source:
    """What zstandard wants to read from: an object with `read`."""

    def __init__(self, read: Read) -> None:
        self.read = read
