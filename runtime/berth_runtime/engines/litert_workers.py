"""The threads that look at pictures on LiteRT: each has an interpreter of its own, and takes one after the other.

`PictureWorkers.submit` is called by `berth_runtime.engines.litert_pictures`. Pictures are taken from all requests in
turn, so that a long list holds nobody up.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import orjson

from berth_runtime.engines.litert_answers import NotFiniteError
from berth_runtime.engines.litert_graph import RUN_ERRORS, Numbers, Outputs, plain_words
from berth_runtime.engines.pictures import BadPicture, Prepared
from berth_runtime.engines.protocol import Failure, ImageRequest, Reply, Rows, Usage

Answer = Numbers | dict[str, Any]

NOT_FINITE: Final = Failure(
    500,
    "engine_error",
    "the model's answer for this picture holds values that are no numbers; the weights may be damaged",
)


class Model(Protocol):
    """What looks at a picture: `LitertModel`."""

    def run(self, tensor: Numbers) -> Outputs:
        """The outputs for one picture; raises `RUN_ERRORS`."""
        ...


@dataclass(eq=False)
class _Job:
    """One request on its way; all but `request` and `reply` is touched under the lock."""

    request: ImageRequest
    reply: Reply
    taken: int = 0
    ended: bool = False
    answers: dict[int, Answer] = field(default_factory=dict)


class PictureWorkers:
    """Answers requests about pictures, with one thread for each of `models`.

    `read` makes the answer of a model's outputs. Raises `NotFiniteError` where they are no numbers.
    """

    def __init__(
        self,
        models: Sequence[Model],
        prepare: Callable[[bytes], Prepared],
        read: Callable[[Outputs, Prepared, float | None], Answer],
    ) -> None:
        self._models = models
        self._prepare = prepare
        self._read = read
        self._changed = threading.Condition()
        self._turns: deque[_Job] = deque()

    def start(self) -> None:
        """Start the threads; they end with the process."""
        for number, model in enumerate(self._models):
            threading.Thread(target=self._work, args=(model,), name=f"litert-{number}", daemon=True).start()

    def submit(self, request: ImageRequest, reply: Reply) -> None:
        """Take one request; the answer goes to `reply`."""
        with self._changed:
            self._turns.append(_Job(request, reply))
            self._changed.notify()

    def _work(self, model: Model) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._turns)
                job, index = self._take()
            if job.reply.gone:
                self._end(job, lambda reply: reply.finish(Usage(0)))
            else:
                self._look(model, job, index)

    def _take(self) -> tuple[_Job, int]:
        """The next picture of the request whose turn it is, which then stands last again."""
        job = self._turns.popleft()
        index, job.taken = job.taken, job.taken + 1
        if job.taken < len(job.request.images):
            self._turns.append(job)
            self._changed.notify()
        return job, index

    def _look(self, model: Model, job: _Job, index: int) -> None:
        try:
            prepared = self._prepare(job.request.images[index])
            outputs = model.run(prepared.tensor)
        except BadPicture as error:
            failure = Failure(400, "invalid_image", f"image[{index}]: {error}", "image")
        except RUN_ERRORS as error:
            failure = Failure(
                500, "engine_error", f"LiteRT could not run the model on this picture: {plain_words(error)}"
            )
        else:
            try:
                answer = self._read(outputs, prepared, job.request.threshold)
            except NotFiniteError:
                failure = NOT_FINITE
            else:
                self._keep(job, index, answer)
                return
        self._end(job, lambda reply: reply.fail(failure))

    def _keep(self, job: _Job, index: int, answer: Answer) -> None:
        with self._changed:
            job.answers[index] = answer
            if len(job.answers) < len(job.request.images):
                return
        self._end(job, lambda reply: _answer(reply, [job.answers[at] for at in range(len(job.answers))]))

    def _end(self, job: _Job, tell: Callable[[Reply], None]) -> None:
        """End the request, once, and take it out of the turns."""
        with self._changed:
            if job.ended:
                return
            job.ended = True
            if job in self._turns:
                self._turns.remove(job)
        tell(job.reply)


def _answer(reply: Reply, answers: Sequence[Answer]) -> None:
    rows = [answer for answer in answers if isinstance(answer, np.ndarray)]
    if rows:
        reply.rows(Rows(np.stack(rows).astype("<f4").tobytes(), len(rows[0])))
        return
    reply.chunk(orjson.dumps(answers))
    reply.finish(Usage(0))
