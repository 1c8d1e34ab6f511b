"""What is told of a transfer while it runs: `Progress` values, handed to the caller's function.

The function is called on the event loop's thread, a few times for each megabyte at most, and must return at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from berth_store.sources.address import Name


class Stage(StrEnum):
    """What is being done."""

    RESOLVING = "Resolving"  # the manifest is asked for
    WAITING = "Waiting"  # another process is fetching the same blob
    RESUMING = "Resuming"  # what an earlier, interrupted transfer left is being checked
    FETCHING = "Fetching"
    PACKAGING = "Packaging"  # files are being hashed into the store
    PUSHING = "Pushing"
    DONE = "Done"


@dataclass(frozen=True)
class Progress:
    """A moment of a transfer. `bytes_total` is 0 until it is known; what was there already counts as done."""

    reference: Name
    stage: Stage
    bytes_done: int = 0
    bytes_total: int = 0


Report = Callable[[Progress], None]


class Meter:
    """Counts the bytes of one transfer and reports them."""

    def __init__(self, reference: Name, report: Report | None) -> None:
        self._reference = reference
        self._report = report
        self._done = 0
        self._total = 0
        self._stage = Stage.RESOLVING

    def expect(self, total_bytes: int) -> None:
        """Set what the whole transfer amounts to."""
        self._total = total_bytes

    def enter(self, stage: Stage) -> None:
        """Say what is being done now."""
        if stage != self._stage or self._done == 0:
            self._stage = stage
            self._tell()

    def add(self, count_bytes: int) -> None:
        """Count bytes that are done (or, where they must be done again, negative ones)."""
        self._done += count_bytes
        self._tell()

    def _tell(self) -> None:
        if self._report is not None:
            self._report(Progress(self._reference, self._stage, self._done, self._total))
