"""What a server of files can do wrong. The servers of the tests (`lying_site`) misbehave so for chosen requests.

A lie is an async function from (request, content, span) to a response; a lie that raises `Reset` breaks the connection.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable

from aiohttp import web

from berth_store.ranges import Range

# What an answer has to bear besides its content, for lies that begin it themselves.
HEADERS = web.RequestKey("headers", dict[str, str])
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


class Reset(Exception):  # noqa: N818 - what happens to the connection
    """Break the connection without another word."""


Lie = Callable[[web.Request, bytes, Range | None], Awaitable[web.StreamResponse]]


async def honest(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
    """The whole blob, or exactly the range, as the specification says."""
    return web.Response(body=content) if span is None else partial(content, span)


async def ignore_range(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
    """Status 200 and the whole blob, whatever was asked."""
    return web.Response(body=content)


async def another_range(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
    """A true Content-Range, but of the beginning instead of what was asked."""
    return partial(content, Range(0, span.length)) if span else web.Response(body=content)


async def false_content_range(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
    """The bytes of the beginning under the Content-Range that was asked for: only the digest can tell."""
    if span is None:
        return web.Response(body=content)
    return partial(content, Range(0, span.length), says=span)


async def another_size(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
    """A Content-Range that gives the blob another size."""
    if span is None:
        return web.Response(body=content)
    response = partial(content, span)
    response.headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{len(content) + 1}"
    return response


async def fewer_bytes(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
    """A shorter range than was asked for, and truthfully so."""
    return partial(content, Range(span.start, span.start + span.length // 2)) if span else web.Response(body=content)


async def backward_range(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
    """A Content-Range that ends before it begins."""
    if span is None:
        return web.Response(body=content)
    response = web.Response(status=206, body=b"")
    response.headers["Content-Range"] = f"bytes {span.start}-{max(0, span.start - 1)}/{len(content)}"
    return response


async def one_byte_more(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
    """A body that is longer than its Content-Range."""
    if span is None:
        return web.Response(body=content + b"x")
    return partial(content, Range(span.start, min(len(content), span.stop + 1)), says=span)


async def wrong_bytes(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
    """The right length, one bit off."""
    body = content[span.start : span.stop] if span else content
    flipped = bytes([body[0] ^ 1]) + body[1:]
    return web.Response(body=flipped) if span is None else partial(content, span, body=flipped)


async def not_satisfiable(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
    """416 to every range."""
    return web.Response(status=416) if span else web.Response(body=content)


async def reset_midway(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
    """Half of the answer, then the connection is gone."""
    body = content[span.start : span.stop] if span else content
    response = await begin(request, content, span, len(body))
    await response.write(body[: len(body) // 2])
    raise Reset


async def reset_at_once(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
    """The connection is gone before the first byte."""
    raise Reset


async def stall(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
    """Half of the answer, then nothing for longer than anybody waits."""
    body = content[span.start : span.stop] if span else content
    response = await begin(request, content, span, len(body))
    await response.write(body[: len(body) // 2])
    await asyncio.sleep(60)
    raise Reset


async def trickle(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
    """A byte now and then: never silent, never done."""
    body = content[span.start : span.stop] if span else content
    response = await begin(request, content, span, len(body))
    for position in range(len(body)):
        await response.write(body[position : position + 1])
        await asyncio.sleep(0.02)
    return response


async def compressed(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
    """Claims another Content-Length than the manifest's size."""
    return web.Response(body=content[: len(content) // 2])


def status(code: int, retry_after: str | None = None) -> Lie:
    """An error status, perhaps with Retry-After."""

    async def answer(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
        return web.Response(status=code, headers={"Retry-After": retry_after} if retry_after is not None else {})

    return answer


def redirect_to(elsewhere: str) -> Lie:
    """Send the client to the same path at another address."""

    async def answer(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": f"{elsewhere}{request.path}?signature=a%2Bb"})

    return answer


def partial(content: bytes, span: Range, *, says: Range | None = None, body: bytes | None = None) -> web.Response:
    """A 206 answer with the bytes of `span`."""
    said = says or span
    return web.Response(
        status=206,
        body=content[span.start : span.stop] if body is None else body,
        headers={"Content-Range": f"bytes {said.start}-{said.stop - 1}/{len(content)}"},
    )


async def begin(request: web.Request, content: bytes, span: Range | None, length: int) -> web.StreamResponse:
    """An answer whose head is sent, and whose body is `length` bytes."""
    response = web.StreamResponse(status=206 if span else 200, headers=request.get(HEADERS))
    response.content_length = length
    if span:
        response.headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{len(content)}"
    await response.prepare(request)
    return response


def span_of(request: web.Request) -> Range | None:
    """What range was asked for."""
    match = _RANGE.fullmatch(request.headers.get("Range", ""))
    return Range(int(match[1]), int(match[2]) + 1) if match else None
