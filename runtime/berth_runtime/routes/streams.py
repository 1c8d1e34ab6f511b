"""How an answer leaves: the head is held back until there is a first event, then events go out as they come.

So an engine that fails before its first event has sent nothing, and its error is a status that a gateway can retry.
One that fails later gets an error event and a connection that is cut without an end: nobody can take it for whole.
"""

import time
import uuid
from typing import Final

from aiohttp import HttpVersion11, web

from berth_runtime.engines.protocol import Failure, Request, Rows, Usage
from berth_runtime.exchange import Exchange, Sink
from berth_runtime.openai.answers import Envelope, broken_answer
from berth_runtime.openai.errors import ApiError
from berth_runtime.openai.form import OPENAI, AnswerForm
from berth_runtime.openai.parameters import IGNORED_HEADER
from berth_runtime.routes.keys import IGNORED, METRICS, MODEL, STARTED
from berth_runtime.served import Served

NO_WORD: Final = Failure(500, "engine_error", "The engine ended without an answer. Try again.")
STREAM_HEADERS: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


async def send_answer(
    request: web.Request, exchange: Exchange, *, stream: bool, form: AnswerForm = OPENAI
) -> web.StreamResponse:
    """Send what the engine says, as `form` writes it."""
    try:
        if stream:
            return await send_stream(request, exchange, form)
        return await send_whole(request, exchange, form)
    finally:
        exchange.leave()


async def send_whole(request: web.Request, exchange: Exchange, form: AnswerForm) -> web.Response:
    """The one body, once the engine has ended without an error."""
    body, _ = await take_whole(request, exchange)
    if not body:
        raise ApiError(NO_WORD)
    return render_json(request, form.whole(body))


async def ask_whole(request: web.Request, model: Served, asked: Request) -> tuple[bytes, Usage | Rows]:
    """Have the engine work on a request whose answer is no stream: what it said, and how it ended."""
    exchange = await model.open(asked)
    try:
        return await take_whole(request, exchange)
    finally:
        exchange.leave()


async def ask_rows(request: web.Request, model: Served, asked: Request) -> Rows:
    """Have the engine work on a request whose answer is a matrix."""
    _, outcome = await ask_whole(request, model, asked)
    if not isinstance(outcome, Rows):
        raise broken_answer("it is no matrix")
    return outcome


async def take_whole(request: web.Request, exchange: Exchange) -> tuple[bytes, Usage | Rows]:
    """All that the engine says, once it has ended; raises `ApiError` where it could not."""
    body = b""
    while True:
        chunks, outcome = await exchange.take()
        body += b"".join(chunks)
        if isinstance(outcome, Failure):
            raise ApiError(outcome)
        if outcome is not None:
            count_first_event(request)
            return body, outcome


async def send_stream(request: web.Request, exchange: Exchange, form: AnswerForm) -> web.StreamResponse:
    """Server-sent events."""
    chunks, outcome = await exchange.take()
    if isinstance(outcome, Failure) and not chunks:
        raise ApiError(outcome)
    if not chunks:
        raise ApiError(NO_WORD)
    count_first_event(request)
    response = web.StreamResponse(headers=STREAM_HEADERS | ignored_header(request))
    await response.prepare(request)
    await response.write(form.events(chunks))  # the head goes out with it
    if outcome is None:
        outcome = await exchange.pour(build_sink(request, form))
    if isinstance(outcome, Failure):
        await response.write(form.broken(outcome))
        if request.transport is not None:
            request.transport.close()  # where the end of the body should be
        return response
    await response.write(form.end())
    await response.write_eof()
    return response


def build_sink(request: web.Request, form: AnswerForm) -> Sink:
    """Writes events to the client's connection at once, as aiohttp's own writer would, but without its task."""
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has left")
    chunked = request.version >= HttpVersion11

    def write(chunks: list[bytes]) -> int:
        if transport.is_closing():
            return 0
        events = form.events(chunks)
        if not events:
            return transport.get_write_buffer_size()  # a piece without length would be the end of the body
        transport.write(b"%x\r\n%b\r\n" % (len(events), events) if chunked else events)
        return transport.get_write_buffer_size()

    return write


def render_json(request: web.Request, body: bytes) -> web.Response:
    """A plain answer."""
    return web.Response(body=body, content_type="application/json", headers=ignored_header(request))


def new_id(prefix: str) -> str:
    """A name for one answer, as clients find it in its `id`."""
    return f"{prefix}-{uuid.uuid4().hex}"


def new_envelope(prefix: str, model: Served) -> Envelope:
    """What stands around an answer that is a list."""
    return Envelope(new_id(prefix), int(time.time()), model.name)


def ignored_header(request: web.Request) -> dict[str, str]:
    """Tells a client which of its fields nobody knows, in letters that a header may have."""
    names = [name for name in request.get(IGNORED, ()) if name.isascii() and name.isprintable()]
    return {IGNORED_HEADER: ", ".join(names)[:500]} if names else {}


def count_first_event(request: web.Request) -> None:
    """The head goes out now."""
    resource = request.match_info.route.resource
    assert resource is not None
    request.app[METRICS].count_first_event(
        model=request[MODEL], endpoint=resource.canonical, seconds=time.monotonic() - request[STARTED]
    )
