"""An HTTP server that answers as a test says, for what no API server does when asked: proxies, cuts, refusals.

async with ScriptedServer() as server:
    server.answer(status=401)
    server.answer(lines=[event], then="hang")
    async with connect(server.credentials("token")) as cluster: ...
    server.asked
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

from aiohttp import web

from berth_kube.credentials import Credentials
from berth_kube.login import Login


@dataclass(frozen=True)
class Asked:
    """One request as it came in."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class _Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]
    chunks: tuple[bytes, ...] = ()
    then: Literal["end", "hang", "cut"] = "end"
    streams: bool = False


@dataclass
class ScriptedServer:
    """Gives its answers in order; when it has none left it hangs."""

    asked: list[Asked] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    _answers: deque[_Answer] = field(default_factory=deque)
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    def answer(self, body: bytes = b"{}", *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """The next request gets this."""
        self._answers.append(_Answer(status, body, headers or {}))

    def stream(self, chunks: Iterable[bytes], *, then: Literal["end", "hang", "cut"] = "end") -> None:
        """The next request gets these pieces of a body, and then its end, nothing, or a broken connection."""
        self._answers.append(_Answer(200, b"", {}, tuple(chunks), then, streams=True))

    def credentials(self, *tokens: str) -> Credentials:
        """Credentials whose files hold the tokens one after the other, each time they are read; the last one stays."""
        self.tokens = list(tokens) or [""]

        def read() -> Login:
            token = self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]
            return Login(f"http://127.0.0.1:{self._port}", token=token)

        return Credentials(read)

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(Asked(request.method, request.path, dict(request.query), dict(request.headers)))
        if not self._answers:
            await self._over.wait()
            return web.Response(status=503)
        answer = self._answers.popleft()
        if not answer.streams:
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in answer.chunks:
            await response.write(chunk)
        if answer.then == "hang":
            await self._over.wait()
        if answer.then == "cut":
            assert request.transport is not None
            request.transport.abort()
        return response
