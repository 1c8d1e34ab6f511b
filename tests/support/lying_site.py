"""What the servers of the tests share that hold files: they note each request, and lie.

    async with FakeHub() as hub:
        hub.hold("org/model", {"config.json": b"{}", "model.safetensors": weights})
        hub.lie(reset_midway)          # the next answer with the content of a file
        hub.seen                       # every request, with its headers

`lying_registry`, `lying_web`, `lying_hub` and `lying_bucket` say what each of them answers, `lies` what they do wrong.
"""

import asyncio
import hashlib
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import lies
from aiohttp import ClientConnectionResetError, web
from lies import Lie, Reset

from berth_store.ranges import Range

if TYPE_CHECKING:
    from ssl import SSLContext

SLOW_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Seen:
    """One request that arrived, with its headers under lower-case names."""

    path: str
    query: str
    span: Range | None
    headers: Mapping[str, str]
    moment: float


class LyingSite(ABC):
    """One server. A lie replaces the next answer that would carry a file's content."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.sent_bytes = 0
        self.certificate: SSLContext | None = None
        self.port = 0
        self._lies: deque[Lie] = deque()
        self._always: Lie | None = None
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._note)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.certificate).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        return f"{'https' if self.certificate else 'http'}://{self.authority}"

    def lie(self, lie: Lie, *, times: int = 1) -> None:
        """Answer the next requests for content with `lie`."""
        self._lies.extend([lie] * times)

    def always(self, lie: Lie | None) -> None:
        """Answer every request for content with `lie`; with None, be honest again."""
        self._always = lie

    def be_slow(self, bytes_per_second: int) -> None:
        """Send every file's content at this pace on each connection, and count it in `sent_bytes`."""

        async def slowly(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
            body = content[span.start : span.stop] if span else content
            response = await lies.begin(request, content, span, len(body))
            for start in range(0, len(body), SLOW_PIECE_BYTES):
                piece = body[start : start + SLOW_PIECE_BYTES]
                await response.write(piece)
                self.sent_bytes += len(piece)
                await asyncio.sleep(len(piece) / bytes_per_second)
            return response

        self.always(slowly)

    async def wait_for_sent(self, count_bytes: int) -> None:
        """Wait until so much of files' content has been sent in all."""
        while self.sent_bytes < count_bytes:
            await asyncio.sleep(0.002)

    def sent(self, name: str) -> set[str]:
        """Every value of a header that arrived."""
        return {seen.headers[name] for seen in self.seen if name in seen.headers}

    def spans_of(self, path: str) -> list[Range | None]:
        """The ranges that were asked of a path that ends so, in order."""
        return [seen.span for seen in self.seen if seen.path.endswith(path)]

    @abstractmethod
    async def answer(self, request: web.Request, span: Range | None) -> web.StreamResponse:
        """What this kind of server says."""

    async def content(
        self, request: web.Request, content: bytes, span: Range | None, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        """A file's bytes, truly or not; `headers` come along where an answer has not begun yet."""
        lie = self._lies.popleft() if self._lies else self._always
        request[lies.HEADERS] = dict(headers)
        response = await (lie or lies.honest)(request, content, span)
        if not response.prepared:
            response.headers.update({name: value for name, value in headers.items() if name not in response.headers})
        return response

    async def _note(self, request: web.Request) -> web.StreamResponse:
        span = lies.span_of(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(Seen(request.path, request.query_string, span, headers, time.monotonic()))
        try:
            return await self.answer(request, span)
        except ClientConnectionResetError:
            return web.Response()  # The client was killed.
        except Reset:
            assert request.transport is not None
            request.transport.abort()
            await asyncio.sleep(0)
            return web.Response()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
