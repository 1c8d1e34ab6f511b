"""A registry that can lie: it serves artifacts from memory, and for chosen requests misbehaves in a chosen way.

    async with LyingRegistry() as registry:
        reference = registry.hold("a/model", artifact)
        registry.lie(ignore_range, times=2)
        await pull(store, reference, ...)
        registry.seen            # every request, with its Range and Authorization

A lie is an async function from (request, content, span) to a response; a lie that raises `Reset` breaks the connection.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web
from oci_artifacts import MadeArtifact

from berth_store import mediatypes
from berth_store.digest import digest_of
from berth_store.ranges import Range
from berth_store.reference import Reference

# What an answer has to bear besides its content, for lies that begin it themselves.
HEADERS = web.RequestKey("headers", dict[str, str])
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


class Reset(Exception):  # noqa: N818 - what happens to the connection
    """Break the connection without another word."""


Lie = Callable[[web.Request, bytes, Range | None], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Seen:
    """One request that arrived."""

    method: str
    path: str
    span: Range | None
    authorization: str | None
    host: str
    moment: float


@dataclass
class LyingRegistry:
    """See the module. `ranges_done` collects which bytes of which blob were sent."""

    artifacts: dict[tuple[str, str], bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    referrers: dict[tuple[str, str], bytes] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    token_uses: int | None = None

    def __post_init__(self) -> None:
        self._lies: deque[Lie] = deque()
        self._always: Lie | None = None
        self._tokens: dict[str, int] = {}
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def hold(self, repository: str, artifact: MadeArtifact, tag: str = "latest") -> Reference:
        """Serve the artifact; returns its reference."""
        self.artifacts[repository, tag] = artifact.manifest
        self.artifacts[repository, artifact.digest] = artifact.manifest
        self.blobs.update({str(digest): content for digest, content in artifact.blobs.items()})
        return Reference.parse(f"{self.address}/{repository}:{tag}")

    def lie(self, lie: Lie, *, times: int = 1) -> None:
        """Answer the next requests for blobs with `lie`."""
        self._lies.extend([lie] * times)

    def always(self, lie: Lie) -> None:
        """Answer every request for a blob with `lie`."""
        self._always = lie

    def require_token(self, uses: int) -> None:
        """From now on want a token, each of which is good for so many requests."""
        self.token_uses = uses

    def spans(self) -> list[Range | None]:
        """The ranges that were asked of blobs, in order."""
        return [seen.span for seen in self.seen if "/blobs/" in seen.path]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        span = _span(request)
        self.seen.append(
            Seen(
                request.method, request.path, span, request.headers.get("Authorization"), request.host, time.monotonic()
            )
        )
        if request.path == "/token":
            return self._give_token()
        if self.token_uses is not None and not self._is_let_in(request):
            realm = f'Bearer realm="http://{self.address}/token",service="liar",scope="repository:any:pull"'
            return web.json_response({"errors": []}, status=401, headers={"WWW-Authenticate": realm})
        if request.path == "/v2/":
            return web.json_response({})
        return await self._serve(request, span)

    async def _serve(self, request: web.Request, span: Range | None) -> web.StreamResponse:
        repository, kind, name = request.path.removeprefix("/v2/").rsplit("/", 2)
        if kind == "manifests":
            return self._manifest(repository, name)
        if kind == "referrers" and (repository, name) in self.referrers:
            return web.Response(body=self.referrers[repository, name], content_type=mediatypes.OCI_INDEX)
        content = self.blobs.get(name)
        if content is None:
            return web.json_response({"errors": [{"code": "BLOB_UNKNOWN", "message": "no such blob"}]}, status=404)
        lie = self._lies.popleft() if self._lies else self._always
        try:
            return await (lie or honest)(request, content, span)
        except Reset:
            assert request.transport is not None
            request.transport.abort()
            await asyncio.sleep(0)
            return web.Response()

    def _manifest(self, repository: str, name: str) -> web.Response:
        content = self.artifacts.get((repository, name))
        if content is None:
            return web.json_response({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "no such tag"}]}, status=404)
        return web.Response(
            body=content,
            content_type=mediatypes.OCI_MANIFEST,
            headers={"Docker-Content-Digest": digest_of(content)},
        )

    def _give_token(self) -> web.Response:
        token = f"token-{len(self._tokens)}"
        self._tokens[token] = self.token_uses or 0
        return web.json_response({"token": token, "expires_in": 300})

    def _is_let_in(self, request: web.Request) -> bool:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self._tokens.get(token, 0) <= 0:
            return False
        self._tokens[token] -= 1
        return True


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
    response = await _begin(request, content, span, len(body))
    await response.write(body[: len(body) // 2])
    raise Reset


async def reset_at_once(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
    """The connection is gone before the first byte."""
    raise Reset


async def stall(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
    """Half of the answer, then nothing for longer than anybody waits."""
    body = content[span.start : span.stop] if span else content
    response = await _begin(request, content, span, len(body))
    await response.write(body[: len(body) // 2])
    await asyncio.sleep(60)
    raise Reset


async def trickle(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
    """A byte now and then: never silent, never done."""
    body = content[span.start : span.stop] if span else content
    response = await _begin(request, content, span, len(body))
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


async def _begin(request: web.Request, content: bytes, span: Range | None, length: int) -> web.StreamResponse:
    response = web.StreamResponse(status=206 if span else 200, headers=request.get(HEADERS))
    response.content_length = length
    if span:
        response.headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{len(content)}"
    await response.prepare(request)
    return response


def _span(request: web.Request) -> Range | None:
    match = _RANGE.fullmatch(request.headers.get("Range", ""))
    return Range(int(match[1]), int(match[2]) + 1) if match else None
