"""Fetching a small blob in one piece: into memory, hashed there, and written once.

A partial file with its journal is there so that a long transfer can go on after a kill. For a blob that comes in a
moment it is all cost: of 500 files of 64 KiB, some eight changes of thread, seven files opened and two folders flushed
for each. A kill loses the few that were under way or not yet written together. `berth_store.fetch` calls.
"""

import asyncio

import aiohttp

from berth_store.answers import check_whole, next_piece, retrying, watchdog
from berth_store.errors import SourceUnreachable
from berth_store.registries import RegistryConfig
from berth_store.retry import Attempts
from berth_store.sources.protocol import RemoteFile

# What a kill loses of one is fetched again in a tenth of a second at 10 MB/s; `berth_store.fetch` bounds their number.
SMALL_BYTES = 1024 * 1024


async def fetch_small(source: RemoteFile, size: int, config: RegistryConfig, slots: asyncio.Semaphore) -> bytes:
    """The `size` bytes that are sent; whether they are right, only the digest says. Raises what no retry has mended."""
    attempts = Attempts(config.retry)
    while True:
        async with retrying(attempts), slots, source.open(None) as response:
            await check_whole(source, response, size)
            return await _read(source, response.content, size, config.stall_timeout_seconds)


async def _read(source: RemoteFile, content: aiohttp.StreamReader, size: int, stall_seconds: float) -> bytes:
    pieces, missing = [], size
    async with watchdog(stall_seconds) as received:
        while missing > 0:
            piece = (await next_piece(content))[:missing]
            if not piece:
                raise SourceUnreachable(f"{source.subject}: the answer ended {missing} bytes early; try again")
            pieces.append(piece)
            missing -= len(piece)
            received(len(piece))
    return b"".join(pieces)
