"""The threads of an engine for texts: they tokenise, batch what waits, run the graph and answer.

The same for vectors, pairs and classes. `TextScheduler.submit` is called by `berth_runtime.engines.text_engine`. A
thread that is free first tokenises what has come, so that the window has much to choose from, then takes a batch;
nobody waits for a batch to fill.
"""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from berth_runtime.engines.jobs import Interrupt, Job, Jobs
from berth_runtime.engines.protocol import Failure, Reply
from berth_runtime.engines.text_shape import Floats, Results
from berth_runtime.engines.text_tokens import Input, InputRefused, Tokens
from berth_runtime.engines.text_window import BatchLimits, Window

# Inputs of one request that are tokenised in one go, so that a long list holds nobody else up.
TOKENISED_AT_ONCE: Final = 64

# Tokens of one request in the window, beyond which no more of it is tokenised: a batch finds its neighbours among them.
# The bound is each request's own, so that a long list never keeps a single text out of the window.
WAITING_TOKENS: Final = 1 << 15

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
    """What computes: `TextGraph`, `TorchTexts`, `LitertTextGraph`."""

    def interrupt(self) -> Interrupt:
        """What stops one run."""
        ...

    def run(self, batch: Sequence[Tokens], interrupt: Interrupt) -> Results:
        """A result for each sequence; raises `RunFailed`."""
        ...


class Answer(Protocol):
    """Where the results of one request are collected: a class of `text_answers`."""

    def keep(self, index: int, tokens: Tokens, result: Floats) -> None:
        """Take the result of one input; called once for each, from any thread."""
        ...

    def send(self, reply: Reply, prompt_tokens: int) -> None:
        """Answer and end; called once, when all results are there."""
        ...


class _Job(Job):
    """One request on its way. All but `reply` and `answer` is touched under the scheduler's lock."""

    def __init__(self, inputs: Sequence[Input], answer: Answer, reply: Reply) -> None:
        super().__init__(reply)
        self.inputs = inputs
        self.answer = answer
        self.tokenised = 0
        self.tokenising = False
        self.waiting_tokens = 0
        self.done = 0


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


class TextScheduler:
    """Answers requests with `threads` threads."""

    def __init__(self, encoder: Encoder, graph: Graph, limits: BatchLimits, *, threads: int) -> None:
        self._encoder = encoder
        self._graph = graph
        self._threads = threads
        self._untokenised: deque[_Job] = deque()
        self._window: Window[_Item] = Window(limits)
        self._jobs: Jobs[_Job] = Jobs("input", self._forget)

    def start(self) -> None:
        """Start the threads; they end with the process."""
        for number in range(self._threads):
            threading.Thread(target=self._work, name=f"text-{number}", daemon=True).start()
        self._jobs.start()

    def submit(self, inputs: Sequence[Input], answer: Answer, reply: Reply) -> None:
        """Take one request, of at least one input; `answer` goes to `reply` when it is complete."""
        job = _Job(inputs, answer, reply)
        with self._jobs.changed:
            self._want_tokens(job)
            self._jobs.add(job)

    def _work(self) -> None:
        while True:
            with self._jobs.changed:
                self._jobs.changed.wait_for(lambda: self._untokenised or len(self._window))
                job = self._untokenised.popleft() if self._untokenised else None
                items = self._take() if job is None else []
            if job is not None:
                self._tokenise(job)
            elif items:
                for batch, results in self._jobs.compute(items, self._run, self._graph.interrupt):
                    self._deliver(batch, results)

    def _take(self) -> Sequence[_Item]:
        items = self._window.take(share=self._threads)
        for item in items:
            item.job.waiting_tokens -= item.length
            self._want_tokens(item.job)
        return items

    def _run(self, items: Sequence[_Item], interrupt: Interrupt) -> Results:
        return self._graph.run([item.tokens for item in items], interrupt)

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
            self._jobs.fail(job, error.failure())
            return
        with self._jobs.changed:
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
            self._jobs.changed.notify_all()

    def _deliver(self, items: Sequence[_Item], results: Results) -> None:
        kept = [self._keep(item, result) for item, result in zip(items, results, strict=True)]
        complete: list[_Job] = []
        with self._jobs.changed:
            for item in filter(None, kept):
                job = item.job
                if job.ended:
                    continue
                job.done += 1
                if job.done == len(job.inputs):
                    self._jobs.end(job)
                    complete.append(job)
        for job in complete:
            job.answer.send(job.reply, job.prompt_tokens)

    def _keep(self, item: _Item, result: Floats) -> _Item | None:
        """The item, if its result is one."""
        if not np.isfinite(result).all():
            self._jobs.fail(item.job, NOT_FINITE)
            return None
        item.job.answer.keep(item.index, item.tokens, result)
        return item

    def _forget(self, job: _Job) -> None:
        if job in self._untokenised:
            self._untokenised.remove(job)
