"""How long to wait after a failure: doubling, bounded, and never in step with others."""

import random
from collections.abc import Callable


class Backoff:
    """Delays that double from `first_seconds` to `most_seconds`, each shortened by up to a half at random."""

    def __init__(
        self, *, first_seconds: float = 0.5, most_seconds: float = 8.0, draw: Callable[[], float] = random.random
    ) -> None:
        self._first = first_seconds
        self._most = most_seconds
        self._next = first_seconds
        self._draw = draw

    def delay_seconds(self) -> float:
        """The delay of this failure; the next one is twice as long."""
        delay, self._next = self._next, min(self._next * 2, self._most)
        return delay * (1 - self._draw() / 2)

    def reset(self) -> None:
        """It worked: the next failure is a first one."""
        self._next = self._first
