"""The contract between a worker process and the engine inside it, and the values that cross it.

`berth_runtime.worker` drives an `Engine`; each engine is one module of this folder (with private neighbours where
one file is not enough) and one line in the table of `berth_runtime.engines`. Nothing here imports an engine, so the
HTTP process may import these values too: it never loads native engine code.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from berth_api.artifact import Task
from berth_api.errors import BerthError
from berth_api.trust import NO_TRUST, Trust
from berth_store.detect import DetectedModel


class Operation(StrEnum):
    """What a request asks of an engine; one per OpenAI path."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    RERANK = "rerank"
    CLASSIFICATION = "classification"
    IMAGE_CLASSIFICATION = "image classification"
    OBJECT_DETECTION = "object detection"
    TEXT_RECOGNITION = "text recognition"


@dataclass(frozen=True)
class DraftSettings:
    """A draft model: the first file of its weights, how many tokens it guesses at a time at most, and the probability
    below which it stops.
    """

    weights: Path
    tokens: int
    min_probability: float


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """What an engine is started with.

    `model` is what detection found; its `chat_template` is replaced already where the user gave another. `name` is
    what the model is served under, `task` what it is to do (never `Auto`; the user's word wins over detection's).
    `context_length` and `parallel_sequences` are None where the user left the choice to the engine. `threads` is the
    number of cores that this process may use (cgroup and affinity are counted in), `memory_bytes` its memory. `args`
    are the `--engine-arg` pairs; an engine raises `LoadFailed` for one that it does not know. `adapters` are files by
    the names under which they are asked for, as `<model>:<adapter>`. `draft` guesses tokens ahead. `trust` says what of
    the artifact may run.
    """

    model: DetectedModel
    name: str
    task: Task
    threads: int
    memory_bytes: int
    context_length: int | None = None
    parallel_sequences: int | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    adapters: Mapping[str, Path] = field(default_factory=dict)
    draft: DraftSettings | None = None
    trust: Trust = NO_TRUST


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a loaded engine can do; the HTTP process admits and refuses requests by it.

    `parameters` names, for each operation that the engine serves, the request fields that have an effect (an
    operation that is absent is not served); what the request is about (`model`,
    `messages`, `prompt`, `input`, `query`, `documents`, `image`) is understood, and so is what the HTTP process does
    itself (`top_n`, `top_k`, `encoding_format`) or hands over in the request (`threshold`). A known OpenAI
    parameter that is missing here is refused by name, so an engine lists only what it honours. `dimensions` is listed
    where the first numbers of a vector are a vector too (Matryoshka); the HTTP process cuts it then.
    `parallel_requests` is how many requests the engine works on at once; more wait in the HTTP process.
    `context_length` is the longest sequence of one request in tokens, `dimensions` the length of an embedding,
    `labels` the names of a classifier's or detector's classes by index. `pictures` says whether the messages of a chat
    may have some.
    """

    parameters: Mapping[Operation, frozenset[str]]
    parallel_requests: int
    context_length: int | None = None
    dimensions: int | None = None
    labels: tuple[str, ...] = ()
    pictures: bool = False


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A validated chat completion: `body` is OpenAI JSON with the served name as `model` and only known fields.

    The served name is the model's, or `<model>:<adapter>`.
    """

    body: bytes
    stream: bool


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A validated text completion: `body` is OpenAI JSON with the served name as `model` and only known fields."""

    body: bytes
    stream: bool


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts to embed, or their token ids; never empty, and each input is not empty."""

    inputs: tuple[str, ...] | tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """How well each document answers the query; neither is empty, and there is at least one document."""

    query: str
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClassificationRequest:
    """Texts to be classified, as a whole or token by token: that is the model's task. None of them is empty."""

    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """Pictures as clients sent them (PNG, JPEG, …: nothing is known of their bytes), and what is asked of them.

    `operation` is one of the operations on pictures. A detector leaves out what it is less sure of than `threshold`
    (0 to 1); None leaves that to the engine.
    """

    operation: Operation
    images: tuple[bytes, ...]
    threshold: float | None = None


Request = ChatRequest | CompletionRequest | EmbeddingRequest | RerankRequest | ClassificationRequest | ImageRequest


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request, summed over its choices."""

    prompt_tokens: int
    generated_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """A matrix of little-endian float32, row after row in the order of the inputs: `4 * columns` bytes a row.

    Embeddings: the vectors, `columns` is their length. Rerank: one column, the score of each document, 0 to 1.
    Classification of whole texts or pictures: the probability of each of `Capabilities.labels`.
    """

    values: bytes
    columns: int
    prompt_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one request was not carried out, as the OpenAI error that the client gets.

    `status` is the HTTP status (400 for the client's fault, 500 for the engine's), `code` the stable word that
    clients switch on, `param` the wrong field if one is to blame.
    """

    status: int
    code: str
    message: str
    param: str | None = None


OTHER_OPERATION: Final = Failure(400, "unsupported_operation", "This model does other work than this request asks for.")
"""For a request that is not of the `Capabilities`; the HTTP process lets none through, so no client reads it."""


class LoadFailed(BerthError):  # noqa: N818 - reads as the state it becomes
    """The engine can't serve this model; the message is the sentence that `/status` shows."""


class Reply(Protocol):
    """Where an engine sends the answer to one request.

    Every method may be called from any thread, never blocks for long, and is ignored once the reply has ended. A
    reply ends with exactly one call of `finish`, `rows` or `fail`; a reply whose client is `gone` must be ended
    too (with `finish`, as far as it came): only then its place is free for the next request.
    """

    @property
    def gone(self) -> bool:
        """True once nobody waits any more; the engine looks at it as often as it can and stops the work."""
        ...

    def chunk(self, data: bytes) -> None:
        """Send one JSON value without SSE framing: an event of a stream, or the one body of a plain answer.

        What is not a matrix is answered by one chunk and `finish`: for tokens that were classified, what
        `berth_runtime.openai.classification` reads; for objects and texts found in pictures, what
        `berth_runtime.openai.images` reads.
        """
        ...

    def finish(self, usage: Usage) -> None:
        """End an answer that was sent in chunks."""
        ...

    def rows(self, result: Rows) -> None:
        """Answer and end a request whose answer is a matrix."""
        ...

    def fail(self, failure: Failure) -> None:
        """End with an error; after the first chunk of a stream it becomes an SSE error event."""
        ...


class Engine(Protocol):
    """One loaded model.

    Life: `load()`, `prove()`, any number of `submit()`, then the process ends. An engine is created by the function
    `create(settings: EngineSettings) -> Engine` of its module, which does no work.

    An exception in the engine's own threads that is no single request's fault ends the process (`os._exit`), never
    leaves it alive without answers: the parent reports and restarts it. There is no close: the worker flushes and
    ends with `os._exit`, because native unload can hang.
    """

    def load(self) -> Capabilities:
        """Block until the weights are in memory; say what the engine can do.

        Raises `LoadFailed` where the reason is known. Where only the native library knows it, any exception will do:
        the library's words on stderr are read by the parent process and made into a sentence.
        """
        ...

    def prove(self) -> None:
        """Block until the model has answered once, one token or one vector, by the same code as a request.

        Raises `LoadFailed` if it does not.
        """
        ...

    def submit(self, request: Request, reply: Reply) -> None:
        """Take one request; called from one thread, returns at once, and never raises for a bad request.

        Whatever happens to a request is told to its `reply`. The engine owns the threads that do the work, and its
        batching: many requests may be submitted before the first has ended, at most
        `Capabilities.parallel_requests`, counting those whose client is gone until their reply has ended.
        """
        ...
