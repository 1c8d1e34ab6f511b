"""A pull as the view shows it: byte counts, with the rate and the time that is left."""

from berth_cli.laptop.view import Transfer
from berth_store.pace import PaceMeter


class RateMeter:
    """Turns counts into what can be said of the transfer."""

    def __init__(self) -> None:
        self._meter = PaceMeter()

    def measure(self, bytes_done: int, bytes_total: int, now: float) -> Transfer:
        """Takes one count and returns what can be said now."""
        pace = self._meter.measure(bytes_done, bytes_total, now)
        return Transfer(
            bytes_done=bytes_done,
            bytes_total=bytes_total,
            bytes_per_second=pace.bytes_per_second,
            seconds_left=pace.seconds_left,
        )
