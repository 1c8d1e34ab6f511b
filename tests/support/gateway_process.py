"""A gateway for tests: the agent in the test's process and a real Envoy beside it, in a folder of their own."""

import asyncio
import contextlib
import random
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp

from berth_gateway.agent import Agent
from berth_gateway.envoy import envoy_command
from berth_gateway.settings import GatewaySettings
from berth_gateway.snapshot import Snapshot

DEADLINE_SECONDS = 20


def free_port() -> int:
    """A port that nothing listens on, and that the system gives to nobody who asks for any port.

    A port that the system chose may be somebody's again before it is used, and then Envoy does not start.
    """
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class Gateway:
    """A running gateway. `agent` may be stopped and replaced by another one; Envoy stays."""

    settings: GatewaySettings
    agent: Agent
    session: aiohttp.ClientSession
    envoy: asyncio.subprocess.Process

    @property
    def url(self) -> str:
        return f"http://{self.settings.host}:{self.settings.port}"

    async def apply(self, snapshot: Snapshot) -> None:
        await self.agent.apply(snapshot)

    async def open(self) -> None:
        """Wait until Envoy listens, which it does after a first snapshot."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(self.settings.host, self.settings.port)
                    writer.close()
                    return
                await asyncio.sleep(0.01)

    async def restart_envoy(self) -> None:
        """End Envoy and start another one; the agent stays."""
        await self.stop_envoy()
        self.envoy = await start_envoy(self.settings)

    async def stop_envoy(self) -> None:
        """End Envoy, where it runs."""
        if self.envoy.returncode is None:
            self.envoy.terminate()
        await self.envoy.wait()

    async def log(self) -> str:
        """What Envoy wrote so far."""
        return await asyncio.to_thread((self.settings.run_dir / "envoy.log").read_text)

    async def statistic(self, name: str) -> float:
        """One of Envoy's own numbers, by the name that its administration shows."""
        connector = aiohttp.UnixConnector(str(self.settings.admin_socket))
        async with (
            aiohttp.ClientSession(connector=connector) as admin,
            admin.get("http://envoy/stats", params={"filter": f"^{name}$"}) as response,
        ):
            return float((await response.text()).partition(": ")[2])


async def start_envoy(settings: GatewaySettings) -> asyncio.subprocess.Process:
    """Envoy with these settings; what it writes goes into `envoy.log`."""
    with (settings.run_dir / "envoy.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(*envoy_command(settings), stdout=log, stderr=log)


@asynccontextmanager
async def running_gateway(snapshot: Snapshot | None = None, **settings: object) -> AsyncIterator[Gateway]:
    """A gateway on a free port, with `snapshot` applied and its port open where one is given."""
    # pytest's own folders have names too long for Unix sockets.
    run_dir = Path(tempfile.mkdtemp(prefix="berth-gateway-"))
    chosen = replace(GatewaySettings(run_dir, port=free_port(), workers=1), **settings)  # type: ignore[arg-type]
    agent = Agent(chosen)
    await agent.start()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_SECONDS)) as session:
        gateway = Gateway(chosen, agent, session, await start_envoy(chosen))
        try:
            if snapshot is not None:
                await gateway.apply(snapshot)
                await gateway.open()
            yield gateway
        finally:
            await gateway.stop_envoy()
            await gateway.agent.stop()
            await asyncio.to_thread(shutil.rmtree, run_dir)
