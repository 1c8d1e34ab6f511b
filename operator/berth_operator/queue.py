"""The queue of what must be looked at. A key stands in it once, is worked on once at a time, and backs off by itself.

Intake and caches add, workers take. Nothing but keys is queued: whoever takes one looks at what is so now, which is why
a thousand events of one object are one piece of work, and why a lost event costs nothing once any other comes.
"""

import asyncio
import contextlib
import heapq
import random
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

FIRST_DELAY_SECONDS: Final = 0.2
LONGEST_DELAY_SECONDS: Final = 300.0
_JITTER: Final = 0.2
"""A delay is cut by up to this share, so that what failed together does not come back together."""

K = TypeVar("K", bound=Hashable)


def backoff_seconds(failures: int, chance: float) -> float:
    """The delay after so many failures in a row (from 1 on); `chance` from 0 to 1 is the jitter."""
    full = min(FIRST_DELAY_SECONDS * 2.0 ** min(failures - 1, 32), LONGEST_DELAY_SECONDS)
    return full * (1 - _JITTER * chance)


class WorkQueue(Generic[K]):
    """First come, first served. `clock` is monotonic seconds; `chance` gives the jitter."""

    def __init__(self, clock: Callable[[], float], *, chance: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._chance = chance
        self._ready: dict[K, float] = {}
        """Since when each has been waiting for a worker; a dict keeps the order and finds duplicates."""
        self._due: dict[K, float] = {}
        self._calendar: list[tuple[float, int, K]] = []
        self._entries = 0
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._wake = asyncio.Event()

    def add(self, key: K) -> None:
        """Have it looked at as soon as a worker is free, or once more if one is at it."""
        self._due.pop(key, None)
        if key in self._working:
            self._again.add(key)
        elif key not in self._ready:
            self._ready[key] = self._clock()
            self._wake.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Have it looked at after a while. An earlier look, asked for before or later, stands for this one."""
        if seconds <= 0:
            return self.add(key)
        due = self._clock() + seconds
        if key in self._ready or key in self._again or self._due.get(key, due + 1) <= due:
            return None
        self._due[key] = due
        self._entries += 1
        heapq.heappush(self._calendar, (due, self._entries, key))
        self._wake.set()
        return None

    def retry(self, key: K, *, at_least: float = 0.0) -> float:
        """It failed: have it looked at again after its back-off, which is returned in seconds."""
        self._failures[key] = self._failures.get(key, 0) + 1
        delay = max(backoff_seconds(self._failures[key], self._chance()), at_least)
        self.add_after(key, delay)
        return delay

    def reset(self, key: K) -> None:
        """It went well: its next failure starts with the shortest delay."""
        self._failures.pop(key, None)

    def take_now(self) -> K | None:
        """The key that has waited longest and is now the caller's until `done`; None where nothing waits."""
        self._release_due()
        if not self._ready:
            return None
        key = next(iter(self._ready))
        del self._ready[key]
        self._working.add(key)
        return key

    async def take(self) -> K:
        """As `take_now`, but waits for one."""
        while (key := self.take_now()) is None:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.seconds_to_next()):
                    await self._wake.wait()
        return key

    def done(self, key: K) -> None:
        """The caller's work on it has ended, well or not."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    @property
    def depth(self) -> int:
        """How many wait for a worker now."""
        self._release_due()
        return len(self._ready)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits for a worker and none is at work."""
        return not self.depth and not self._working

    def oldest_seconds(self) -> float:
        """How long the one has waited that has waited longest; 0 where none waits."""
        self._release_due()
        return self._clock() - next(iter(self._ready.values())) if self._ready else 0.0

    def _release_due(self) -> None:
        now = self._clock()
        while self._calendar and self._calendar[0][0] <= now:
            due, _, key = heapq.heappop(self._calendar)
            if self._due.get(key) == due:  # otherwise the entry was overtaken by an earlier one
                self.add(key)

    def seconds_to_next(self) -> float | None:
        """How long until the first delay ends; None where there is none."""
        while self._calendar and self._due.get(self._calendar[0][2]) != self._calendar[0][0]:
            heapq.heappop(self._calendar)
        return max(self._calendar[0][0] - self._clock(), 0.001) if self._calendar else None
