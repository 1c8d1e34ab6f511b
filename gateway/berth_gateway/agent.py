"""The agent beside Envoy: takes snapshots, keeps Envoy's configuration to them, answers what no engine can.

Used by the laptop mode in its own process, and by the gateway's pod. It neither starts nor stops Envoy (envoy.py has
the command line): while the agent is away, Envoy serves on with what it knows.
"""

import asyncio
import json
import time
from collections.abc import Callable

from berth_api.errors import Unavailable
from berth_gateway.agent_http import AgentServer
from berth_gateway.bootstrap import render_bootstrap
from berth_gateway.codec import Codec, Encoded
from berth_gateway.envoy_admin import EnvoyAdmin
from berth_gateway.metrics import GatewayMetrics
from berth_gateway.render import render
from berth_gateway.settings import GatewaySettings
from berth_gateway.snapshot import Snapshot
from berth_gateway.xds import DiscoveryServer, UpdateRejected


class Agent:
    """One gateway's agent. `start` it, start Envoy, `apply` a snapshot whenever something changes.

    `on_connect` is called whenever an Envoy comes, or comes back.
    """

    def __init__(self, settings: GatewaySettings, on_connect: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._snapshot = Snapshot()
        self._codec = Codec()
        self._metrics = GatewayMetrics()
        self._admin = EnvoyAdmin(settings.admin_socket)
        self._xds = DiscoveryServer(settings.xds_socket, on_connect)
        self._http = AgentServer(settings.agent_socket, lambda: self._snapshot, self._metrics, self.render_metrics)
        self._applying = asyncio.Lock()

    async def start(self) -> None:
        """Write Envoy's bootstrap file and open the sockets. From then on Envoy can be started, or comes back."""
        self._settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._settings.bootstrap_file.write_text(json.dumps(render_bootstrap(self._settings), indent=2))
        await self._xds.start()
        await self._http.start()

    async def stop(self) -> None:
        """Close the sockets."""
        await self._xds.stop()
        await self._http.stop()

    @property
    def is_connected(self) -> bool:
        """Whether Envoy is connected."""
        return self._xds.is_connected

    def remember(self, snapshot: Snapshot) -> None:
        """Answer by `snapshot` until the first one is applied; Envoy keeps what it has."""
        self._snapshot = snapshot
        self._metrics.observe_snapshot(snapshot)

    async def render_metrics(self) -> bytes:
        """The agent's numbers and Envoy's in Prometheus' text format; without Envoy's while it does not answer."""
        try:
            return self._metrics.render() + await self._admin.statistics()
        except Unavailable:
            return self._metrics.render()

    async def apply(self, snapshot: Snapshot) -> None:
        """Make Envoy serve `snapshot`; returns when it does.

        Raises UpdateRejected with Envoy's words when it refuses, and what was served before is still served. Raises
        Unavailable when Envoy does not answer in time; it gets this snapshot when it comes.
        """
        async with self._applying:
            before, self._snapshot = self._snapshot, snapshot
            started = time.monotonic()
            outcome = "accepted"
            try:
                encoded = await asyncio.to_thread(self._encode, snapshot)
                await self._xds.publish(encoded, timeout_seconds=self._settings.acknowledge_timeout_seconds)
            except UpdateRejected:
                self._snapshot, outcome = before, "rejected"
                raise
            except Unavailable:
                outcome = "unanswered"
                raise
            finally:
                self._metrics.observe_snapshot(self._snapshot)
                self._metrics.count_update(outcome, time.monotonic() - started)

    def _encode(self, snapshot: Snapshot) -> Encoded:
        return self._codec.encode(render(snapshot, self._settings))
