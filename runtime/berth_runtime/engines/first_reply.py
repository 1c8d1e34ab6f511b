"""An engine's own proof that it answers: the least request and the `Reply` to it, for the `prove` of any engine."""

import threading

import numpy as np
import orjson

from berth_api.artifact import Task
from berth_runtime.engines.protocol import (
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    Failure,
    LoadFailed,
    Request,
    RerankRequest,
    Rows,
    Usage,
)


def proof_request(task: Task, name: str) -> Request:
    """The least work of a task; a chat is proved as one, because its template runs code that may fail."""
    match task:
        case Task.EMBEDDING:
            return EmbeddingRequest(("a",))
        case Task.RERANK:
            return RerankRequest("a", ("a",))
        case Task.CHAT:
            messages = [{"role": "user", "content": "a"}]
            return ChatRequest(orjson.dumps({"messages": messages, "max_tokens": 1, "model": name}), stream=False)
        case _:
            body = {"prompt": "a", "max_tokens": 1, "model": name}
            return CompletionRequest(orjson.dumps(body), stream=False)


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
