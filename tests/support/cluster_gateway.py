"""A gateway pod for tests: the agent as a process of its own, a real Envoy beside it, and a fake cluster to follow."""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from fake_api_server import FakeApiServer, running_api_server
from fake_cluster import FakeCluster
from fake_engine import FakeEngine
from gateway_process import DEADLINE_SECONDS, free_port, start_envoy
from model_builders import a_manifest
from model_slices import READY, a_slice, an_endpoint
from openai_requests import CHAT, Reply, send

from berth_api.names import child_name
from berth_gateway.rights import MODEL_ROUTES, MODELS, RIGHTS
from berth_gateway.settings import GatewaySettings
from berth_kube.resources import ENDPOINT_SLICES, SERVICES, Key, Object


@dataclass
class GatewayPod:
    """The two containers of a pod. The test changes `cluster` and asks Envoy."""

    settings: GatewaySettings
    agent_port: int
    api: FakeApiServer
    session: aiohttp.ClientSession
    options: tuple[str, ...] = ()
    agent: asyncio.subprocess.Process | None = None
    envoy: asyncio.subprocess.Process | None = None
    _environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def cluster(self) -> FakeCluster:
        return self.api.cluster

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    @property
    def agent_url(self) -> str:
        return f"http://127.0.0.1:{self.agent_port}"

    def declare(self, name: str, **spec: Any) -> Object:
        """A Model and its Service."""
        written = {"source": {"uri": f"oci://localhost/{name}:latest"}, **spec}
        service = child_name(name, "engine")
        self.cluster.put(SERVICES, {"metadata": {"namespace": "default", "name": service}, "spec": {}})
        return self.cluster.put(MODELS, a_manifest("Model", name, spec=written))

    def declare_route(self, name: str, backend: str) -> Object:
        """A ModelRoute to one Model."""
        rules = [{"backends": [{"backendRef": {"kind": "Model", "name": backend}}]}]
        return self.cluster.put(MODEL_ROUTES, a_manifest("ModelRoute", name, spec={"names": [name], "rules": rules}))

    def expose(self, name: str, engine: FakeEngine, conditions: Mapping[str, bool] = READY) -> None:
        """What Kubernetes says of the Model's endpoint."""
        key = Key("default", child_name(name, "engine"))
        service = next(one for one in self.cluster.all_of(SERVICES) if one["metadata"]["name"] == key.name)
        endpoint = an_endpoint("127.0.0.1", conditions)
        uid = service["metadata"]["uid"]
        self.cluster.put(ENDPOINT_SLICES, a_slice(name, endpoint, port=engine.port, service_uid=uid))

    async def ask(self, model: str) -> Reply:
        return await send(self.session, self.url + CHAT, {"model": model})

    async def get(self, path: str, *, of_agent: bool = False) -> Reply:
        return await send(self.session, (self.agent_url if of_agent else self.url) + path, method="GET")

    async def programmed(self) -> Any:
        """What the agent says that Envoy has acknowledged."""
        return (await self.get("/programmed", of_agent=True)).json

    async def answers(self, model: str) -> None:
        """Wait until the Model's engine answers."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    if (await self.ask(model)).status == 200:
                        return
                await asyncio.sleep(0.02)

    async def becomes(self, path: str, status: int, *, of_agent: bool = False) -> Reply:
        """Wait until GET of `path` has this status."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    reply = await self.get(path, of_agent=of_agent)
                    if reply.status == status:
                        return reply
                await asyncio.sleep(0.02)

    async def start_agent(self) -> None:
        """The agent's container; returns when its port is open."""
        command = [
            *(sys.executable, "-m", "berth_gateway", "--namespace", "berth-system"),
            *("--run-dir", str(self.settings.run_dir), "--host", "127.0.0.1", "--port", str(self.settings.port)),
            *("--agent-port", str(self.agent_port), *self.options),
        ]
        with (self.settings.run_dir / "agent.log").open("ab") as log:
            self.agent = await asyncio.create_subprocess_exec(*command, env=self._environment, stdout=log, stderr=log)
        await self.becomes("/health/live", 200, of_agent=True)

    async def start_envoy(self) -> None:
        """Envoy's container."""
        self.envoy = await start_envoy(self.settings)

    async def stop_agent(self) -> int:
        """SIGTERM; answers the exit status."""
        assert self.agent is not None
        if self.agent.returncode is None:
            self.agent.terminate()
        return await asyncio.wait_for(self.agent.wait(), DEADLINE_SECONDS)

    async def kill_agent(self) -> None:
        """As when its memory runs out."""
        assert self.agent is not None
        self.agent.kill()
        await self.agent.wait()

    async def stop_envoy(self) -> None:
        assert self.envoy is not None
        if self.envoy.returncode is None:
            self.envoy.terminate()
        await self.envoy.wait()

    async def log(self) -> str:
        """What the agent wrote so far."""
        return await asyncio.to_thread((self.settings.run_dir / "agent.log").read_text)


@asynccontextmanager
async def gateway_pod(*options: str) -> AsyncIterator[GatewayPod]:
    """A pod whose agent and Envoy run and follow a fake cluster that is empty; `options` go to the agent."""
    # pytest's own folders have names too long for Unix sockets.
    run_dir = Path(tempfile.mkdtemp(prefix="berth-pod-"))
    settings = GatewaySettings(run_dir, port=free_port(), workers=1)
    async with (
        running_api_server(FakeCluster(), (*RIGHTS, SERVICES)) as api,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_SECONDS)) as session,
    ):
        environment = {**os.environ, "KUBECONFIG": str(api.write_kubeconfig(run_dir / "kubeconfig"))}
        pod = GatewayPod(settings, free_port(), api, session, options, _environment=environment)
        try:
            await pod.start_agent()
            await pod.start_envoy()
            yield pod
        finally:
            if pod.envoy is not None:
                await pod.stop_envoy()
            if pod.agent is not None:
                await pod.stop_agent()
            await asyncio.to_thread(shutil.rmtree, run_dir)
