"""The agent's own TCP port in a cluster: probes, metrics, what is programmed, and the drain. Used by cluster.py.

It is for the kubelet, the operator and Prometheus, not for clients; the chart's network policy says so.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from aiohttp import web

from berth_gateway.agent_http import METRICS_TYPE


class Subject(Protocol):
    """Whom this port speaks for."""

    @property
    def unreadiness(self) -> str:
        """Why nothing is served yet; empty when it is."""

    def report(self) -> Mapping[str, Any]:
        """What Envoy has acknowledged."""

    async def render_metrics(self) -> bytes:
        """All numbers in Prometheus' text format."""

    async def drain(self) -> bool:
        """Take the gateway out of service; returns when that is done, and whether all requests could end."""


class AgentPort:
    """Listens on `port` of all addresses of the pod."""

    def __init__(self, port: int, subject: Subject) -> None:
        self._port = port
        self._subject = subject
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen. Raises OSError where somebody else does."""
        app = web.Application()
        routes: dict[str, Callable[[web.Request], Awaitable[web.Response]]] = {
            "/health": self._live,
            "/health/live": self._live,
            "/health/ready": self._ready,
            "/metrics": self._metrics,
            "/programmed": self._programmed,
            "/drain": self._drain,
        }
        for path, answer in routes.items():
            # Who only looks whether there is a drain must not have one.
            app.router.add_get(path, answer, allow_head=False)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, None, self._port).start()

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _ready(self, _: web.Request) -> web.Response:
        why = self._subject.unreadiness
        return web.json_response(
            {"status": "not ready", "why": why} if why else {"status": "ok"}, status=503 if why else 200
        )

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=await self._subject.render_metrics(), headers={"content-type": METRICS_TYPE})

    async def _programmed(self, _: web.Request) -> web.Response:
        return web.json_response(self._subject.report())

    async def _drain(self, _: web.Request) -> web.Response:
        return web.json_response({"drained": await self._subject.drain()})
