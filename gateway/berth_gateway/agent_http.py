"""The agent's HTTP server on its Unix socket: Envoy sends here what no engine can answer. Used by agent.py.

Clients never reach it but through Envoy, which strips Berth's headers from what they send and sets its own.
"""

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote

from aiohttp import web

from berth_api import anthropic_errors
from berth_api.http_api import DOCUMENT_PATH, posted_paths, read_document
from berth_gateway import answers, headers
from berth_gateway.actions import Question
from berth_gateway.answers import Answer
from berth_gateway.metrics import GatewayMetrics
from berth_gateway.routes import LIST_PATH
from berth_gateway.snapshot import Snapshot

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class AgentServer:
    """Serves answers about the snapshot that `current` returns; `render_metrics` gives what `/metrics` shows."""

    def __init__(
        self,
        socket: Path,
        current: Callable[[], Snapshot],
        metrics: GatewayMetrics,
        render_metrics: Callable[[], Awaitable[bytes]],
    ) -> None:
        self._socket = socket
        self._current = current
        self._metrics = metrics
        self._render_metrics = render_metrics
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on the socket; one that a former process left behind is replaced."""
        self._socket.unlink(missing_ok=True)
        app = web.Application()
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get(DOCUMENT_PATH, self._show_document)
        app.router.add_route("*", "/{path:.*}", self._answer)
        # Envoy lets idle connections go after 30 s, and must be the first to do so.
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=75)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self._socket)).start()

    async def stop(self) -> None:
        """Close the socket and all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._socket.unlink(missing_ok=True)

    async def _answer(self, request: web.Request) -> web.Response:
        answer = choose_answer(request, self._current())
        self._metrics.count_answer(answer.status, answer.body.get("error", {}).get("code", ""))
        if "error" in answer.body and anthropic_errors.is_anthropic(request.path):
            answer = answers.as_anthropic(answer)
        return web.json_response(answer.body, status=answer.status, headers=answer.headers)

    async def _show_document(self, _: web.Request) -> web.Response:
        return web.Response(body=read_document(), content_type="application/json")

    async def _show_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=await self._render_metrics(), headers={"content-type": METRICS_TYPE})


def choose_answer(request: web.BaseRequest, snapshot: Snapshot) -> Answer:
    """By Berth's own headers first: they say for which model, or with which question, Envoy came here."""
    name, question = request.headers.get(headers.MODEL), request.headers.get(headers.QUESTION)
    if name is not None:
        return answers.model_state(f"{request.headers.get(headers.NAMESPACE)}/{name}", snapshot)
    if question is not None:
        return answers.explain(Question(question), unquote(request.headers.get(headers.ASKED, "")), snapshot)
    return _by_path(request.method, request.path, snapshot)


def _by_path(method: str, path: str, snapshot: Snapshot) -> Answer:
    reads = method in {"GET", "HEAD"}
    is_list = path == LIST_PATH or path.startswith(f"{LIST_PATH}/")
    if is_list and not reads:
        return answers.wrong_method(method, path, "GET")
    if path == LIST_PATH:
        return answers.list_models(snapshot)
    if is_list:
        return answers.show_model(path.removeprefix(f"{LIST_PATH}/"), snapshot)
    if path == "/" and reads:
        return answers.welcome(version("berth"))
    if path in _POSTED:
        return answers.wrong_method(method, path, "POST")
    return answers.no_such_path(method, path)


_POSTED = posted_paths()
"""Paths that are known to exist for POST; others are told apart by the engines."""
