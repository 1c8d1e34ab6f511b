"""Takes keys from the queue while this replica leads, and decides by each outcome when the next reconcile is due."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from berth_kube.errors import ClusterError, Conflict, Overloaded
from berth_operator.metrics import OperatorMetrics
from berth_operator.queue import WorkQueue
from berth_operator.reconcile import Outcome
from berth_operator.subject import Subject
from berth_operator.write import NotLeading

MOST_AT_ONCE: Final = 16
"""More than may write at once: most of a reconcile is waiting for a turn to write, or for an answer of a pod."""

LOST_SECONDS: Final = 1.0
"""When a key is looked at again that was on its way while the Lease was not held."""

log = logging.getLogger(__name__)


def reconciles_at_once(writes_per_second: float) -> int:
    """How many reconciles may share this rate so that each has its writes, about eight, well within its time."""
    return max(1, min(MOST_AT_ONCE, int(2 * writes_per_second)))


class Reconciles(Protocol):
    """What is done with a key. See `Reconciler`."""

    async def reconcile(self, subject: Subject) -> Outcome:
        """Look at one object."""


class Workers:
    """Drains a queue while `leading` is set. `clock` is monotonic seconds, `ended_at` when a reconcile last ended."""

    def __init__(
        self,
        queue: WorkQueue[Subject],
        leading: asyncio.Event,
        reconciler: Reconciles,
        metrics: OperatorMetrics,
        clock: Callable[[], float],
        *,
        at_once: int = MOST_AT_ONCE,
    ) -> None:
        self._queue = queue
        self._leading = leading
        self._reconciler = reconciler
        self._metrics = metrics
        self._clock = clock
        self._slots = asyncio.Semaphore(at_once)
        self._running: set[asyncio.Task[None]] = set()
        self.ended_at = clock()

    async def run(self) -> None:
        """Until it is cancelled; reconciles under way go on, see `finish`."""
        while True:
            await self._slots.acquire()
            subject = await self._next()
            task = asyncio.create_task(self._reconcile(subject), name=f"reconcile {subject}")
            self._running.add(task)
            task.add_done_callback(self._end)

    async def finish(self, seconds: float) -> None:
        """Let the reconciles under way end, and stop those that need longer."""
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=seconds)
        for task in late:
            log.warning("not finished in time", extra={"task": task.get_name()})
            task.cancel()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._slots.release()

    async def _next(self) -> Subject:
        """The next key to reconcile. One that comes while another replica leads waits until this one does."""
        while True:
            await self._leading.wait()
            subject = await self._queue.take()
            if self._leading.is_set():
                return subject
            self._queue.done(subject)
            self._queue.add(subject)

    async def _reconcile(self, subject: Subject) -> None:
        started = self._clock()
        try:
            word = self._settle(subject, await self._reconciler.reconcile(subject))
        except NotLeading:
            word = "lost"
            # Whoever leads next starts with everything; but the Lease may be renewed in the same moment.
            self._queue.add_after(subject, LOST_SECONDS)
        except Conflict:
            word = self._fail(subject, "stale", "it changed while it was reconciled", logging.DEBUG)
        except ClusterError as error:
            word = self._trouble(subject, error)
        except TimeoutError:
            word = self._fail(subject, "timeout", "it took too long")
        except Exception:
            # A fault of ours that one object brings out must not keep all others from being looked at.
            log.exception("bug", extra={"subject": str(subject)})
            word = self._fail(subject, "bug", "see the exception")
        finally:
            self._queue.done(subject)
        self.ended_at = self._clock()
        self._metrics.count_reconcile(subject.kind, word, self.ended_at - started)

    def _settle(self, subject: Subject, outcome: Outcome) -> str:
        if outcome.trouble is not None:
            return self._trouble(subject, outcome.trouble)
        self._queue.reset(subject)
        if outcome.again_after_seconds is not None:
            self._queue.add_after(subject, outcome.again_after_seconds)
        return "refused" if outcome.refused else "ok"

    def _trouble(self, subject: Subject, error: ClusterError) -> str:
        asked_for = error.retry_after_seconds if isinstance(error, Overloaded) else None
        return self._fail(subject, "error", str(error), at_least=asked_for or 0.0)

    def _fail(
        self, subject: Subject, word: str, why: str, level: int = logging.WARNING, *, at_least: float = 0.0
    ) -> str:
        delay = self._queue.retry(subject, at_least=at_least)
        log.log(level, word, extra={"subject": str(subject), "why": why, "again_in_seconds": round(delay, 1)})
        return word
