"""Whether this process is well, from figures: what `/healthz` and `/readyz` answer. Pure, but for the loop's clock.

A live loop proves little: a watch may be dead and the queue stuck while it turns. So liveness asks for progress.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

STREAM_SECONDS: Final = 180.0
STUCK_SECONDS: Final = 120.0
LAG_SECONDS: Final = 5.0
_TICK_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Vitals:
    """The figures.

    `stuck_seconds` is how long keys have waited without any reconcile ending, 0 while this replica follows.
    `unsynced` has the kinds of which not everything has come in yet, each with what went wrong last, if anything.
    """

    stream_age_seconds: Mapping[str, float] = field(default_factory=dict)
    stuck_seconds: float = 0
    loop_lag_seconds: float = 0
    unsynced: Mapping[str, str] = field(default_factory=dict)


def find_ailments(vitals: Vitals) -> tuple[str, ...]:
    """What is wrong, in sentences; nothing where the process should live on."""
    ailments = [
        f"nothing was heard of {kind} for {age:.0f} s"
        for kind, age in sorted(vitals.stream_age_seconds.items())
        if age > STREAM_SECONDS
    ]
    if vitals.stuck_seconds > STUCK_SECONDS:
        ailments.append(f"keys have waited for {vitals.stuck_seconds:.0f} s and no reconcile has ended meanwhile")
    if vitals.loop_lag_seconds > LAG_SECONDS:
        ailments.append(f"the event loop was late by {vitals.loop_lag_seconds:.1f} s")
    return tuple(ailments)


def find_missing(vitals: Vitals) -> tuple[str, ...]:
    """What must come in before this process can lead, in sentences; nothing where it is ready."""
    return tuple(
        f"{kind} has not come in whole yet" + (f": {trouble}" if trouble else "")
        for kind, trouble in sorted(vitals.unsynced.items())
    )


class LoopLag:
    """How late the event loop is, measured all the time."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(_TICK_SECONDS)
            self.seconds = max(0.0, time.monotonic() - before - _TICK_SECONDS)
