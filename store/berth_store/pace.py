"""How fast a transfer goes and how long it will take, from byte counts with their times. Pure: time is an argument."""

from collections import deque
from dataclasses import dataclass

WINDOW_SECONDS = 10.0
# A rate of the first moments would promise anything.
SHORTEST_SECONDS = 0.5
# Counts come for each stretch of each connection; more samples than this would say nothing more.
SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Pace:
    """A rate, and the time that is left; None while nobody can tell."""

    bytes_per_second: float = 0.0
    seconds_left: float | None = None


class PaceMeter:
    """The rate over the last seconds. A transfer that resumes begins with bytes that nobody waited for."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def restart(self) -> None:
        """Forget what was counted: the next bytes are no transfer's, or another's."""
        self._samples.clear()

    def measure(self, bytes_done: int, bytes_total: int, now: float) -> Pace:
        """Takes one count and returns what can be said now."""
        if self._samples and bytes_done < self._samples[-1][1]:
            self._samples.clear()
        if len(self._samples) > 1 and now - self._samples[-2][0] < SAMPLE_SECONDS:
            self._samples.pop()
        self._samples.append((now, bytes_done))
        while self._samples[0][0] < now - WINDOW_SECONDS and len(self._samples) > 2:
            self._samples.popleft()
        begun, first_bytes = self._samples[0]
        if now - begun < SHORTEST_SECONDS:
            return Pace()
        rate = (bytes_done - first_bytes) / (now - begun)
        return Pace(rate, (bytes_total - bytes_done) / rate if rate > 0 and bytes_total else None)
