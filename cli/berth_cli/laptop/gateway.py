"""The gateway of laptop mode: the agent in this process, and Envoy beside it, kept alive."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from berth_cli.laptop.process import Launcher, Process, exit_text, last_words
from berth_cli.laptop.replica import cancel
from berth_gateway.agent import Agent
from berth_gateway.envoy import envoy_command
from berth_gateway.settings import GatewaySettings
from berth_gateway.snapshot import Snapshot

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
_STEADY_SECONDS = 60.0
_STOP_SECONDS = 3.0


class EnvoyGateway:
    """Starts Envoy, and starts it again when it ends: it then asks the agent for what to serve, and serves that."""

    def __init__(self, settings: GatewaySettings, launcher: Launcher, log: Path) -> None:
        self._settings = settings
        self._launcher = launcher
        self._log = log
        self._agent = Agent(settings)
        self._envoy: Process | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Why nobody listens now, empty if all is well."""
        return "" if self._agent.is_connected else self._trouble

    async def start(self) -> None:
        """Opens the agent's sockets and starts Envoy."""
        command = await asyncio.to_thread(envoy_command, self._settings)
        await self._agent.start()
        self._keeping = asyncio.create_task(self._keep(command))

    async def apply(self, snapshot: Snapshot) -> None:
        """Returns when Envoy serves by it."""
        await self._agent.apply(snapshot)

    async def stop(self) -> None:
        """Ends Envoy and closes the sockets."""
        await cancel(self._keeping)
        if self._envoy is not None:
            self._envoy.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._envoy.wait(), _STOP_SECONDS)
            self._envoy.kill()
        await self._agent.stop()

    async def _keep(self, command: Sequence[str]) -> None:
        loop = asyncio.get_running_loop()
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            started = loop.time()
            self._trouble = await self._live(command)
            if loop.time() - started > _STEADY_SECONDS:
                pause_seconds = FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)

    async def _live(self, command: Sequence[str]) -> str:
        """One life of Envoy; returns how it ended."""
        try:
            self._envoy = await self._launcher.start(command, {}, self._log)
        except OSError as error:
            return f"Envoy can't be started: {error.strerror or error}"
        code = await self._envoy.wait()
        return f"Envoy ended with {exit_text(code)} and is started again; {self._said()}"

    def _said(self) -> str:
        words = last_words(self._log, lines=1)
        return f"it said: {words}" if words else f"see {self._log}"
