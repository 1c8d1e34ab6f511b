"""Runs the whole process: models, HTTP, signals, the way out. Called by `berth_runtime.__main__`.

SIGTERM drains: not ready any more, no new work, what runs may end within the drain time, streams left over get an error
event, then the end with status 0. A second signal ends at once.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Mapping
from functools import partial
from typing import Final

from aiohttp import web

from berth_runtime.arguments import Options
from berth_runtime.catalog import Catalog
from berth_runtime.drain import Drain
from berth_runtime.metrics import Metrics
from berth_runtime.routes.application import build_application
from berth_runtime.routes.frame import SHUTTING_DOWN
from berth_runtime.served import Resolve, ServedModel

CUT_SECONDS: Final = 2.0
KEEPALIVE_SECONDS: Final = 75.0
STATUS_AT_ONCE: Final = 143

log = logging.getLogger(__name__)


class Server:
    """Models behind HTTP; `resolvers` says for each name how to find out what its worker is told."""

    def __init__(self, resolvers: Mapping[str, Resolve], *, host: str, port: int, drain_timeout_seconds: float) -> None:
        metrics = Metrics()
        models = {
            name: ServedModel(name, resolve, partial(metrics.count_outcome, model=name))
            for name, resolve in resolvers.items()
        }
        self.catalog = Catalog(models)
        metrics.watch(self.catalog)
        self.drain = Drain()
        self._address = host, port
        self._drain_timeout_seconds = drain_timeout_seconds
        app = build_application(self.catalog, metrics, self.drain)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,  # a client that leaves ends its handler, and with it the generation
            keepalive_timeout=KEEPALIVE_SECONDS,
            shutdown_timeout=CUT_SECONDS,
        )
        self._lives: list[asyncio.Task[None]] = []

    async def start(self) -> int:
        """Listen and begin to load; the port."""
        await self._runner.setup()
        host, port = self._address
        await web.TCPSite(self._runner, host, port).start()
        self._lives = [
            asyncio.create_task(model.run(), name=f"life of {name}") for name, model in self.catalog.models.items()
        ]
        listening = self._runner.addresses[0][1]
        log.info("listening", extra={"host": host, "port": int(listening), "models": list(self.catalog.models)})
        return int(listening)

    async def stop(self) -> None:
        """Drain, then end everything."""
        log.info("draining", extra={"in_flight": self.drain.in_flight})
        self.drain.begin()
        if not await self.drain.wait(self._drain_timeout_seconds):
            log.warning("drain time is up", extra={"in_flight": self.drain.in_flight})
            for model in self.catalog.models.values():
                model.end_requests(SHUTTING_DOWN)
            await self.drain.wait(CUT_SECONDS)
        await self._runner.cleanup()
        for life in self._lives:
            life.cancel()
        await asyncio.gather(*self._lives, return_exceptions=True)
        log.info("ended")


async def serve(options: Options, resolvers: Mapping[str, Resolve]) -> None:
    """Serve until a signal, then drain."""
    server = Server(
        resolvers, host=options.host, port=options.port, drain_timeout_seconds=options.drain_timeout_seconds
    )
    told = asyncio.Event()

    def take_signal(number: signal.Signals) -> None:
        if told.is_set():
            log.warning("ending at once", extra={"signal": number.name})
            os._exit(STATUS_AT_ONCE)  # the kernel ends the workers with us
        log.info("signal", extra={"signal": number.name})
        told.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, take_signal, number)
    await server.start()
    await told.wait()
    await server.stop()
