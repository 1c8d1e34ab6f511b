"""What the payloads of frames are: values to bytes and back. Both ends of the connection use it; pure.

JSON by pydantic for what is said once in a worker's life, fixed structs and raw bytes for what is said per token or
per vector.
"""

import struct
from typing import Final

import orjson
from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from berth_runtime.engines.protocol import (
    Capabilities,
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    EmbeddingResult,
    EngineSettings,
    Failure,
    Request,
    Usage,
)
from berth_runtime.frames import Frame, FrameKind


@dataclass(frozen=True)
class LoadOrder:
    """The first thing a worker is told: which engine module to import and what to load."""

    module: str
    settings: EngineSettings


@dataclass(frozen=True)
class Loaded:
    """The weights are in memory."""

    capabilities: Capabilities
    milliseconds: int


@dataclass(frozen=True)
class Answered:
    """The model has answered once; requests may come."""

    milliseconds: int


@dataclass(frozen=True)
class LoadRefused:
    """The engine knows why it can't serve this model."""

    message: str


_LOAD_ORDER: Final = TypeAdapter(LoadOrder)
_LOADED: Final = TypeAdapter(Loaded)
_ANSWERED: Final = TypeAdapter(Answered)
_LOAD_REFUSED: Final = TypeAdapter(LoadRefused)
_FAILURE: Final = TypeAdapter(Failure)
_USAGE: Final = struct.Struct("<QQ")
_VECTORS: Final = struct.Struct("<QQ")

WorkerNews = Loaded | Answered | LoadRefused
Outcome = Usage | EmbeddingResult | Failure


def pack_load(order: LoadOrder) -> bytes:
    """Payload of `LOAD`."""
    return _LOAD_ORDER.dump_json(order)


def unpack_load(payload: bytes) -> LoadOrder:
    """The order in a `LOAD` frame."""
    return _LOAD_ORDER.validate_json(payload)


def pack_news(news: WorkerNews) -> tuple[FrameKind, bytes]:
    """Kind and payload of what a worker tells of itself."""
    match news:
        case Loaded():
            return FrameKind.LOADED, _LOADED.dump_json(news)
        case Answered():
            return FrameKind.ANSWERED, _ANSWERED.dump_json(news)
        case LoadRefused():
            return FrameKind.LOAD_FAILED, _LOAD_REFUSED.dump_json(news)


def unpack_news(frame: Frame) -> WorkerNews:
    """What a worker tells of itself."""
    if frame.kind is FrameKind.LOADED:
        return _LOADED.validate_json(frame.payload)
    if frame.kind is FrameKind.ANSWERED:
        return _ANSWERED.validate_json(frame.payload)
    return _LOAD_REFUSED.validate_json(frame.payload)


def pack_request(request: Request) -> tuple[FrameKind, bytes]:
    """Kind and payload of a request: a byte that says whether it streams and the body, or the inputs as JSON."""
    match request:
        case ChatRequest(body, stream):
            return FrameKind.CHAT, bytes((stream,)) + body
        case CompletionRequest(body, stream):
            return FrameKind.COMPLETION, bytes((stream,)) + body
        case EmbeddingRequest(inputs):
            return FrameKind.EMBEDDING, orjson.dumps(inputs)


def unpack_request(frame: Frame) -> Request:
    """The request in a frame."""
    if frame.kind is FrameKind.EMBEDDING:
        inputs = orjson.loads(frame.payload)
        return EmbeddingRequest(tuple(inputs) if isinstance(inputs[0], str) else tuple(map(tuple, inputs)))
    kind = ChatRequest if frame.kind is FrameKind.CHAT else CompletionRequest
    return kind(frame.payload[1:], bool(frame.payload[0]))


def pack_outcome(outcome: Outcome) -> tuple[FrameKind, bytes]:
    """Kind and payload of the end of an answer; vectors stay raw float32."""
    match outcome:
        case Usage(prompt_tokens, generated_tokens):
            return FrameKind.FINISH, _USAGE.pack(prompt_tokens, generated_tokens)
        case EmbeddingResult(vectors, dimensions, prompt_tokens):
            return FrameKind.VECTORS, _VECTORS.pack(dimensions, prompt_tokens) + vectors
        case Failure():
            return FrameKind.FAIL, _FAILURE.dump_json(outcome)


def unpack_outcome(frame: Frame) -> Outcome:
    """The end of an answer."""
    match frame.kind:
        case FrameKind.FINISH:
            return Usage(*_USAGE.unpack(frame.payload))
        case FrameKind.VECTORS:
            dimensions, prompt_tokens = _VECTORS.unpack_from(frame.payload)
            return EmbeddingResult(frame.payload[_VECTORS.size :], dimensions, prompt_tokens)
        case _:
            return _FAILURE.validate_json(frame.payload)
