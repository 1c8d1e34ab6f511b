"""The requests that an engine's threads work on: which still want an answer, what is computed for whom, who has left.

Shared by the schedulers, `text_scheduler` and `vision_scheduler`, which keep what else they know of a request under the
same lock, `Jobs.changed`.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from berth_api.errors import BerthError
from berth_runtime.engines.protocol import Failure, Reply, Usage

# How often it is looked whether clients have left. Nobody tells: a reply has to be asked.
LOOK_SECONDS: Final = 0.05


class RunFailed(BerthError):  # noqa: N818 - reads as what happened
    """A library could not compute a batch, or was told to stop; `why` is its reason in plain words."""

    def __init__(self, library: str, why: str) -> None:
        self.library = library
        self.why = why
        super().__init__(f"{library} could not run the model: {why}")


class Interrupt:
    """Tells a run that nobody waits for it any more. ONNX Runtime's own options have the same attribute."""

    terminate = False


def stop_if_told(interrupt: Interrupt, library: str) -> None:
    """Raise `RunFailed` before a run that nobody waits for, with a library that can't stop one that has begun."""
    if interrupt.terminate:
        raise RunFailed(library, "nobody waits for it any more")


class Job:
    """One request on its way; `ended` and `prompt_tokens` are touched under the lock."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.ended = False
        self.prompt_tokens = 0


JobT = TypeVar("JobT", bound=Job)
ResultT = TypeVar("ResultT")


class Item(Protocol):
    """A part of a request that one run can compute."""

    @property
    def job(self) -> Any:
        """The request, a `Job`."""
        ...


ItemT = TypeVar("ItemT", bound=Item)


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """A batch that is computed now."""

    jobs: Sequence[Job]
    interrupt: Interrupt

    def stop_if_unwanted(self) -> None:
        if all(job.ended for job in self.jobs):
            self.interrupt.terminate = True


class Jobs(Generic[JobT]):
    """The requests under way. `what` is the word for one of their items.

    `forget` takes a request that its client has left out of the scheduler's own books. `changed` is the lock; it is
    notified when a request is added.
    """

    def __init__(self, what: str, forget: Callable[[JobT], None] = lambda _: None) -> None:
        self.changed = threading.Condition()
        self._what = what
        self._forget = forget
        self._jobs: set[JobT] = set()
        self._runs: set[_Run] = set()

    def start(self) -> None:
        """Start to look for clients that leave, on a thread that ends with the process."""
        threading.Thread(target=self._look_for_leavers, name="leavers", daemon=True).start()

    def add(self, job: JobT) -> None:
        """Take a request; under the lock."""
        self._jobs.add(job)
        self.changed.notify_all()

    def end(self, job: JobT) -> None:
        """Whoever ends a request answers it; under the lock."""
        job.ended = True
        self._jobs.discard(job)

    def fail(self, job: JobT, failure: Failure) -> None:
        """End a request with an error, unless it has ended; without the lock."""
        with self.changed:
            if job.ended:
                return
            self.end(job)
        job.reply.fail(failure)

    def compute(
        self,
        items: Sequence[ItemT],
        run: Callable[[Sequence[ItemT], Interrupt], ResultT],
        interrupt: Callable[[], Interrupt],
    ) -> Iterator[tuple[Sequence[ItemT], ResultT]]:
        """What `run` says of the items, together with them; `run` may raise `RunFailed`.

        If it fails on several, each has a run of its own: whoever caused it alone shall suffer.
        """
        try:
            with self._running([item.job for item in items], interrupt()) as stop:
                found = run(items, stop)
        except RunFailed as error:
            if len(items) == 1:
                said = f"{error.library} could not run the model on this {self._what}: {error.why}"
                self.fail(items[0].job, Failure(500, "engine_error", said))
                return
            for item in items:
                if not item.job.ended:
                    yield from self.compute([item], run, interrupt)
            return
        yield items, found

    @contextmanager
    def _running(self, jobs: Sequence[Job], interrupt: Interrupt) -> Iterator[Interrupt]:
        run = _Run(jobs, interrupt)
        with self.changed:
            self._runs.add(run)
            run.stop_if_unwanted()
        try:
            yield interrupt
        finally:
            with self.changed:
                self._runs.discard(run)

    def _look_for_leavers(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self._jobs)
                left = [job for job in self._jobs if job.reply.gone]
                for job in left:
                    self.end(job)
                    self._forget(job)
                for run in self._runs:
                    run.stop_if_unwanted()
            for job in left:
                job.reply.finish(Usage(job.prompt_tokens))
            time.sleep(LOOK_SECONDS)
