"""One blob as a sparse file: it has its true size, and content only where somebody reads. `SparseBlob.supply` fills it.

A stretch comes by a range request, rounded to blocks, and longer where reading goes on from what is there: a header of
some megabytes should not take a request for each of its parts. A server without ranges is read from the first byte.
"""

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path

import aiohttp

from berth_store.durable import writing
from berth_store.errors import SourceUnreachable
from berth_store.ranges import Range, Ranges
from berth_store.retry import RetryPolicy, with_retries
from berth_store.sources.protocol import RemoteFile

BLOCK_BYTES = 64 * 1024
LONGEST_BYTES = 4 * 1024 * 1024
_PIECE_BYTES = 256 * 1024
_CONTENT_RANGE = re.compile(r"bytes (\d{1,16})-\d{1,16}/(\d{1,16}|\*)")


class _RangesRefusedError(Exception):
    """The server does not do ranges, or not truthfully."""


class SparseBlob:
    """The blob at `path`, which `make` creates. `count` is told of every byte that was fetched, and may raise."""

    def __init__(
        self, source: RemoteFile, retry: RetryPolicy, path: Path, size: int, count: Callable[[int], None]
    ) -> None:
        self.size = size
        self._source = source
        self._retry = retry
        self._path = path
        self._count = count
        self._there = Ranges()
        self._has_ranges = True
        self._next_bytes = BLOCK_BYTES
        self._lock = asyncio.Lock()

    def make(self) -> None:
        """Create the file."""
        with writing(self._path.parent), self._path.open("xb") as file:
            file.truncate(self.size)

    async def supply(self, wanted: Range) -> None:
        """Have the bytes `wanted` in the file; what is there is not fetched again."""
        async with self._lock:
            if self._missing(wanted):
                goal = self._rounded(wanted)
                await with_retries(self._retry, lambda: self._fill(goal))

    def _missing(self, wanted: Range) -> list[Range]:
        gaps = self._there.missing(self.size)
        met = (Range(max(gap.start, wanted.start), min(gap.stop, wanted.stop)) for gap in gaps)
        return [gap for gap in met if gap.length > 0]

    def _rounded(self, wanted: Range) -> Range:
        """Whole blocks, and twice as many as the last time where reading goes on from what is there."""
        goes_on = any(known.start <= wanted.start <= known.stop for known in self._there)
        self._next_bytes = min(self._next_bytes * 2, LONGEST_BYTES) if goes_on else BLOCK_BYTES
        first = self._missing(wanted)[0].start // BLOCK_BYTES * BLOCK_BYTES
        last = -(-wanted.stop // BLOCK_BYTES) * BLOCK_BYTES
        return Range(first, min(self.size, max(last, first + self._next_bytes)))

    async def _fill(self, goal: Range) -> None:
        for gap in self._missing(goal):
            if self._has_ranges:
                try:
                    await self._fetch_range(gap)
                    continue
                except _RangesRefusedError:
                    self._has_ranges = False
            await self._fetch_from_start(goal.stop)
            return

    async def _fetch_range(self, gap: Range) -> None:
        async with self._source.open(gap) as response:
            if response.status in {200, 416}:
                raise _RangesRefusedError
            if response.status != 206:
                raise await self._source.failure(response)
            said = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if said is None or int(said[1]) != gap.start or said[2] not in {str(self.size), "*"}:
                raise _RangesRefusedError
            await self._keep(response, gap)

    async def _fetch_from_start(self, stop: int) -> None:
        """Read past what is there, and then some way beyond what is wanted: each request begins at the first byte."""
        gap = Range(self._there.prefix, min(self.size, max(stop, self._there.prefix + LONGEST_BYTES)))
        async with self._source.open(None) as response:
            if response.status != 200:
                raise await self._source.failure(response)
            left = gap.start
            while left > 0:
                left -= len(await self._piece(response, left))
            await self._keep(response, gap)

    async def _keep(self, response: aiohttp.ClientResponse, gap: Range) -> None:
        """Write what comes; it stays, also where the answer breaks off."""
        position = gap.start
        while position < gap.stop:
            piece = await self._piece(response, gap.stop - position)
            self._write(position, piece)
            self._there.add(Range(position, position + len(piece)))
            position += len(piece)
            self._count(len(piece))

    async def _piece(self, response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
        piece = await response.content.read(min(most_bytes, _PIECE_BYTES))
        if not piece:
            raise SourceUnreachable(f"{self._source.subject}: the answer ended early; try again")
        return piece

    def _write(self, position: int, piece: bytes) -> None:
        with writing(self._path.parent):
            file = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.pwrite(file, piece, position)
            finally:
                os.close(file)
