"""Time that passes only when a test says so: a clock and a sleep for code that takes them as arguments.

time = SteppedTime()
task = asyncio.create_task(run(now=time.now, sleep=time.sleep))
await time.pass_seconds(10)          # wakes whoever sleeps, in order, and lets them run until they sleep again
"""

import asyncio
import heapq
import itertools

_ROUNDS = 50
"""How often the loop turns for those who woke: enough for the longest way through the fakes."""


class SteppedTime:
    """See the module."""

    def __init__(self, start: float = 1000.0) -> None:
        self._now = start
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), future))
        await future

    async def pass_seconds(self, seconds: float) -> None:
        """Let so much time pass, waking sleepers at their moments."""
        end = self._now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, future = heapq.heappop(self._sleepers)
            self._now = max(self._now, at)
            if not future.done():
                future.set_result(None)
            await settle()
        self._now = end
        await settle()

    def jump(self, seconds: float) -> None:
        """Let time pass while nobody runs: a stopped process wakes with all its timers overdue."""
        self._now += seconds


async def settle() -> None:
    """Let every task run until it waits for something that only time or a test can bring."""
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
