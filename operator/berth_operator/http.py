"""The operator's HTTP port, for probes and for Prometheus. It answers from the start, long before all is synced."""

from collections.abc import Callable, Sequence
from typing import Final

from aiohttp import web

from berth_api.errors import BerthError
from berth_operator.metrics import OperatorMetrics
from berth_operator.vitals import Vitals, find_ailments, find_missing

_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class CannotListen(BerthError):  # noqa: N818 - reads as the sentence that it is
    """The port can't be had."""


def build_application(read: Callable[[], Vitals], metrics: OperatorMetrics) -> web.Application:
    """The routes. `read` gives the figures of this moment."""

    async def live(_: web.Request) -> web.Response:
        return _verdict(find_ailments(read()))

    async def ready(_: web.Request) -> web.Response:
        vitals = read()
        return _verdict((*find_missing(vitals), *find_ailments(vitals)))

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"content-type": _METRICS_TYPE})

    app = web.Application()
    for path in ("/healthz", "/health", "/health/live"):
        app.router.add_get(path, live)
    for path in ("/readyz", "/health/ready"):
        app.router.add_get(path, ready)
    app.router.add_get("/metrics", show_metrics)
    return app


def _verdict(troubles: Sequence[str]) -> web.Response:
    if troubles:
        return web.Response(status=503, text="\n".join(troubles) + "\n")
    return web.Response(text="ok\n")


class HttpServer:
    """Serves an application, on all addresses unless `host` names one; port 0 takes a free one."""

    def __init__(self, app: web.Application, port: int, *, host: str | None = None) -> None:
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        self._host = host
        self._port = port

    async def start(self) -> int:
        """Listen; the port. Raises CannotListen."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise CannotListen(
                f"can't listen on port {self._port}: {error}; give another `port` in the operator's configuration"
            ) from error
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the port."""
        await self._runner.cleanup()
