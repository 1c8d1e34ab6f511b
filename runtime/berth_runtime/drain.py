"""Whether new requests are taken, and how many are on their way. One for the process."""

import asyncio
from typing import Final

RETRY_AFTER_SECONDS: Final = 1


class Drain:
    """Counts requests in flight; once begun, it is over when the last of them has ended."""

    def __init__(self) -> None:
        self.draining = False
        self.in_flight = 0
        self._empty = asyncio.Event()

    def begin(self) -> None:
        """Take no more."""
        self.draining = True
        self._look()

    def enter(self) -> None:
        """A request came in."""
        self.in_flight += 1
        self._empty.clear()

    def leave(self) -> None:
        """A request has ended."""
        self.in_flight -= 1
        self._look()

    async def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait for the last request; False if time ran out first, which without a time it never does."""
        try:
            await asyncio.wait_for(self._empty.wait(), timeout_seconds)
        except TimeoutError:
            return False
        return True

    def _look(self) -> None:
        if self.draining and self.in_flight == 0:
            self._empty.set()
