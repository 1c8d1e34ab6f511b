"""The figures of a running operator, read from its parts when a probe or Prometheus asks. Made by process.py."""

from collections.abc import Callable
from dataclasses import dataclass

from berth_operator.audit import IntakeAudit
from berth_operator.caches import Caches
from berth_operator.declared import Declared
from berth_operator.leadership import Leadership
from berth_operator.metrics import Gauges
from berth_operator.queue import WorkQueue
from berth_operator.subject import Kind, Subject
from berth_operator.vitals import LoopLag, Vitals
from berth_operator.workers import Workers


@dataclass(frozen=True)
class Figures:
    """The parts that are read. `clock` is that of the event loop."""

    queue: WorkQueue[Subject]
    workers: Workers
    leadership: Leadership
    declared: Declared
    caches: Caches
    audit: IntakeAudit
    lag: LoopLag
    clock: Callable[[], float]

    def vitals(self) -> Vitals:
        """What decides whether this process lives on and whether it is ready."""
        unsynced = self.caches.unsynced()
        if not self.audit.completed.is_set():
            unsynced |= {kind.value: "" for kind in Kind}
        return Vitals(
            stream_age_seconds=self._ages_seconds(),
            stuck_seconds=self._stuck_seconds(),
            loop_lag_seconds=self.lag.seconds,
            unsynced=unsynced,
        )

    def gauges(self) -> Gauges:
        """What Prometheus sees of this moment."""
        return Gauges(
            queue_depth=self.queue.depth,
            queue_oldest_seconds=self.queue.oldest_seconds(),
            leading=self.leadership.is_leading,
            loop_lag_seconds=self.lag.seconds,
            stream_age_seconds=self._ages_seconds(),
            objects=dict(self.caches.count()) | self.declared.count(),
        )

    def _stuck_seconds(self) -> float:
        """A burst makes keys wait for long, and is no reason to end as long as reconciles end."""
        waits = self.queue.oldest_seconds() if self.leadership.is_leading else 0.0
        return min(waits, self.clock() - self.workers.ended_at)

    def _ages_seconds(self) -> dict[str, float]:
        """The intake's stream has no age of its own; the audit that compares it has."""
        return self.caches.ages_seconds(self.clock()) | {kind.value: self.audit.age_seconds() for kind in Kind}
