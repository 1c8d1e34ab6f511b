"""The threads of an engine for texts: they tokenise, batch what waits, run the graph and answer.

The same for vectors, pairs and classes. `TextScheduler.submit` is called by `berth_runtime.engines.text_engine`. A
thread that is free first tokenises what has come, so that the window has much to choose from, then takes a batch;
nobody waits for a batch to fill.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import onnxruntime

from berth_runtime.engines.onnx_session import RUN_ERRORS, plain_words
from berth_runtime.engines.protocol import Failure, Reply, Usage
from berth_runtime.engines.text_graph import Floats, Results
from berth_runtime.engines.text_tokens import Input, InputRefused, Tokens
from berth_runtime.engines.text_window import BatchLimits, Window

# Inputs of one request that are tokenised in one go, so that a long list holds nobody else up.
TOKENISED_AT_ONCE: Final = 64

# Tokens of one request in the window, beyond which no more of it is tokenised: a batch finds its neighbours among them.
# The bound is each request's own, so that a long list never keeps a single text out of the window.
WAITING_TOKENS: Final = 1 << 15

# How often it is looked whether clients have left. Nobody tells: a reply has to be asked.
LOOK_SECONDS: Final = 0.05


NOT_FINITE: Final = Failure(
    500,
    "engine_error",
    "what the model says of this input holds values that are no numbers; the weights may be damaged",
)


class Encoder(Protocol):
    """What tokenises: `TextTokenizer`."""

    def encode(self, inputs: Sequence[Input], *, first: int = 0) -> list[Tokens]:
        """A sequence for each input; raises `InputRefused`."""
        ...


class Graph(Protocol):
    """What computes: `TextGraph`."""

    def run(self, batch: Sequence[Tokens], options: onnxruntime.RunOptions) -> Results:
        """A result for each sequence; raises one of `RUN_ERRORS`."""
        ...


class Answer(Protocol):
    """Where the results of one request are collected: a class of `text_answers`."""

    def keep(self, index: int, tokens: Tokens, result: Floats) -> None:
        """Take the result of one input; called once for each, from any thread."""
        ...

    def send(self, reply: Reply, prompt_tokens: int) -> None:
        """Answer and end; called once, when all results are there."""
        ...


class _Job:
    """One request on its way. All but `reply` and `answer` is touched under the scheduler's lock."""

    def __init__(self, inputs: Sequence[Input], answer: Answer, reply: Reply) -> None:
        self.inputs = inputs
        self.answer = answer
        self.reply = reply
        self.tokenised = 0
        self.tokenising = False
        self.waiting_tokens = 0
        self.done = 0
        self.prompt_tokens = 0
        self.ended = False


@dataclass(frozen=True, slots=True)
class _Item:
    """One sequence of a request in the window."""

    job: _Job
    index: int
    tokens: Tokens

    @property
    def length(self) -> int:
        return len(self.tokens)

    @property
    def request(self) -> _Job:
        return self.job

    @property
    def dropped(self) -> bool:
        return self.job.ended


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """A batch that is in the graph now."""

    items: Sequence[_Item]
    options: onnxruntime.RunOptions


class TextScheduler:
    """Answers requests with `threads` threads."""

    def __init__(self, encoder: Encoder, graph: Graph, limits: BatchLimits, *, threads: int) -> None:
        self._encoder = encoder
        self._graph = graph
        self._threads = threads
        self._changed = threading.Condition()
        self._untokenised: deque[_Job] = deque()
        self._window: Window[_Item] = Window(limits)
        self._jobs: set[_Job] = set()
        self._runs: set[_Run] = set()

    def start(self) -> None:
        """Start the threads; they end with the process."""
        for number in range(self._threads):
            threading.Thread(target=self._work, name=f"text-{number}", daemon=True).start()
        threading.Thread(target=self._look_for_leavers, name="text-leavers", daemon=True).start()

    def submit(self, inputs: Sequence[Input], answer: Answer, reply: Reply) -> None:
        """Take one request, of at least one input; `answer` goes to `reply` when it is complete."""
        job = _Job(inputs, answer, reply)
        with self._changed:
            self._jobs.add(job)
            self._want_tokens(job)
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._untokenised or len(self._window))
                job = self._untokenised.popleft() if self._untokenised else None
                run = self._begin_run() if job is None else None
            if job is not None:
                self._tokenise(job)
            elif run is not None:
                self._compute(run)

    def _begin_run(self) -> _Run | None:
        items = self._window.take(share=self._threads)
        if not items:
            return None
        for item in items:
            item.job.waiting_tokens -= item.length
            self._want_tokens(item.job)
        run = _Run(items, onnxruntime.RunOptions())
        self._runs.add(run)
        return run

    def _want_tokens(self, job: _Job) -> None:
        """Let more of the request be tokenised, if there is more and little of it waits; by one thread at a time."""
        more = job.tokenised < len(job.inputs) and job.waiting_tokens < WAITING_TOKENS
        if more and not job.tokenising and not job.ended:
            job.tokenising = True
            self._untokenised.append(job)

    def _tokenise(self, job: _Job) -> None:
        first = job.tokenised
        inputs = job.inputs[first : first + TOKENISED_AT_ONCE]
        try:
            sequences = self._encoder.encode(inputs, first=first)
        except InputRefused as error:
            self._fail(job, error.failure())
            return
        with self._changed:
            if job.ended:
                return
            tokens = sum(map(len, sequences))
            job.tokenised += len(sequences)
            job.prompt_tokens += tokens
            job.waiting_tokens += tokens
            for index, each in enumerate(sequences, start=first):
                self._window.add(_Item(job, index, each))
            job.tokenising = False
            self._want_tokens(job)
            self._changed.notify_all()

    def _compute(self, run: _Run) -> None:
        try:
            results = self._graph.run([item.tokens for item in run.items], run.options)
        except RUN_ERRORS as error:
            self._end_run(run)
            self._compute_apart(run.items, error)
            return
        self._end_run(run)
        self._deliver(run.items, results)

    def _compute_apart(self, items: Sequence[_Item], error: Exception) -> None:
        """A batch failed: whoever caused it alone shall suffer, so each sequence has a run of its own."""
        waiting = [item for item in items if not item.dropped]
        if len(items) == 1:
            for item in waiting:
                self._fail(item.job, _graph_failed(error))
            return
        for item in waiting:
            run = _Run([item], onnxruntime.RunOptions())
            with self._changed:
                self._runs.add(run)
            self._compute(run)

    def _end_run(self, run: _Run) -> None:
        with self._changed:
            self._runs.discard(run)

    def _deliver(self, items: Sequence[_Item], results: Results) -> None:
        kept = [self._keep(item, result) for item, result in zip(items, results, strict=True)]
        complete: list[_Job] = []
        with self._changed:
            for item in filter(None, kept):
                job = item.job
                if job.ended:
                    continue
                job.done += 1
                if job.done == len(job.inputs):
                    self._end(job)
                    complete.append(job)
        for job in complete:
            job.answer.send(job.reply, job.prompt_tokens)

    def _keep(self, item: _Item, result: Floats) -> _Item | None:
        """The item, if its result is one."""
        if not np.isfinite(result).all():
            self._fail(item.job, NOT_FINITE)
            return None
        item.job.answer.keep(item.index, item.tokens, result)
        return item

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
                    if job in self._untokenised:
                        self._untokenised.remove(job)
                for run in self._runs:
                    if all(item.dropped for item in run.items):
                        run.options.terminate = True
            for job in left:
                job.reply.finish(Usage(job.prompt_tokens))
            time.sleep(LOOK_SECONDS)


def _graph_failed(error: Exception) -> Failure:
    return Failure(500, "engine_error", f"ONNX Runtime could not run the model on this input: {plain_words(error)}")
