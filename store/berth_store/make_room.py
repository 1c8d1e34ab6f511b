"""Fetching into a store that may be full: where room lacks, it is made, and the fetch tried again.

The loader of pods that share a claim calls (`berth_store.loader.shared`), and who pulls on a laptop
(`berth_store.fetched`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from berth_store.digest import Digest
from berth_store.errors import DiskFull
from berth_store.evict import Eviction
from berth_store.tasks import in_thread

LOOK_AGAIN_SECONDS = 1.0


@dataclass(frozen=True)
class RoomMaker:
    """How room is made. `free` blocks. `remedy` says what to do where it could not. While others fetch, nobody may
    look: `waits` is told once, and `is_late` says when to give that up.
    """

    free: Callable[[DiskFull], Eviction]
    remedy: Callable[[DiskFull, Eviction], str]
    waits: Callable[[], None] = lambda: None
    is_late: Callable[[], bool] = lambda: False


async def with_room(fetch: Callable[[], Awaitable[Digest]], maker: RoomMaker) -> Digest:
    """The digest that `fetch` returns, once there is room for it. Raises its errors."""
    while True:
        try:
            return await fetch()
        except DiskFull as error:
            done = Eviction() if error.is_final else await in_thread(maker.free, error)
            waited = done.postponed and not maker.is_late()
            if waited:
                maker.waits()
            while done.postponed and not maker.is_late():
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
                done = await in_thread(maker.free, error)
            # Whom we waited for may have given up, and what was reserved for it is free.
            if not done.freed_bytes and not waited:
                raise error.with_remedy(maker.remedy(error, done)) from error
