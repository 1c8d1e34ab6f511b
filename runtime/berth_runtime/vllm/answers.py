"""What vLLM answers, made into what clients read: its errors in OpenAI's form with our codes; pure.

vLLM ends a stream that failed with an error event and then `[DONE]`, as if it were whole. Here an error is looked for
in each event, so that nobody takes a half answer for a whole one.
"""

import re
from typing import Any, Final

import orjson

from berth_api.openai_errors import ErrorCode
from berth_runtime.engines.protocol import Failure

Json = dict[str, Any]

# A quote inside a JSON string is escaped, so these bytes are never part of an answer's text.
_ERROR: Final = b'data: {"error"'
_ABORTED: Final = b'"finish_reason":"abort"'
_EVENT_END: Final = b"\n\n"
_DATA: Final = b"data: "
_TOO_LONG: Final = re.compile(r"maximum (?:context|model) length|context length|max_model_len|longer than the maximum")
_MAX_MESSAGE: Final = 1000

ENGINE_ERROR: Final = Failure(500, ErrorCode.ENGINE_ERROR, "The engine failed on this request; its log has the reason.")
NO_WORD: Final = Failure(500, ErrorCode.ENGINE_ERROR, "The engine ended without an answer. Try again.")


def engine_died(name: str) -> Failure:
    """For requests that were in an engine which is gone."""
    return Failure(502, ErrorCode.ENGINE_DIED, f"The engine of {name!r} ended. It is being started again; try again.")


def translate_error(status: int, body: bytes) -> Failure:
    """The error that a client gets for one of vLLM's. What a server's fault is made of stays in its log."""
    error = _read_error(body)
    message = str(error.get("message") or "").strip()[:_MAX_MESSAGE]
    param = error.get("param")
    if status == 501:
        return Failure(404, ErrorCode.OPERATION_NOT_SUPPORTED, "This model does not serve such requests.", "model")
    if status == 503:
        return Failure(503, ErrorCode.MODEL_UNAVAILABLE, "The engine takes no requests now. Try again.")
    if status >= 500 or not message:
        return ENGINE_ERROR
    if _TOO_LONG.search(message):
        return Failure(400, ErrorCode.CONTEXT_LENGTH_EXCEEDED, message, "messages" if param is None else str(param))
    status = 400 if status == 422 else status
    return Failure(status, ErrorCode.INVALID_REQUEST, message, None if param is None else str(param))


def find_failure(chunk: bytes) -> Failure | None:
    """The error that stands in a piece of a stream, or None. Pieces are whole events."""
    at = chunk.find(_ERROR)
    if at < 0:
        return NO_WORD if _ABORTED in chunk else None
    body = chunk[at + len(_DATA) :].split(_EVENT_END, 1)[0]
    code = _read_error(body).get("code")
    return translate_error(code if isinstance(code, int) and 400 <= code <= 599 else 500, body)


def split_events(chunk: bytes) -> list[bytes]:
    """The data of each event in a piece of a stream."""
    return [event[len(_DATA) :] for event in chunk.split(_EVENT_END) if event.startswith(_DATA)]


def _read_error(body: bytes) -> Json:
    """The error object, whether it stands in `error` or is the body itself; empty where it is neither."""
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    error = read.get("error", read) if isinstance(read, dict) else {}
    return error if isinstance(error, dict) else {}
