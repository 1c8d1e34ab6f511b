"""The files of an archive that was not fetched: `PlainArchive` and `PackedArchive`, for a resolver's scratch space.

A tar that is not compressed is walked by ranges: a request for each large file in it, and the headers of models are
read in their places. A compressed one has no places: it is streamed from its beginning, within bounds, and the first
part of each file is kept. Digests are made up here, for only whole files have one; they are names of scratch files.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from berth_api.errors import UnsupportedModel
from berth_store.archive.inventory import File, Inventory
from berth_store.archive.kinds import ArchiveLayer, Codec, Scope
from berth_store.archive.streams import PIECE_BYTES, Read, Stream, open_stream
from berth_store.archive.tar import BLOCK_BYTES as TAR_BLOCK_BYTES
from berth_store.archive.tar import Extension, Member, TarError, TarHeaders
from berth_store.archive.walk import NO_END, Census, walk
from berth_store.digest import Digest, digest_of, hex_of
from berth_store.durable import writing
from berth_store.errors import SourceUnreachable
from berth_store.ranges import Range
from berth_store.resolver.sparse_blob import BLOCK_BYTES, SparseBlob
from berth_store.retry import RetryPolicy, with_retries
from berth_store.sources.protocol import RemoteFile
from berth_store.tasks import in_thread

# Of each file in a compressed archive; the headers of real models take less, and small models are there whole.
KEPT_BYTES = 128 * 1024 * 1024
MOST_PACKED_BYTES = 2 * 1024 * 1024 * 1024
REMEDY = (
    "say what it is by `spec.artifact` (format, task, sizeBytes) and `spec.source.digest`, or package it with one "
    "layer for each file (`berth package`), which takes less room too"
)

Count = Callable[[int], None]


class PlainArchive:
    """A tar that is read by ranges."""

    def __init__(self, layer: ArchiveLayer, blob: SparseBlob, blob_path: Path, folder: Path) -> None:
        self._layer = layer
        self._blob = blob
        self._blob_path = blob_path
        self._folder = folder
        self._window, self._window_at = b"", 0

    async def list(self, scope: Scope) -> tuple[Inventory, dict[Digest, "PlainMember"]]:
        """What the archive holds, and how the bytes of each file are supplied. Raises `TarError`."""
        headers, census = TarHeaders(), Census(scope, self._layer.descriptor.size)
        files, members = [], {}
        at = 0
        while True:
            step = headers.header(await self._read(at, TAR_BLOCK_BYTES))
            at += TAR_BLOCK_BYTES
            if step is None:
                break
            if isinstance(step, Extension):
                headers.extend(await self._read(at, step.size))
            elif census.takes(step):
                file = _file(self._layer, step, at)
                member = PlainMember(self._blob, self._blob_path, self._folder / hex_of(file.digest), step, at)
                member.make()
                files.append(file)
                members[file.digest] = member
            at += step.padded_bytes
        return _inventory(files, census), members

    async def _read(self, at: int, count: int) -> bytes:
        if at >= self._blob.size:
            raise TarError(NO_END if at == self._blob.size else "it is cut off, or lies about a size")
        if at + count > self._blob.size:
            raise TarError("it is cut off")
        start = at - self._window_at
        if not 0 <= start <= start + count <= len(self._window):
            # Blocks are what is fetched anyway, and small files lie close together.
            stop = min(max(at + count, at + BLOCK_BYTES), self._blob.size)
            await self._blob.supply(Range(at, stop))
            self._window, self._window_at, start = _pread(self._blob_path, at, stop - at), at, 0
        return self._window[start : start + count]


class PlainMember:
    """A file in a `PlainArchive`: supplied by ranges of the archive, into a sparse file of its own."""

    def __init__(self, blob: SparseBlob, blob_path: Path, path: Path, member: Member, at: int) -> None:
        if at + member.size > blob.size:
            raise TarError(f"it is cut off in the file {member.name[:120]!r}")
        self.size = member.size
        self._blob = blob
        self._blob_path = blob_path
        self._path = path
        self._at = at

    def make(self) -> None:
        """Create the sparse file."""
        _make(self._path, self.size)

    async def supply(self, wanted: Range) -> None:
        """Have the bytes `wanted` in the file."""
        await self._blob.supply(Range(self._at + wanted.start, self._at + wanted.stop))
        await in_thread(self._copy, wanted)

    def _copy(self, wanted: Range) -> None:
        with writing(self._path.parent), self._path.open("r+b") as file:
            for start in range(wanted.start, wanted.stop, PIECE_BYTES):
                stop = min(start + PIECE_BYTES, wanted.stop)
                os.pwrite(file.fileno(), _pread(self._blob_path, self._at + start, stop - start), start)


class PackedArchive:
    """A compressed tar, streamed once from its beginning."""

    def __init__(self, layer: ArchiveLayer, source: RemoteFile, retry: RetryPolicy, folder: Path, count: Count) -> None:
        self._layer = layer
        self._source = source
        self._retry = retry
        self._folder = folder
        self._count = count

    async def list(self, scope: Scope) -> tuple[Inventory, dict[Digest, "PackedMember"]]:
        """What the archive holds, and what was kept of each file. Raises `TarError`."""
        return await with_retries(self._retry, lambda: self._stream(scope))

    async def _stream(self, scope: Scope) -> tuple[Inventory, dict[Digest, "PackedMember"]]:
        async with self._source.open(None) as response:
            if response.status != 200:
                raise await self._source.failure(response)
            packed = _Packed(response.content.read, self._layer.descriptor.size, self._source.subject)
            return await in_thread(self._walk, packed.read, scope)

    def _walk(self, read: Read, scope: Scope) -> tuple[Inventory, dict[Digest, "PackedMember"]]:
        stream = open_stream(read, self._layer.codec, self._layer.descriptor.size)
        census = Census(scope, self._layer.descriptor.size)
        files, members = [], {}
        for number, member in enumerate(walk(stream, census)):
            file = _file(self._layer, member, number)
            members[file.digest] = self._keep(stream, member, self._folder / hex_of(file.digest))
            files.append(file)
        return _inventory(files, census), members

    def _keep(self, stream: Stream, member: Member, path: Path) -> "PackedMember":
        kept = min(member.size, KEPT_BYTES)
        self._count(kept)
        _make(path, member.size)
        with writing(path.parent), path.open("r+b") as file:
            left = kept
            while left:
                piece = stream.read(left)
                if not piece:
                    raise TarError(f"it is cut off in the file {member.name[:120]!r}")
                file.write(piece)
                left -= len(piece)
        stream.skip(member.size - kept)
        return PackedMember(member, kept)


class _Packed:
    """An answer's body, read from the thread that unpacks it. To be made on the loop that the answer belongs to."""

    def __init__(self, read: Callable[[int], Awaitable[bytes]], size: int, subject: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._read = read
        self._left = size
        self._subject = subject

    def read(self, count: int) -> bytes:
        piece = asyncio.run_coroutine_threadsafe(self._piece(count), self._loop).result()
        if not piece and self._left:
            raise SourceUnreachable(f"{self._subject}: the answer ended early; try again")
        self._left -= len(piece)
        return piece

    async def _piece(self, count: int) -> bytes:
        return await self._read(min(count, self._left)) if self._left else b""


class PackedMember:
    """A file in a `PackedArchive`: what was kept of it is there, and no more."""

    def __init__(self, member: Member, kept_bytes: int) -> None:
        self.size = member.size
        self._name = member.name
        self._kept_bytes = kept_bytes

    async def supply(self, wanted: Range) -> None:
        """Refuse what lies beyond the part that is there."""
        if wanted.stop > self._kept_bytes:
            raise UnsupportedModel(
                f"{self._name}: to know what it is, more than its first {self._kept_bytes:,} bytes would have to be "
                f"read, and it lies in a compressed archive; {REMEDY}"
            )


def check_packed(layers: tuple[ArchiveLayer, ...], origin: str, most_bytes: int) -> None:
    """Refuse to stream more than is sensible to know what something is."""
    packed_bytes = sum(layer.descriptor.size for layer in layers if layer.codec is not Codec.NONE)
    if packed_bytes > most_bytes:
        raise UnsupportedModel(
            f"{origin}: its {packed_bytes:,} bytes are compressed archives, so all of them would have to be fetched to "
            f"know what they hold, and at most {most_bytes:,} are; {REMEDY}"
        )


def _file(layer: ArchiveLayer, member: Member, number: int) -> File:
    """The member, under a digest that is made up of its place."""
    digest = digest_of(f"{layer.descriptor.digest} {number}".encode())
    return File(name=member.name, digest=digest, size=member.size)


def _inventory(files: Sequence[File], census: Census) -> Inventory:
    return Inventory(files=tuple(files), removed=tuple(census.removed), emptied=tuple(census.emptied))


def _make(path: Path, size: int) -> None:
    """A sparse file; made anew where an attempt that broke off has left one."""
    with writing(path.parent), path.open("wb") as file:
        file.truncate(size)


def _pread(path: Path, at: int, count: int) -> bytes:
    with path.open("rb") as file:
        return os.pread(file.fileno(), count, at)
