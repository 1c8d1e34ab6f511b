"""A `Reply` for an engine's own proof that it answers; any engine's `prove` may use it."""

import threading

import numpy as np

from berth_runtime.engines.protocol import Failure, LoadFailed, Rows, Usage


class FirstReply:
    """A `Reply` that waits for the proof of an answer."""

    def __init__(self) -> None:
        self.gone = False
        self._ended = threading.Event()
        self._failure: Failure | None = None
        self._chunks = 0

    def chunk(self, data: bytes) -> None:
        """Count it, if there is something in it."""
        self._chunks += bool(data)

    def finish(self, usage: Usage) -> None:  # noqa: ARG002 - the Reply protocol
        """The proof, if there was a token."""
        if self._chunks == 0:
            self._failure = Failure(500, "engine_error", "it ended without a token")
        self._ended.set()

    def rows(self, result: Rows) -> None:
        """The proof, if the vector is one."""
        if not np.isfinite(np.frombuffer(result.values, dtype="<f4")).all():
            self._failure = Failure(500, "engine_error", "its vector has numbers that are not finite")
        self._ended.set()

    def fail(self, failure: Failure) -> None:
        """No proof."""
        self._failure = failure
        self._ended.set()

    def wait(self) -> None:
        """Return once the model has answered; raise `LoadFailed` if it could not."""
        self._ended.wait()
        if self._failure is not None:
            raise LoadFailed(f"the model was loaded, but gave no answer: {self._failure.message}")
