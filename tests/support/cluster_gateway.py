"""A gateway pod for tests: the agent as a process of its own, a real Envoy beside it, and a fake cluster to follow."""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
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
from berth_gateway.last_state import read_documents
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
        metadata = {"namespace": "default", "name": child_name(name, "engine")}
        self.cluster.put(SERVICES, {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {}})
        return self.cluster.put(MODELS, a_manifest("Model", name, spec=written))

    def declare_route(self, name: str, backend: str) -> Object:
        """A ModelRoute to one Model."""
        rules = [{"backends": [{"backendRef": {"kind": "Model", "name": backend}}]}]
        return self.cluster.put(MODEL_ROUTES, a_manifest("ModelRoute", name, spec={"names": [name], "rules": rules}))

    def expose(
        self,
        name: str,
        engine: FakeEngine,
        conditions: Mapping[str, bool] = READY,
        *,
        slice_name: str = "",
        **of_slice: Any,
    ) -> None:
        """What Kubernetes says of one endpoint of the Model, in a slice of its own."""
        key = Key("default", child_name(name, "engine"))
        service = next(one for one in self.cluster.all_of(SERVICES) if one["metadata"]["name"] == key.name)
        endpoint = an_endpoint("127.0.0.1", conditions, pod=str(engine.port))
        uid = service["metadata"]["uid"]
        self.cluster.put(
            ENDPOINT_SLICES,
            a_slice(name, endpoint, port=engine.port, service_uid=uid, name=slice_name, **of_slice),
        )

    async def ask(self, model: str) -> Reply:
        return await send(self.session, self.url + CHAT, {"model": model})

    async def get(self, path: str, *, of_agent: bool = False) -> Reply:
        return await send(self.session, (self.agent_url if of_agent else self.url) + path, method="GET")

    async def programmed(self) -> Any:
        """What the agent says that Envoy has acknowledged."""
        return (await self.get("/programmed", of_agent=True)).json

    async def answers(self, model: str) -> Reply:
        """Wait until the Model's engine answers."""
        return await self._until(lambda: self.ask(model), lambda reply: reply.status == 200)

    async def becomes_unavailable(self, model: str, code: str) -> Reply:
        """Wait until the agent answers for the Model with this code."""
        return await self._until(
            lambda: self.ask(model), lambda reply: reply.status == 503 and reply.error["code"] == code
        )

    async def becomes_unknown(self, model: str) -> Reply:
        """Wait until nothing answers to the name."""
        return await self._until(lambda: self.ask(model), lambda reply: reply.status == 404)

    async def serves(self, key: str) -> None:
        """Wait until Envoy knows an endpoint of the Model, without asking it anything."""
        await self._until(
            lambda: self.get("/metrics", of_agent=True),
            lambda reply: 'berth_gateway_models{phase="Ready"} 1.0' in reply.text,
        )
        await self._until(
            lambda: self.get("/programmed", of_agent=True),
            lambda reply: key in reply.json["models"],
        )
        await self.becomes("/health/ready", 200)

    async def is_recorded(self, name: str) -> None:
        """Wait until the last state on disk holds the Model and an endpoint of it."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                state = await asyncio.to_thread(read_documents, self.settings.last_state_file)
                if state is not None and state.slices and name in str(state.models):
                    return
                await asyncio.sleep(0.02)

    async def is_open(self) -> bool:
        """Whether Envoy takes connections."""
        try:
            await self.get("/health/ready")
        except aiohttp.ClientConnectionError:
            return False
        return True

    async def _until(self, ask: Callable[[], Awaitable[Reply]], holds: Callable[[Reply], bool]) -> Reply:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    reply = await ask()
                    if holds(reply):
                        return reply
                await asyncio.sleep(0.01)

    async def becomes(self, path: str, status: int, *, of_agent: bool = False) -> Reply:
        """Wait until GET of `path` has this status."""
        return await self._until(lambda: self.get(path, of_agent=of_agent), lambda reply: reply.status == status)

    async def start_agent(self) -> None:
        """The agent's container; returns when its port is open."""
        with (self.settings.run_dir / "agent.log").open("ab") as log:
            self.agent = await asyncio.create_subprocess_exec(
                *self._command(), env=self._environment, stdout=log, stderr=log
            )
        await self.becomes("/health/live", 200, of_agent=True)

    def _command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "berth_gateway", "--namespace", "berth-system"),
            *("--run-dir", str(self.settings.run_dir), "--host", "127.0.0.1", "--port", str(self.settings.port)),
            *("--agent-port", str(self.agent_port), *self.options),
        ]

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
async def gateway_pod(
    *options: str, api_server: bool = True, kubeconfig: Path | None = None
) -> AsyncIterator[GatewayPod]:
    """A pod whose agent and Envoy run and follow a fake cluster that is empty; `options` go to the agent.

    With `api_server=False` nobody is at the API server's address until the test starts it. `kubeconfig`
    leads to another cluster than the fake one.
    """
    # pytest's own folders have names too long for Unix sockets.
    run_dir = Path(tempfile.mkdtemp(prefix="berth-pod-"))
    settings = GatewaySettings(run_dir, port=free_port(), workers=1)
    async with (
        running_api_server(FakeCluster(), (*RIGHTS, SERVICES)) as api,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_SECONDS)) as session,
    ):
        chosen = kubeconfig or api.write_kubeconfig(run_dir / "kubeconfig")
        environment = {**os.environ, "KUBECONFIG": str(chosen)}
        pod = GatewayPod(settings, free_port(), api, session, options, _environment=environment)
        if not api_server:
            await api.stop()
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
