"""An engine that knows only its own name: any other is a 404, as with a real one.

What happens to the next requests is set by `engine.plan`; afterwards it answers normally. A streamed answer is sent one
event at a time, as `engine.release` says, where `engine.stepwise` is set: so a test can know what has been sent.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aiohttp import web

from berth_gateway.snapshot import Endpoint

WORDS = tuple(f"word{number}" for number in range(10))


class Happening(StrEnum):
    ANSWER = "answers"
    DIE_BEFORE_HEAD = "closes the connection without an answer"
    DIE_AFTER_TOKENS = "closes the connection in the middle of a stream"
    ANSWER_LATE = "answers after `late_seconds`"
    STAY_SILENT = "takes the request and says nothing until the client leaves"
    OVERLOADED_429 = "429"
    OVERLOADED_503 = "503"
    BROKEN_500 = "500"


@dataclass(frozen=True)
class Seen:
    """One request as the engine saw it."""

    path: str
    headers: dict[str, str]
    body_bytes: int
    body_model: object


@dataclass
class FakeEngine:
    """Serves `name`, and whatever else is in `names`, on 127.0.0.1. Use `running_engine` to have one."""

    name: str
    port: int = 0
    stepwise: bool = False
    late_seconds: float = 1.5
    plan: deque[Happening] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client left before its answer was complete."""
    names: set[str] = field(default_factory=set)
    _steps: asyncio.Queue[None] = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        self.names.add(self.name)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self.port)

    @property
    def draining_endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self.port, draining=True)

    def release(self, events: int = 1) -> None:
        """Let this many events of stepwise streams go out."""
        for _ in range(events):
            self._steps.put_nowait(None)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except (asyncio.CancelledError, ConnectionResetError):
            self.left.set()
            raise

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body: dict[str, Any] = json.loads(raw) if raw else {}
        self.seen.append(Seen(request.path, dict(request.headers), len(raw), body.get("model")))
        asked = request.headers.get("x-berth-model", body.get("model"))
        if asked not in self.names:
            return _error(404, "model_not_found")
        happening = self.plan.popleft() if self.plan else Happening.ANSWER
        if happening is Happening.DIE_BEFORE_HEAD:
            _hang_up(request)
            return web.Response()
        if happening is Happening.ANSWER_LATE:
            await asyncio.sleep(self.late_seconds)
        if happening is Happening.STAY_SILENT:
            await asyncio.Event().wait()
        if happening.value.isdigit():
            return _error(int(happening.value), "engine_says_so")
        if body.get("stream"):
            return await self._stream(request, die=happening is Happening.DIE_AFTER_TOKENS)
        return web.json_response({"model": asked, "choices": [{"message": {"content": " ".join(WORDS)}}]})

    async def _stream(self, request: web.Request, *, die: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        for number, word in enumerate(WORDS):
            if self.stepwise:
                await self._steps.get()
            if number == 0:
                await response.prepare(request)
            if die and number == 3:
                _hang_up(request)
                return response
            await response.write(_event({"model": self.name, "choices": [{"delta": {"content": word}}]}))
        await response.write(b"data: [DONE]\n\n")
        return response


def _event(value: object) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


def _error(status: int, code: str) -> web.Response:
    return web.json_response({"error": {"message": "the fake engine says no", "code": code}}, status=status)


def _hang_up(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()


@asynccontextmanager
async def running_engine(
    name: str, *, stepwise: bool = False, port: int = 0, late_seconds: float = 1.5, idle_connection_seconds: float = 60
) -> AsyncIterator[FakeEngine]:
    """An engine on a free port, or on `port`; gone at the end."""
    engine = FakeEngine(name, stepwise=stepwise, late_seconds=late_seconds)
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", engine.answer)
    # A client that leaves ends its generation, as with the real runtime.
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1, keepalive_timeout=idle_connection_seconds
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    engine.port = runner.addresses[0][1]
    try:
        yield engine
    finally:
        await runner.cleanup()
