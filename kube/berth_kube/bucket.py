"""`TokenBucket`: so many writes in a second, with bursts, so that a restart does not overrun the API server."""

import asyncio
import time
from collections.abc import Awaitable, Callable


class TokenBucket:
    """`rate` tokens a second; up to `burst` are saved. Whoever asks first is served first."""

    def __init__(
        self,
        rate: float,
        burst: int,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._now = now
        self._sleep = sleep
        # Below zero: tokens that are promised to those who wait.
        self._tokens = self._burst
        self._filled_at = now()

    async def acquire(self) -> None:
        """Take a token, waiting for it if need be. Who is cancelled meanwhile gives it back."""
        self._fill()
        self._tokens -= 1
        if self._tokens >= 0:
            return
        try:
            await self._sleep(-self._tokens / self._rate)
        except asyncio.CancelledError:
            self._tokens += 1
            raise

    def _fill(self) -> None:
        now = self._now()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
