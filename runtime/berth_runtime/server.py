"""Runs the whole process: models, HTTP, signals, the way out. Called by `berth_runtime.__main__`.

SIGTERM drains: not ready any more, no new work, what runs may end within the drain time, streams left over get an error
event, then the end with status 0. A second signal ends at once. A bug in the life of a model drains too and ends with
status 70: whoever supervises this process sees it, and nothing waits for a model that nobody looks after.
"""

import asyncio
import errno
import ipaddress
import logging
import os
import signal
import socket
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final

from aiohttp import web

from berth_api.errors import BerthError
from berth_runtime.arguments import Options
from berth_runtime.catalog import Catalog
from berth_runtime.drain import Drain
from berth_runtime.metrics import Metrics
from berth_runtime.routes.application import build_application
from berth_runtime.routes.frame import SHUTTING_DOWN
from berth_runtime.served import Resolve, ServedAdapter, ServedModel
from berth_store.listening import listen_everywhere

CUT_SECONDS: Final = 2.0
KEEPALIVE_SECONDS: Final = 75.0
STATUS_AT_ONCE: Final = 143
STATUS_BUG: Final = 70

log = logging.getLogger(__name__)


class CannotListen(BerthError):  # noqa: N818 - reads as the sentence that it is
    """The address can't be had; the message says which, why, and what to do."""


class Server:
    """Models behind HTTP; `resolvers` says for each name how to find out what its worker is told.

    `adapters` are those of each model; the command line takes them for a single one.
    """

    def __init__(
        self,
        resolvers: Mapping[str, Resolve],
        *,
        host: str,
        port: int,
        drain_timeout_seconds: float,
        adapters: Iterable[str] = (),
    ) -> None:
        metrics = Metrics()
        models = {
            name: ServedModel(name, resolve, partial(metrics.count_outcome, model=name))
            for name, resolve in resolvers.items()
        }
        named = [ServedAdapter(model, adapter) for model in models.values() for adapter in adapters]
        self.catalog = Catalog(models, named)
        metrics.watch(self.catalog.standings)
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
        self.broken = asyncio.Event()

    async def start(self) -> int:
        """Listen and begin to load; the port. Raises `CannotListen`."""
        await self._runner.setup()
        host, port = self._address
        try:
            site = (
                web.TCPSite(self._runner, host, port) if host else web.SockSite(self._runner, listen_everywhere(port))
            )
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise CannotListen(explain_address(host, port, error)) from error
        self._lives = [
            asyncio.create_task(model.run(), name=f"life of {name}") for name, model in self.catalog.models.items()
        ]
        for life in self._lives:
            life.add_done_callback(self._look_at_end)
        listening = self._runner.addresses[0][1]
        log.info("listening", extra={"host": host, "port": int(listening), "models": list(self.catalog.models)})
        if not all(is_loopback(address[0]) for address in self._runner.addresses):
            log.warning("whoever reaches this port may use the models: no key is asked for", extra={"host": host})
        return int(listening)

    def _look_at_end(self, life: asyncio.Task[None]) -> None:
        """A life ends by a cancellation, or because trying again can't help; anything else is a bug."""
        error = None if life.cancelled() else life.exception()
        if error is not None:
            log.critical("bug", exc_info=error, extra={"task": life.get_name()})
            self.broken.set()

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


def explain_address(host: str, port: int, error: OSError) -> str:
    """Why an address can't be listened on, and what to do about it."""
    match error:
        case socket.gaierror():
            reason = f"{host!r} is no address of this machine. Give one by --host, such as 127.0.0.1 or 0.0.0.0"
        case OSError(errno=errno.EADDRINUSE):
            reason = "another process has this port. End it, or choose another port by --port"
        case OSError(errno=errno.EADDRNOTAVAIL):
            reason = "this machine does not have that address. Give one by --host, such as 127.0.0.1 or 0.0.0.0"
        case PermissionError():
            reason = "this user may not take that port. Choose one from 1024 on by --port"
        case _:
            reason = f"{error.strerror or error}. Choose another address by --host and --port"
    return f"can't listen on {f'{host}:{port}' if host else f'port {port}'}: {reason}."


def is_loopback(host: str) -> bool:
    """True for an address that only this machine reaches."""
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


async def serve(options: Options, resolvers: Mapping[str, Resolve]) -> int:
    """Serve until a signal, then drain; the exit status. Raises `CannotListen`."""
    server = Server(
        resolvers,
        host=options.host,
        port=options.port,
        drain_timeout_seconds=options.drain_timeout_seconds,
        adapters=options.adapters,
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
    ends = [asyncio.create_task(event.wait()) for event in (told, server.broken)]
    _, waiting = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for end in waiting:
        end.cancel()
    await server.stop()
    return STATUS_BUG if server.broken.is_set() else 0
