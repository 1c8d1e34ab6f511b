"""The threads of an engine for pictures: they decode, batch what has one shape, run the graph and answer.

`VisionScheduler.submit` is called by `berth_runtime.engines.vision`. A thread that is free takes a handful of the
waiting pictures, in turns from all requests, prepares them and runs them; nobody waits for a batch to fill. So no more
pictures are decoded at a time than the threads work on, however many wait.
"""

import math
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import orjson

from berth_runtime.engines.jobs import Interrupt, Job, Jobs
from berth_runtime.engines.pictures import BadPicture, Prepared, Tensor
from berth_runtime.engines.protocol import Failure, ImageRequest, Reply, Rows, Usage
from berth_runtime.engines.vision_readers import Answer, Reader
from berth_runtime.engines.vision_scores import Outputs

NOT_FINITE: Final = Failure(
    500,
    "engine_error",
    "the model's answer for this picture holds values that are no numbers; the weights may be damaged",
)


class Graph(Protocol):
    """What looks at pictures: `VisionGraph`, `TorchPictures`."""

    def interrupt(self) -> Interrupt:
        """What stops one run."""
        ...

    def run(self, tensors: Sequence[Tensor], interrupt: Interrupt) -> Outputs:
        """The outputs for tensors of one shape; raises `RunFailed`."""
        ...


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a batch is full: at so many pictures, or where one more would pass so many pixels of the graph's input.

    The defaults are from measurements with one thread a run: up to these sizes a batch takes about as long as its
    pictures one by one, and beyond them longer, by as much as a half, as its activations outgrow the core's cache.
    """

    pictures: int = 4
    pixels: int = 4 * 224 * 224

    def fitting(self, size: tuple[int, int]) -> int:
        """How many tensors of this (width, height) make a batch."""
        width, height = size
        return max(1, min(self.pictures, self.pixels // (width * height)))


class _Job(Job):
    """One request on its way. All but `request` and `reply` is touched under the scheduler's lock."""

    def __init__(self, request: ImageRequest, reply: Reply) -> None:
        super().__init__(reply)
        self.request = request
        self.taken = 0
        self.answers: dict[int, Answer] = {}

    @property
    def waiting(self) -> int:
        """Pictures that no thread has taken yet."""
        return len(self.request.images) - self.taken


@dataclass(frozen=True, slots=True)
class _Item:
    """One picture of a request, prepared."""

    job: _Job
    index: int
    prepared: Prepared


class VisionScheduler:
    """Answers requests about pictures with `threads` threads."""

    def __init__(
        self,
        prepare: Callable[[bytes], Prepared],
        graph: Graph,
        reader: Reader,
        limits: BatchLimits,
        *,
        threads: int,
    ) -> None:
        self._prepare = prepare
        self._graph = graph
        self._reader = reader
        self._threads = threads
        self._limits = limits
        self._turns: deque[_Job] = deque()
        self._jobs: Jobs[_Job] = Jobs("picture")

    def start(self) -> None:
        """Start the threads; they end with the process."""
        for number in range(self._threads):
            threading.Thread(target=self._work, name=f"look-{number}", daemon=True).start()
        self._jobs.start()

    def submit(self, request: ImageRequest, reply: Reply) -> None:
        """Take one request; the answer goes to `reply`."""
        job = _Job(request, reply)
        with self._jobs.changed:
            self._turns.append(job)
            self._jobs.add(job)

    def _work(self) -> None:
        while True:
            with self._jobs.changed:
                self._jobs.changed.wait_for(lambda: self._turns)
                handful = self._take()
            for batch in _batches(self._prepare_all(handful), self._limits):
                for items, outputs in self._jobs.compute(batch, self._run, self._graph.interrupt):
                    for row, item in enumerate(items):
                        self._read(item, outputs, row)

    def _run(self, items: Sequence[_Item], interrupt: Interrupt) -> Outputs:
        return self._graph.run([item.prepared.tensor for item in items], interrupt)

    def _take(self) -> list[tuple[_Job, int]]:
        """The next pictures, one of each request in turn, and no more than leaves as many for each other thread."""
        most = min(self._limits.pictures, math.ceil(sum(job.waiting for job in self._turns) / self._threads))
        taken: list[tuple[_Job, int]] = []
        while self._turns and len(taken) < most:
            job = self._turns.popleft()
            if job.ended:
                continue
            taken.append((job, job.taken))
            job.taken += 1
            if job.waiting:
                self._turns.append(job)
        return taken

    def _prepare_all(self, handful: Iterable[tuple[_Job, int]]) -> Iterator[_Item]:
        for job, index in handful:
            if job.ended:
                continue
            try:
                prepared = self._prepare(job.request.images[index])
            except BadPicture as error:
                self._jobs.fail(job, Failure(400, "invalid_image", f"image[{index}]: {error}", "image"))
            else:
                yield _Item(job, index, prepared)

    def _read(self, item: _Item, outputs: Outputs, row: int) -> None:
        job = item.job
        if not all(np.isfinite(outputs[name][row]).all() for name in self._reader.outputs):
            self._jobs.fail(job, NOT_FINITE)
            return
        answer = self._reader.read(outputs, row, item.prepared, job.request.threshold)
        with self._jobs.changed:
            if job.ended:
                return
            job.answers[item.index] = answer
            if len(job.answers) < len(job.request.images):
                return
            self._jobs.end(job)
        _deliver(job)


def _batches(items: Iterable[_Item], limits: BatchLimits) -> Iterator[Sequence[_Item]]:
    """The items by what can share a run. Padding one to another's size would change its answer."""
    by_size: defaultdict[tuple[int, int], list[_Item]] = defaultdict(list)
    for item in items:
        by_size[item.prepared.size].append(item)
    for size, alike in by_size.items():
        most = limits.fitting(size)
        for first in range(0, len(alike), most):
            yield alike[first : first + most]


def _deliver(job: _Job) -> None:
    """Answer a request whose pictures have all been looked at."""
    answers = [job.answers[index] for index in range(len(job.request.images))]
    rows = [answer for answer in answers if isinstance(answer, np.ndarray)]
    if rows:
        job.reply.rows(Rows(np.stack(rows).astype("<f4").tobytes(), len(rows[0])))
        return
    job.reply.chunk(orjson.dumps(answers))
    job.reply.finish(Usage(0))
