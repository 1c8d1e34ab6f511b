"""The ASGI layer around vLLM's server: Berth's HTTP in front of vLLM's. vLLM makes it by its name (`--middleware`).

Everything that a client can reach is in `Front._answer`; nothing else of vLLM's own is let through.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Coroutine
from typing import Any, Final

import orjson

from berth_api import http_api
from berth_api.http_api import DOCUMENT_PATH, read_document, why_not_served
from berth_api.openai_errors import ErrorCode
from berth_runtime import drain as draining
from berth_runtime.drain import Drain
from berth_runtime.engines.protocol import Failure
from berth_runtime.metrics import Metrics
from berth_runtime.openai.errors import ApiError
from berth_runtime.openai.models import await_adapter, find_name, render_model
from berth_runtime.routes.bodies import MODEL_HEADER
from berth_runtime.routes.frame import SHUTTING_DOWN
from berth_runtime.vllm.answers import engine_died
from berth_runtime.vllm.asgi import (
    JSON_TYPE,
    Application,
    ClientLeft,
    Message,
    Receive,
    Scope,
    Send,
    header_of,
    read_answer,
    read_body,
    send_error,
    send_whole,
)
from berth_runtime.vllm.engine_state import has_died, read_facts
from berth_runtime.vllm.link import Link, Word
from berth_runtime.vllm.metrics import TokenCounter
from berth_runtime.vllm.relay import CLIENT_LEFT, Relay
from berth_runtime.vllm.requests import BUILDERS, Call, Subject, build_proof, read_json, what_it_can
from berth_runtime.vllm.settings import FrontSettings, read_settings
from berth_runtime.vllm.standing import ModelStanding

PROVE_AGAIN_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.25
_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_GETS: Final = frozenset(
    {"/v1/models", "/health", "/health/live", "/health/ready", "/status", "/metrics", DOCUMENT_PATH}
)
_MODELS: Final = "/v1/models/"

log = logging.getLogger(__name__)


class Front:
    """Berth's HTTP around an application. `link` is None where there is no supervisor."""

    def __init__(self, app: Application, settings: FrontSettings) -> None:
        self._app = app
        self._settings = settings
        self._created = int(time.time())
        self._drain = Drain()
        self._model = ModelStanding(settings.name, settings.task, self._drain, settings.started)
        self._metrics = Metrics()
        self._metrics.watch(self._model.standings)
        self._tokens = TokenCounter(self._metrics, settings.name)
        self._relays: set[Relay] = set()
        self._link: Link | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one ASGI scope."""
        match scope["type"]:
            case "lifespan":
                await self._live(scope, receive, send)
            case "http":
                await self._serve(scope, receive, send)
            case _:
                await send({"type": "websocket.close", "code": 1008})

    # The life of the server.

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._begin(scope)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            for task in self._tasks:
                task.cancel()

    async def _begin(self, scope: Scope) -> None:
        facts = read_facts(scope.get("app"))
        self._model.has_loaded(
            what_it_can(
                self._settings.task,
                tools=self._settings.tools,
                parallel_requests=facts.parallel_requests,
                context_length=facts.context_length,
                dimensions=facts.dimensions,
            )
        )
        if self._settings.link_fd is not None:
            end = socket.socket(fileno=self._settings.link_fd)
            self._link = await Link.open(end, self._hear)
        self._start(self._prove(scope))
        self._start(self._watch_engine(scope.get("app")))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._look_at_end)

    def _look_at_end(self, task: asyncio.Task[None]) -> None:
        """A part of ours that fails is a bug: nothing goes on that nobody looks after."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.critical("bug", exc_info=error)
            self._say(Word.DIED)

    async def _prove(self, scope: Scope) -> None:
        """Ask for one token of the model and of each adapter by the same way as a client, until there is one of all."""
        while True:
            try:
                for name in self._settings.served:
                    await self._ask(scope, build_proof(self._settings.task, name))
            except ApiError as error:
                self._model.message = f"Its first request failed: {error.failure.message}"
                log.warning("no first answer", extra={"reason": error.failure.message})
                await asyncio.sleep(PROVE_AGAIN_SECONDS)
            else:
                break
        self._model.has_answered()
        self._say(Word.READY)

    async def _ask(self, scope: Scope, call: Call) -> None:
        async def nobody() -> Message:
            await asyncio.Event().wait()
            raise AssertionError

        async def drop(message: Message) -> None:
            pass

        base = {"asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "client": None, "server": None}
        kept = {name: scope[name] for name in ("app", "state") if name in scope}
        relay = Relay(call, nobody, drop, on_first=lambda: None, explain=lambda failure: failure)
        await relay.run(self._app, {**base, **kept, "root_path": ""})

    async def _watch_engine(self, app: Any) -> None:
        while not has_died(app):  # noqa: ASYNC110 - vLLM has a flag, and no event
            await asyncio.sleep(LOOK_SECONDS)
        await self._die()

    async def _die(self) -> None:
        self._model.has_died()
        self._end_all(engine_died(self._settings.name))
        self._drain.begin()
        await self._drain.wait(LOOK_SECONDS * 4)
        self._say(Word.DIED)

    def _hear(self, word: Word) -> None:
        if word is Word.DRAIN:
            self._drain.begin()
            self._start(self._say_when_drained())
        elif word is Word.END:
            self._end_all(SHUTTING_DOWN)
        elif word is Word.LOST:
            self._start(self._die())

    async def _say_when_drained(self) -> None:
        await self._drain.wait()
        self._say(Word.DRAINED)

    def _say(self, word: Word) -> None:
        if self._link is not None:
            self._link.say(word)

    def _end_all(self, failure: Failure) -> None:
        for relay in tuple(self._relays):
            relay.cut(failure)

    # Requests.

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if path in BUILDERS and method == "POST":
            await self._work(path, scope, receive, send)
        elif method in ("GET", "HEAD") and (path in _GETS or path.startswith(_MODELS)):
            await self._look(path, scope, send)
        else:
            await send_error(send, *_not_here(path, method), path=path)

    async def _work(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Work is counted, and refused while draining."""
        if self._drain.draining:
            await send_error(send, _must_go_elsewhere(), path=path)
            return
        started, status = time.monotonic(), CLIENT_LEFT
        self._drain.enter()
        try:
            status = await self._call(path, scope, receive, send, started)
        except ApiError as error:
            status = error.failure.status
            await send_error(send, error, path=path)
        except ClientLeft:
            pass
        finally:
            self._drain.leave()
            self._metrics.count_request(
                model=self._settings.name, endpoint=path, code=status, seconds=time.monotonic() - started
            )

    async def _call(self, path: str, scope: Scope, receive: Receive, send: Send, started: float) -> int:
        body = read_json(await read_body(scope, receive))
        name = self._find(header_of(scope, MODEL_HEADER), body.get("model"))
        why = self._model.why_not_ready()
        if why is not None:
            raise why
        assert self._model.capabilities is not None
        self._model.require_room()
        call = BUILDERS[path](body, Subject(name, self._model.capabilities))

        def count_first() -> None:
            self._metrics.count_first_event(model=name, endpoint=path, seconds=time.monotonic() - started)

        def explain(failure: Failure) -> Failure:
            """vLLM calls the death of its engine an internal error, which no gateway would try elsewhere."""
            return engine_died(name) if failure.status == 500 and has_died(scope.get("app")) else failure

        relay = Relay(call, receive, send, on_first=count_first, explain=explain)
        self._relays.add(relay)
        try:
            return await relay.run(self._app, scope)
        finally:
            self._relays.discard(relay)

    def _find(self, by_gateway: str | None, in_body: object) -> str:
        """Whom a request is for. Raises `ApiError`."""
        served = self._settings.served
        if by_gateway:
            await_adapter(by_gateway, served)
        if not by_gateway and in_body is None:
            return self._settings.name  # its adapters are asked for by name
        return find_name(by_gateway or in_body, served)

    async def _look(self, path: str, scope: Scope, send: Send) -> None:
        """What machines look at; never asks the engine."""
        try:
            body, kind = await self._shown(path, scope)
        except ApiError as error:
            await send_error(send, error)
            return
        await send_whole(send, 200, b"" if scope["method"] == "HEAD" else body, {"content-type": kind})

    async def _shown(self, path: str, scope: Scope) -> tuple[bytes, str]:
        served = self._settings.served
        match path:
            case "/health/live":
                shown: object = {"status": "live"}
            case "/health" | "/health/ready":
                why = self._model.why_not_ready()
                if why is not None:
                    raise why
                shown = {"status": "ready"}
            case "/status":
                shown = self._model.render_status()
            case http_api.DOCUMENT_PATH:
                return read_document(), JSON_TYPE["content-type"]
            case "/metrics":
                return await self._read_metrics(scope), _METRICS_TYPE
            case "/v1/models":
                shown = {"object": "list", "data": [render_model(name, self._created) for name in served]}
            case _:
                shown = render_model(find_name(path.removeprefix(_MODELS), served), self._created)
        return orjson.dumps(shown), JSON_TYPE["content-type"]

    async def _read_metrics(self, scope: Scope) -> bytes:
        theirs = await read_answer(self._app, scope, "/metrics")
        self._tokens.follow(theirs)
        return self._metrics.render() + theirs


class Middleware(Front):
    """What vLLM makes: a Front with the settings that the supervisor left in the environment."""

    def __init__(self, app: Application) -> None:
        super().__init__(app, read_settings(os.environ))


def _must_go_elsewhere() -> ApiError:
    return ApiError(SHUTTING_DOWN, retry_after_seconds=draining.RETRY_AFTER_SECONDS)


def _not_here(path: str, method: str) -> tuple[ApiError, dict[str, str]]:
    """The error, and what the headers say besides."""
    if path in BUILDERS or path in _GETS or path.startswith(_MODELS):
        allowed = "POST" if path in BUILDERS else "GET, HEAD"
        message = f"{path[:200]} takes {allowed}, not {method}."
        return ApiError(Failure(405, ErrorCode.METHOD_NOT_ALLOWED, message)), {"allow": allowed}
    unknown = f"There is nothing at {method} {path[:200]}."
    return ApiError(Failure(404, ErrorCode.UNKNOWN_URL, why_not_served(path) or unknown)), {}
