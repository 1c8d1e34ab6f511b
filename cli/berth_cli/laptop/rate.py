"""How fast a transfer goes and how long it will take, from byte counts with their times."""

from collections import deque

from berth_cli.laptop.view import Transfer

WINDOW_SECONDS = 10.0
# A rate of the first moments would promise anything.
_SHORTEST_SECONDS = 0.5


class RateMeter:
    """The rate over the last seconds. A transfer that resumes begins with bytes that nobody waited for."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def measure(self, bytes_done: int, bytes_total: int, now: float) -> Transfer:
        """Takes one count and returns what can be said now."""
        if self._samples and bytes_done < self._samples[-1][1]:
            self._samples.clear()
        self._samples.append((now, bytes_done))
        while self._samples[0][0] < now - WINDOW_SECONDS and len(self._samples) > 2:
            self._samples.popleft()
        begun, first_bytes = self._samples[0]
        if now - begun < _SHORTEST_SECONDS:
            return Transfer(bytes_done=bytes_done, bytes_total=bytes_total)
        rate = (bytes_done - first_bytes) / (now - begun)
        left = (bytes_total - bytes_done) / rate if rate > 0 and bytes_total else None
        return Transfer(bytes_done=bytes_done, bytes_total=bytes_total, bytes_per_second=rate, seconds_left=left)
