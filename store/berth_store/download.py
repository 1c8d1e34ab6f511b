"""Fetching one blob into its partial file: in ranges over several connections, or in one stream where it must be.

A server is believed in nothing. Its answer to a range must say exactly that range, else ranges are given up for this
blob; bytes beyond what was asked are not read; a connection that trickles is cut; every failure is tried again as often
as the retry policy says, going on from the byte that was reached. Whether the bytes are right, only the digest says.
"""

import asyncio
import functools
import re
from collections import deque
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import aiohttp

from berth_store.answers import TRICKLE_BYTES, check_whole, next_piece, retrying, watchdog
from berth_store.errors import SourceUnreachable
from berth_store.partial import STRETCH_BYTES, Partial
from berth_store.progress import Meter
from berth_store.ranges import Range, even_chunk_bytes, plan_chunks
from berth_store.registries import RegistryConfig
from berth_store.retry import Attempts
from berth_store.socket_body import SocketBody, take_body
from berth_store.sources.protocol import RemoteFile
from berth_store.tasks import in_pool, in_thread, run_all

HASH_BYTES = 8 * 1024 * 1024
FLUSH_BYTES = 64 * 1024 * 1024
_CONTENT_RANGE = re.compile(r"bytes (\d{1,16})-(\d{1,16})/(\d{1,16}|\*)")


class _RangesRefusedError(Exception):
    """The server does not do ranges, or not truthfully."""


@dataclass
class _Cursor:
    """A request's place: the next byte wanted, and the first one not wanted."""

    position: int
    stop: int


class Download:
    """The transfer of one blob; `slots` bounds the requests that run at once, over all blobs."""

    def __init__(
        self, source: RemoteFile, config: RegistryConfig, partial: Partial, *, slots: asyncio.Semaphore, meter: Meter
    ) -> None:
        self._source = source
        self._config = config
        self._partial = partial
        self._slots = slots
        self._meter = meter
        self._written = asyncio.Event()
        self._missing_bytes = 0
        self._unflushed_bytes = 0
        self._flush_due = asyncio.Event()
        # One for each connection, and one that flushes.
        self._threads = ThreadPoolExecutor(config.connections + 1, "download")

    async def run(self) -> None:
        """Fetch and hash whatever is missing. Raises the SourceError that was left after all retries."""
        missing = self._partial.done.missing(self._partial.size)
        self._missing_bytes = sum(gap.length for gap in missing)
        chunk_bytes = even_chunk_bytes(self._missing_bytes, self._config.chunk_bytes, self._config.connections)
        with self._threads:
            await self._fetch(plan_chunks(missing, chunk_bytes))

    async def _fetch(self, chunks: tuple[Range, ...]) -> None:
        if chunks == (Range(0, self._partial.size),):
            await self._beside_hashing(self._fetch_in_one_stream())
            return
        try:
            await self._beside_hashing(self._fetch_ranges(chunks))
        except _RangesRefusedError:
            await self._beside_hashing(self._fetch_in_one_stream())

    async def _beside_hashing(self, fetching: Coroutine[Any, Any, None]) -> None:
        self._written.set()
        await run_all([fetching, self._hash(), self._flush()])

    async def _hash(self) -> None:
        while not self._partial.is_whole:
            await self._written.wait()
            self._written.clear()
            while await in_thread(self._partial.hash_some, HASH_BYTES):
                pass

    async def _flush(self) -> None:
        """Have the disk write while the network delivers, for else all of it is left to be waited for at the end."""
        while self._missing_bytes >= FLUSH_BYTES:
            await self._flush_due.wait()
            self._flush_due.clear()
            await in_pool(self._threads, self._partial.flush)

    async def _fetch_ranges(self, chunks: tuple[Range, ...]) -> None:
        waiting = deque(chunks)

        async def work() -> None:
            while waiting:
                await self._fetch_range(waiting.popleft())

        await run_all(work() for _ in range(min(self._config.connections, len(chunks))))

    async def _fetch_range(self, chunk: Range) -> None:
        cursor, attempts = _Cursor(chunk.start, chunk.stop), Attempts(self._config.retry)
        while cursor.position < cursor.stop:
            wanted = Range(cursor.position, cursor.stop)
            async with retrying(attempts), self._slots, self._source.open(wanted) as response:
                promised = await self._check_range(response, cursor)
                body = take_body(response, stall_seconds=self._config.stall_timeout_seconds)
                if body is None:
                    await self._stream(response, cursor, promised, attempts)
                else:
                    await self._receive(body, cursor, promised, attempts)

    async def _check_range(self, response: aiohttp.ClientResponse, cursor: _Cursor) -> int:
        """Where the answer ends; it may deliver less than was asked, but from where it was asked, and of this blob."""
        if response.status in {200, 416}:
            raise _RangesRefusedError
        if response.status != 206:
            raise await self._source.failure(response)
        said = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if said is None or int(said[1]) != cursor.position or said[3] not in {str(self._partial.size), "*"}:
            raise _RangesRefusedError
        promised = min(int(said[2]) + 1, cursor.stop)
        if promised < min(cursor.stop, cursor.position + TRICKLE_BYTES):
            raise _RangesRefusedError
        return promised

    async def _fetch_in_one_stream(self) -> None:
        attempts = Attempts(self._config.retry)
        while self._partial.done.total < self._partial.size:
            async with retrying(attempts), self._slots, self._source.open(None) as response:
                await check_whole(self._source, response, self._partial.size)
                position = 0
                for gap in self._partial.done.missing(self._partial.size):
                    await self._skip(response, gap.start - position)
                    goes_on = gap.stop < self._partial.size
                    await self._stream(response, _Cursor(gap.start, gap.stop), gap.stop, attempts, goes_on=goes_on)
                    position = gap.stop

    async def _stream(
        self,
        response: aiohttp.ClientResponse,
        cursor: _Cursor,
        promised: int,
        attempts: Attempts,
        *,
        goes_on: bool = False,
    ) -> None:
        """Write what comes until `promised`; what had come before a failure is written too.

        Where the answer `goes_on` after that, not a byte beyond is taken from it.
        """
        while cursor.position < promised:
            pieces: list[bytes] = []
            try:
                ended = await self._collect(response.content, pieces, promised - cursor.position, goes_on=goes_on)
            finally:
                await self._keep(cursor, pieces, attempts)
            if ended and cursor.position < promised:
                raise self._ended_early(promised - cursor.position)

    async def _receive(self, body: SocketBody, cursor: _Cursor, promised: int, attempts: Attempts) -> None:
        """The same by a thread, from the connection itself."""
        loop, begun = asyncio.get_running_loop(), cursor.position

        def kept(length: int) -> None:
            loop.call_soon_threadsafe(self._count, cursor, length, attempts)

        with closing(body):
            receive = functools.partial(body.receive, begun, promised, self._partial, kept)
            end = await in_pool(self._threads, receive, interrupt=body.interrupt)
        if end < promised:
            raise self._ended_early(promised - end)

    async def _collect(self, content: aiohttp.StreamReader, pieces: list[bytes], limit: int, *, goes_on: bool) -> bool:
        """Gather a stretch into `pieces`, at most `limit` bytes; True if the body has ended."""
        gathered = 0
        async with watchdog(self._config.stall_timeout_seconds) as received:
            while gathered < min(STRETCH_BYTES, limit):
                # Pieces as they came from the socket, unless what is beyond matters: `read` copies them into one.
                take = content.read(limit - gathered) if goes_on else next_piece(content)
                piece = (await take)[: limit - gathered]
                if not piece:
                    return True
                pieces.append(piece)
                gathered += len(piece)
                received(len(piece))
        return False

    async def _skip(self, response: aiohttp.ClientResponse, length: int) -> None:
        """Read past what is there already."""
        async with watchdog(self._config.stall_timeout_seconds) as received:
            while length > 0:
                piece = await response.content.read(min(STRETCH_BYTES, length))
                if not piece:
                    raise SourceUnreachable(f"{self._source.subject}: the answer ended early; try again")
                length -= len(piece)
                received(len(piece))

    async def _keep(self, cursor: _Cursor, pieces: list[bytes], attempts: Attempts) -> None:
        length = sum(map(len, pieces))
        if length == 0:
            return
        await in_thread(self._partial.write, cursor.position, pieces)
        self._count(cursor, length, attempts)

    def _count(self, cursor: _Cursor, length: int, attempts: Attempts) -> None:
        cursor.position += length
        attempts.received(length)
        self._meter.add(length)
        self._written.set()
        self._missing_bytes -= length
        self._unflushed_bytes += length
        if self._unflushed_bytes >= FLUSH_BYTES:
            self._unflushed_bytes = 0
            self._flush_due.set()

    def _ended_early(self, missing: int) -> SourceUnreachable:
        return SourceUnreachable(f"{self._source.subject}: the answer ended {missing} bytes early; try again")
