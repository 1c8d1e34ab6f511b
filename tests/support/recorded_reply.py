"""A `Reply` that keeps what an engine says, for tests of engines without a worker round them."""

import threading

import numpy as np
from numpy.typing import NDArray

from berth_runtime.engines.protocol import EmbeddingResult, Failure, Usage

DEADLINE_SECONDS = 60


class RecordedReply:
    """Set `gone` to leave; `wait()` returns when the reply has ended."""

    def __init__(self) -> None:
        self.gone = False
        self.chunks: list[bytes] = []
        self.usage: Usage | None = None
        self.result: EmbeddingResult | None = None
        self.failure: Failure | None = None
        self.ends = 0
        self._ended = threading.Event()

    def chunk(self, data: bytes) -> None:
        self.chunks.append(data)

    def finish(self, usage: Usage) -> None:
        self.usage = usage
        self._end()

    def vectors(self, result: EmbeddingResult) -> None:
        self.result = result
        self._end()

    def fail(self, failure: Failure) -> None:
        self.failure = failure
        self._end()

    def _end(self) -> None:
        self.ends += 1
        self._ended.set()

    def wait(self) -> "RecordedReply":
        """Wait until the reply has ended, with a deadline."""
        assert self._ended.wait(DEADLINE_SECONDS), "the reply did not end"
        return self

    def rows(self) -> NDArray[np.float32]:
        """The vectors of the answer, one a row."""
        result = self.wait().result
        assert result is not None, self.failure or self.usage
        return np.frombuffer(result.vectors, dtype="<f4").reshape(-1, result.dimensions)

    def refused(self) -> Failure:
        """The failure that ended the reply."""
        failure = self.wait().failure
        assert failure is not None, "it was answered"
        return failure
