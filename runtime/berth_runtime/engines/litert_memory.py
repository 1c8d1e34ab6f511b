"""How many interpreters there is memory for: `as_many_as_fit`, for the engines on LiteRT."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

# Of the memory that is free once one interpreter is there, the part that further ones may take.
MEMORY_SHARE: Final = 0.5
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
T = TypeVar("T")


def as_many_as_fit(make: Callable[[], T], try_out: Callable[[T], None], *, threads: int, memory_bytes: int) -> list[T]:
    """One interpreter for each thread, as far as memory goes: what the first took, tried out, is measured."""
    before = resident_bytes()
    first = make()
    try_out(first)
    after = resident_bytes()
    count = how_many(threads, took=after - before, free=memory_bytes - after)
    return [first, *(make() for _ in range(count - 1))]


def how_many(threads: int, *, took: int, free: int) -> int:
    """How many interpreters: one for each thread, the further ones within their share of the free memory."""
    further = int(max(0, free) * MEMORY_SHARE) // max(took, PAGE_BYTES)
    return max(1, min(threads, 1 + further))


def resident_bytes() -> int:
    """The memory of this process that is in use now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
