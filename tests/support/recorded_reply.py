"""A `Reply` that keeps what an engine says, for tests of engines without a worker round them."""

import threading

import numpy as np
from numpy.typing import NDArray

from berth_runtime.engines.protocol import Failure, Rows, Usage

DEADLINE_SECONDS = 60


class RecordedReply:
    """Set `gone` to leave; `wait()` returns when the reply has ended."""

    def __init__(self) -> None:
        self.gone = False
        self.chunks: list[bytes] = []
        self.usage: Usage | None = None
        self.result: Rows | None = None
        self.failure: Failure | None = None
        self.ends = 0
        self._ended = threading.Event()

    def chunk(self, data: bytes) -> None:
        self.chunks.append(data)

    def finish(self, usage: Usage) -> None:
        self.usage = usage
        self._end()

    def rows(self, result: Rows) -> None:
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

    def matrix(self) -> NDArray[np.float32]:
        """The vectors of the answer, one a row."""
        result = self.wait().result
        assert result is not None, self.failure or self.usage
        return np.frombuffer(result.values, dtype="<f4").reshape(-1, result.columns)

    def refused(self) -> Failure:
        """The failure that ended the reply."""
        failure = self.wait().failure
        assert failure is not None, "it was answered"
        return failure
