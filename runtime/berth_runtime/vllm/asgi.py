"""The few things that are done with ASGI itself: read a body, send an answer or an error, ask vLLM's own routes."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from berth_api.openai_errors import MAX_BODY_BYTES, ErrorCode
from berth_runtime.dialects.table import error_body_at
from berth_runtime.engines.protocol import Failure
from berth_runtime.openai.errors import ApiError

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON_TYPE: Final = {"content-type": "application/json"}


class ClientLeft(Exception):  # noqa: N818 - not an error: there is nobody to tell
    """The client has gone before its request was whole."""


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body, bounded. Raises `ApiError` or `ClientLeft`."""
    length = header_of(scope, "content-length")
    size, parts, more = 0, [], True
    if length is not None and length.isdecimal() and int(length) > MAX_BODY_BYTES:
        raise _too_large()
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            raise _too_large()
        more = message.get("more_body", False)
    return b"".join(parts)


async def read_answer(app: Application, scope: Scope, path: str) -> bytes:
    """The body of a GET of vLLM's own, asked without the client's headers; empty where it fails."""
    body, status = b"", 0

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal body, status
        status = message.get("status", status)
        body += message.get("body", b"")

    inner = {**call_scope(scope, path, b""), "method": "GET", "headers": []}
    with contextlib.suppress(OSError):
        await app(inner, receive, send)
    return body if status == 200 else b""


async def send_error(send: Send, error: ApiError, headers: Mapping[str, str] | None = None, *, path: str = "") -> None:
    """A whole answer with an error, as whoever asks at this path reads it."""
    headers = {**JSON_TYPE, **(headers or {})}
    if error.retry_after_seconds is not None:
        headers["retry-after"] = str(round(error.retry_after_seconds))
    if error.failure.code == ErrorCode.SHUTTING_DOWN:
        headers["connection"] = "close"  # the next try comes by another connection, to another replica
    await send_whole(send, error.failure.status, error_body_at(path, error.failure), headers)


def call_scope(scope: Scope, path: str, body: bytes) -> Scope:
    """The scope of a call to vLLM's own route: none of the client's headers, which could choose ids or formats."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    return {
        **scope,
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
    }


def head(status: int, headers: dict[str, str]) -> Message:
    """The message that begins an answer."""
    pairs = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": pairs}


async def send_whole(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    """A whole answer at once."""
    await send(head(status, {**headers, "content-length": str(len(body))}))
    await send({"type": "http.response.body", "body": body, "more_body": False})


def header_of(scope: Scope, name: str) -> str | None:
    """The first header of that name."""
    wanted = name.encode()
    return next((value.decode("latin-1") for key, value in scope["headers"] if key.lower() == wanted), None)


def _too_large() -> ApiError:
    return ApiError(Failure(413, ErrorCode.REQUEST_TOO_LARGE, f"The body is larger than {MAX_BODY_BYTES >> 20} MiB."))
