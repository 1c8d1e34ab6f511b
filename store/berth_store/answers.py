"""How far an answer to a request for a blob is trusted: what `berth_store.download` and `berth_store.small` share."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp

from berth_store.errors import SourceError, SourceUnreachable
from berth_store.retry import Attempts
from berth_store.sources.protocol import RemoteFile

# A connection must deliver this much in each stall time-out (2 KiB/s at 30 s); less is as good as nothing.
TRICKLE_BYTES = 64 * 1024


@asynccontextmanager
async def retrying(attempts: Attempts) -> AsyncIterator[None]:
    """Swallow a failure that is worth another attempt, after its pause; no slot is held meanwhile."""
    try:
        yield
    except SourceError as error:
        await attempts.pause_after(error)


@asynccontextmanager
async def watchdog(stall_seconds: float) -> AsyncIterator[Callable[[int], None]]:
    """Raise TimeoutError unless enough bytes are reported within each `stall_seconds`."""
    loop, watched = asyncio.get_running_loop(), 0
    async with asyncio.timeout(stall_seconds) as timeout:

        def received(count: int) -> None:
            nonlocal watched
            watched += count
            if watched >= TRICKLE_BYTES:
                watched = 0
                timeout.reschedule(loop.time() + stall_seconds)

        yield received


async def check_whole(source: RemoteFile, response: aiohttp.ClientResponse, size: int) -> None:
    """Raise SourceError unless this is the answer to a request for the whole blob, of `size` bytes."""
    if response.status != 200:
        raise await source.failure(response)
    if response.content_length not in {None, size}:
        raise SourceUnreachable(
            f"{source.subject}: {response.content_length} bytes are sent where {size} were announced; a proxy that "
            "changes answers, or a damaged upload"
        )


async def next_piece(content: aiohttp.StreamReader) -> bytes:
    """The next piece as it came from the socket; nothing at the end of the body."""
    piece, is_end_of_chunk = b"", True
    while not piece and is_end_of_chunk:
        piece, is_end_of_chunk = await content.readchunk()
    return piece
