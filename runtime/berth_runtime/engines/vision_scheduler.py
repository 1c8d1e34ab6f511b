"""The threads of an engine for pictures: they decode, batch what has one shape, run the graph and answer.

`VisionScheduler.submit` is called by `berth_runtime.engines.vision`. A thread that is free takes a handful of the
waiting pictures, in turns from all requests, prepares them and runs them; nobody waits for a batch to fill. So no more
pictures are decoded at a time than the threads work on, however many wait.
"""

import math
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import onnxruntime
import orjson

from berth_runtime.engines.onnx_session import RUN_ERRORS, plain_words
from berth_runtime.engines.pictures import BadPicture, Prepared, Tensor
from berth_runtime.engines.protocol import Failure, ImageRequest, Reply, Rows, Usage
from berth_runtime.engines.vision_graph import Outputs
from berth_runtime.engines.vision_readers import Answer, Reader

# How often it is looked whether clients have left. Nobody tells: a reply has to be asked.
LOOK_SECONDS: Final = 0.05

NOT_FINITE: Final = Failure(
    500,
    "engine_error",
    "the model's answer for this picture holds values that are no numbers; the weights may be damaged",
)


class Graph(Protocol):
    """What looks at pictures: `VisionGraph`."""

    def run(self, tensors: Sequence[Tensor], options: onnxruntime.RunOptions | None = None) -> Outputs:
        """The outputs for tensors of one shape; raises one of `RUN_ERRORS`."""
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


class _Job:
    """One request on its way. All but `request` and `reply` is touched under the scheduler's lock."""

    def __init__(self, request: ImageRequest, reply: Reply) -> None:
        self.request = request
        self.reply = reply
        self.taken = 0
        self.ended = False
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


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """A batch that is in the graph now."""

    items: Sequence[_Item]
    options: onnxruntime.RunOptions


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
        self._changed = threading.Condition()
        self._turns: deque[_Job] = deque()
        self._jobs: set[_Job] = set()
        self._runs: set[_Run] = set()

    def start(self) -> None:
        """Start the threads; they end with the process."""
        for number in range(self._threads):
            threading.Thread(target=self._work, name=f"look-{number}", daemon=True).start()
        threading.Thread(target=self._look_for_leavers, name="look-leavers", daemon=True).start()

    def submit(self, request: ImageRequest, reply: Reply) -> None:
        """Take one request; the answer goes to `reply`."""
        job = _Job(request, reply)
        with self._changed:
            self._jobs.add(job)
            self._turns.append(job)
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._turns)
                handful = self._take()
            for batch in _batches(self._prepare_all(handful), self._limits):
                self._look(batch)

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
                self._fail(job, Failure(400, "invalid_image", f"image[{index}]: {error}", "image"))
            else:
                yield _Item(job, index, prepared)

    def _look(self, items: Sequence[_Item]) -> None:
        """Run a batch and answer; if it fails, each picture has a run of its own, so that none suffers for another."""
        run = _Run(items, onnxruntime.RunOptions())
        with self._changed:
            self._runs.add(run)
        try:
            outputs = self._graph.run([item.prepared.tensor for item in items], run.options)
        except RUN_ERRORS as error:
            self._end_run(run)
            if len(items) == 1:
                self._fail(items[0].job, _graph_failed(error))
                return
            for item in items:
                if not item.job.ended:
                    self._look([item])
            return
        self._end_run(run)
        for row, item in enumerate(items):
            self._read(item, outputs, row)

    def _end_run(self, run: _Run) -> None:
        with self._changed:
            self._runs.discard(run)

    def _read(self, item: _Item, outputs: Outputs, row: int) -> None:
        job = item.job
        if not all(np.isfinite(outputs[name][row]).all() for name in self._reader.outputs):
            self._fail(job, NOT_FINITE)
            return
        answer = self._reader.read(outputs, row, item.prepared, job.request.threshold)
        with self._changed:
            if job.ended:
                return
            job.answers[item.index] = answer
            if len(job.answers) < len(job.request.images):
                return
            self._end(job)
        _deliver(job)

    def _fail(self, job: _Job, failure: Failure) -> None:
        with self._changed:
            if job.ended:
                return
            self._end(job)
        job.reply.fail(failure)

    def _end(self, job: _Job) -> None:
        job.ended = True
        self._jobs.discard(job)

    def _look_for_leavers(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs)
                left = [job for job in self._jobs if job.reply.gone]
                for job in left:
                    self._end(job)
                for run in self._runs:
                    if all(item.job.ended for item in run.items):
                        run.options.terminate = True
            for job in left:
                job.reply.finish(Usage(0))
            time.sleep(LOOK_SECONDS)


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


def _graph_failed(error: Exception) -> Failure:
    return Failure(500, "engine_error", f"ONNX Runtime could not run the model on this picture: {plain_words(error)}")
