"""What the payloads of frames are: values to bytes and back. Both ends of the connection use it; pure.

JSON by pydantic for what is said once in a worker's life, fixed structs and raw bytes for what is said per token or
per vector.
"""

import struct
from itertools import accumulate, pairwise
from typing import Final

import orjson
from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from berth_runtime.engines.protocol import (
    Capabilities,
    ChatRequest,
    ClassificationRequest,
    CompletionRequest,
    EmbeddingRequest,
    EngineSettings,
    Failure,
    ImageRequest,
    Operation,
    Request,
    RerankRequest,
    Rows,
    Usage,
)
from berth_runtime.frames import BrokenFrame, Frame, FrameKind


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
_ROWS: Final = struct.Struct("<QQ")
_LENGTH: Final = struct.Struct("<I")

WorkerNews = Loaded | Answered | LoadRefused
Outcome = Usage | Rows | Failure


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
    """Kind and payload of a request.

    Generation: a byte that says whether it streams, and the body. Texts: as JSON. Pictures: the length of a JSON head
    (u32), the head (operation, threshold, byte length of each picture), and the pictures one after the other.
    """
    match request:
        case ChatRequest(body, stream):
            return FrameKind.CHAT, bytes((stream,)) + body
        case CompletionRequest(body, stream):
            return FrameKind.COMPLETION, bytes((stream,)) + body
        case EmbeddingRequest(inputs):
            return FrameKind.EMBEDDING, orjson.dumps(inputs)
        case RerankRequest(query, documents):
            return FrameKind.RERANK, orjson.dumps([query, documents])
        case ClassificationRequest(inputs):
            return FrameKind.CLASSIFICATION, orjson.dumps(inputs)
        case ImageRequest(operation, images, threshold):
            head = orjson.dumps([operation, threshold, [len(image) for image in images]])
            return FrameKind.IMAGES, b"".join((_LENGTH.pack(len(head)), head, *images))


def unpack_request(frame: Frame) -> Request:
    """The request in a frame."""
    match frame.kind:
        case FrameKind.CHAT:
            return ChatRequest(frame.payload[1:], bool(frame.payload[0]))
        case FrameKind.COMPLETION:
            return CompletionRequest(frame.payload[1:], bool(frame.payload[0]))
        case FrameKind.EMBEDDING:
            inputs = orjson.loads(frame.payload)
            return EmbeddingRequest(tuple(inputs) if isinstance(inputs[0], str) else tuple(map(tuple, inputs)))
        case FrameKind.RERANK:
            query, documents = orjson.loads(frame.payload)
            return RerankRequest(query, tuple(documents))
        case FrameKind.CLASSIFICATION:
            return ClassificationRequest(tuple(orjson.loads(frame.payload)))
        case FrameKind.IMAGES:
            return _unpack_images(frame.payload)
    raise BrokenFrame(f"a frame of kind {frame.kind} is no request")


def _unpack_images(payload: bytes) -> ImageRequest:
    (length,) = _LENGTH.unpack_from(payload)
    start = _LENGTH.size + length
    operation, threshold, sizes = orjson.loads(payload[_LENGTH.size : start])
    ends = list(accumulate(sizes, initial=start))
    images = tuple(payload[begin:end] for begin, end in pairwise(ends))
    return ImageRequest(Operation(operation), images, threshold)


def pack_outcome(outcome: Outcome) -> tuple[FrameKind, bytes]:
    """Kind and payload of the end of an answer; rows stay raw float32."""
    match outcome:
        case Usage(prompt_tokens, generated_tokens):
            return FrameKind.FINISH, _USAGE.pack(prompt_tokens, generated_tokens)
        case Rows(values, columns, prompt_tokens):
            return FrameKind.ROWS, _ROWS.pack(columns, prompt_tokens) + values
        case Failure():
            return FrameKind.FAIL, _FAILURE.dump_json(outcome)


def unpack_outcome(frame: Frame) -> Outcome:
    """The end of an answer."""
    match frame.kind:
        case FrameKind.FINISH:
            return Usage(*_USAGE.unpack(frame.payload))
        case FrameKind.ROWS:
            columns, prompt_tokens = _ROWS.unpack_from(frame.payload)
            return Rows(frame.payload[_ROWS.size :], columns, prompt_tokens)
        case _:
            return _FAILURE.validate_json(frame.payload)
