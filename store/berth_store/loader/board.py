"""What `/progress` says: the stage, the bytes, their rate, and what keeps them. `Board` is written by the load."""

from collections.abc import Callable, Mapping
from enum import StrEnum

from berth_store.pace import PaceMeter
from berth_store.progress import Progress, Stage


class LoadStage(StrEnum):
    """The words of `/progress`, which the operator reads."""

    RESOLVING = "Resolving"
    FETCHING = "Fetching"
    DONE = "Done"
    FAILED = "Failed"


# What a pull does beside fetching, in words.
_WORDS = {
    Stage.WAITING: "another process is fetching a file of this model into the same store",
    Stage.RESUMING: "checking what an earlier attempt has left",
}


class Board:
    """The state of one load; `clock` gives seconds that never go back.

    Bytes never go back either: where a part is fetched again, the count waits until that is made up for. `moved_at` is
    when it last rose. Trouble is told until then.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._meter = PaceMeter()
        self._stage = LoadStage.RESOLVING
        self._message = ""
        self._trouble = ""
        self._resuming = False
        self._bytes_done = 0
        self._bytes_total = 0
        self.moved_at = clock()

    def report(self, moment: Progress) -> None:
        """Take what a pull tells. It is `Done` only when there is a view, so a pull's own end is none."""
        if moment.bytes_total:
            self._stage = LoadStage.FETCHING
            self._bytes_total = moment.bytes_total
            self._advance(moment)
        self._message = _WORDS.get(moment.stage, "")

    def tell_trouble(self, message: str) -> None:
        """Say what keeps the load for now."""
        self._trouble = message

    def finish(self) -> None:
        """All is there."""
        self._stage, self._message, self._trouble = LoadStage.DONE, "", ""
        self._bytes_done = self._bytes_total

    def fail(self, message: str) -> None:
        """It is given up."""
        self._stage, self._message, self._trouble = LoadStage.FAILED, message, ""

    def render(self) -> Mapping[str, object]:
        """The body of `/progress`."""
        pace = self._meter.measure(self._bytes_done, self._bytes_total, self._clock())
        under_way = self._stage is LoadStage.FETCHING
        left = pace.seconds_left if under_way else None
        return {
            "stage": self._stage,
            "bytesDone": self._bytes_done,
            "bytesTotal": self._bytes_total,
            "bytesPerSecond": round(pace.bytes_per_second) if under_way else 0,
            "secondsLeft": None if left is None else round(left, 1),
            "message": self._trouble or self._message,
        }

    def _advance(self, moment: Progress) -> None:
        if moment.bytes_done > self._bytes_done:
            self._bytes_done, self.moved_at, self._trouble = moment.bytes_done, self._clock(), ""
        resuming = moment.stage is Stage.RESUMING
        if resuming or self._resuming:
            self._meter.restart()  # What an earlier attempt has left, and counts at once now, is no speed of this one.
        self._resuming = resuming
        self._meter.measure(self._bytes_done, self._bytes_total, self._clock())
