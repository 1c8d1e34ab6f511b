"""Locks between processes: flock on small files in the store's `locks/`.

The operating system releases them when a process dies, however it dies. Which locks there are, and the order in which
they may be taken (never the other way round, so that nobody waits in a circle):

1. `store`      shared by everyone who writes content; exclusive, and only if free at once, for who sweeps it away;
2. `<hex>`      one blob that is fetched (small ones go without) or unpacked: a second process waits, and finds it; or
                one upload that may be gone on with: a second process begins one of its own;
3. `view-<hex>` one view that is being built;
4. `quota`      room in the store, while some is taken and what others have taken is read;
5. `index`      `index.json`, for the moment of an update.

Holds (`berth_store.holds`) are taken before all of these, shared; whoever wants one alone only ever tries.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

POLL_SECONDS = 0.05


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock alone; wait for it as long as it takes (for locks that are held for moments)."""
    yield from _held(path, fcntl.LOCK_EX)


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold the lock together with others that share it."""
    yield from _held(path, fcntl.LOCK_SH)


def hold(path: Path) -> int:
    """Hold the lock together with others until the handle is closed."""
    handle = _take(path, fcntl.LOCK_SH)
    while handle is None:
        handle = _take(path, fcntl.LOCK_SH)
    return handle


def hold_if_there(path: Path) -> int | None:
    """The same by a file that is there, on a file system that may be read-only; None where there is none."""
    handle = None
    while handle is None:
        try:
            handle = _take(path, fcntl.LOCK_SH, os.O_RDONLY)
        except FileNotFoundError:
            return None
    return handle


@contextmanager
def exclusive_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock alone if it is free at once; the value says whether it was."""
    handle = _try(path, fcntl.LOCK_EX)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            os.close(handle)


@asynccontextmanager
async def exclusive_in_turn(path: Path, waiting: Callable[[], None]) -> AsyncIterator[None]:
    """Hold the lock alone; `waiting` is called once if another has it. Polls, so that waiting can be cancelled."""
    handle = _try(path, fcntl.LOCK_EX)
    if handle is None:
        waiting()
    while handle is None:
        await asyncio.sleep(POLL_SECONDS)
        handle = _try(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(handle)


def _held(path: Path, kind: int) -> Iterator[None]:
    handle = _take(path, kind)
    while handle is None:
        handle = _take(path, kind)
    try:
        yield
    finally:
        os.close(handle)


def _try(path: Path, kind: int) -> int | None:
    try:
        return _take(path, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return None


def _take(path: Path, kind: int, mode: int = os.O_RDWR | os.O_CREAT) -> int | None:
    """The open, locked file; None if it was swept away between opening and locking it, so that it locks nothing."""
    handle = os.open(path, mode | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, kind)
        if _is_still(path, handle):
            return handle
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
