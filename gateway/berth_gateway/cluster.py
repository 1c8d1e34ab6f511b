"""The gateway's agent in a cluster: what the API server says goes to Envoy, and what was served last goes to disk.

Started by `__main__`. It reads and never writes the API; Envoy is another container's, and serves on without it.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Coroutine, Mapping
from typing import Any

from berth_api.names import gateway_address
from berth_gateway.agent import Agent
from berth_gateway.agent_port import AgentPort
from berth_gateway.arguments import Options
from berth_gateway.cluster_metrics import ClusterMetrics
from berth_gateway.drain import Patience, drain
from berth_gateway.envoy_admin import EnvoyAdmin
from berth_gateway.intake import Intake
from berth_gateway.last_state import Recorder, read_documents
from berth_gateway.liveness import Watchdog
from berth_gateway.publisher import Publisher
from berth_gateway.served import Build, Documents, Served, versions_of
from berth_gateway.supervision import supervise
from berth_kube.cluster import Cluster

_log = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0
"""How long a start waits for the API server before it serves the last state."""


async def serve(options: Options, cluster: Cluster) -> int:
    """Keep Envoy to the cluster until SIGTERM; answers the process's exit status."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    agent = ClusterAgent(options, cluster)
    await agent.start()
    try:
        return await supervise(agent.parts(), stop)
    finally:
        await agent.stop()


class ClusterAgent:
    """One gateway pod's agent."""

    def __init__(self, options: Options, cluster: Cluster) -> None:
        self._options = options
        self._restored: Documents | None = None
        self._build = Build(options.bare_names or None)
        self._agent = Agent(options.settings, on_connect=self._look)
        self._admin = EnvoyAdmin(options.settings.admin_socket)
        self._recorder = Recorder(options.settings.last_state_file)
        self._publisher = Publisher(self._agent, self, lambda served: self._recorder.record(served.documents))
        self._intake = Intake(cluster, options.watch_namespaces, self._look)
        self._watchdog = Watchdog(cluster, self._intake.watches)
        self._port = AgentPort(options.agent_port, self)
        self._metrics = ClusterMetrics()

    async def start(self) -> None:
        """Open the sockets and the port; Envoy may come from then on."""
        await self._agent.start()
        await self._port.start()
        _log.info("the gateway's agent has started", extra={"address": gateway_address(self._options.namespace)})

    def parts(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """What must run side by side from then on, by name."""
        watches = {
            f"watch of {watch.namespace or '*'}/{watch.reflector.resource.plural}": watch.reflector.run()
            for watch in self._intake.watches
        }
        return {
            **watches,
            "publisher": self._publish(),
            "recorder": self._recorder.run(),
            "watchdog": self._watchdog.run(),
        }

    async def stop(self) -> None:
        """Close everything; Envoy goes on with what it has."""
        await self._recorder.flush()
        await self._port.stop()
        await self._agent.stop()

    @property
    def unreadiness(self) -> str:
        """See `Subject`."""
        if self._publisher.acknowledged is not None:
            return ""
        if self._publisher.refusal:
            return self._publisher.refusal
        if not self._has_state:
            troubles = "; ".join(self._intake.troubles.values())
            return f"the API server has not been read yet{f': {troubles}' if troubles else ''}"
        return "Envoy has not acknowledged a configuration yet"

    def report(self) -> Mapping[str, Any]:
        """See `Subject`."""
        acknowledged = self._publisher.acknowledged or Served()
        return {
            "envoy": self._agent.is_connected,
            "routes": versions_of(acknowledged.routes),
            "models": versions_of(acknowledged.models),
            "restored": self._restored is not None,
            "refusal": self._publisher.refusal,
        }

    async def render_metrics(self) -> bytes:
        """See `Subject`."""
        self._metrics.observe(
            synced=self._intake.is_synced,
            restored=self._restored is not None,
            refused=bool(self._publisher.refusal),
            invalid=self._build.refused,
            ages_seconds=self._intake.ages_seconds(),
        )
        return self._metrics.render() + await self._agent.render_metrics()

    async def drain(self) -> bool:
        """See `Subject`."""
        _log.info("this gateway takes itself out of service")
        return await drain(self._admin, Patience(self._options.drain_timeout_seconds))

    def newest(self) -> Served:
        """See `Source`."""
        return self._build.all_of(self._documents)

    def with_newest_endpoints(self, served: Served) -> Served:
        """See `Source`."""
        return self._build.with_slices(served, self._documents.slices)

    @property
    def _documents(self) -> Documents:
        return self._intake.documents() if self._restored is None else self._restored

    @property
    def _has_state(self) -> bool:
        return self._intake.is_synced or self._restored is not None

    def _look(self) -> None:
        """Something has changed. Half a view of the cluster would take away what the other half holds, so it waits."""
        if self._has_state:
            self._publisher.poke()

    async def _publish(self) -> None:
        # Before anything is built: a bad edit of what served last is then known as such, and not as something new.
        last = await asyncio.to_thread(read_documents, self._options.settings.last_state_file)
        if last is not None:
            self._agent.remember(self._build.all_of(last).snapshot)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publisher.run())
            group.create_task(self._find_state(last))

    async def _find_state(self, last: Documents | None) -> None:
        """What is served at first: what the API server says, or the last state until it says something."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._intake.wait_synced(), PATIENCE_SECONDS)
        if not self._intake.is_synced:
            self._restore(last)
            await self._intake.wait_synced()
            _log.info("the API server answers, its state is served from now on")
        self._restored = None
        self._look()

    def _restore(self, last: Documents | None) -> None:
        troubles = self._intake.troubles
        if last is None:
            _log.warning("the API server does not answer, and there is no last state to serve", extra={"why": troubles})
            return
        _log.warning("the API server does not answer, so the last state from disk is served", extra={"why": troubles})
        self._restored = last
        self._look()
