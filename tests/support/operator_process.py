"""The operator as a process of its own against an API server, and what a kubelet would do for its pods.

    async with running_operator(server, namespace, folder) as operator:
        await operator.until_leading()

It watches one namespace only and keeps its Lease there, so that many tests share an API server. No controller runs
beside it: `Cluster` here means a connection of the test's own, by which it plays users, controllers and kubelets.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from api_server import ApiServer, free_port
from model_builders import a_manifest

from berth_api.names import model_labels
from berth_kube.client import HttpCluster
from berth_kube.cluster import Scope
from berth_kube.resources import JOBS, PODS, Key, Object, Resource
from berth_operator.subject import MODEL_ROUTES, MODELS

DEADLINE_SECONDS = 60
DIGEST = "sha256:" + "ab" * 32
LEASE = {"durationSeconds": 5, "renewDeadlineSeconds": 3, "retrySeconds": 0.5}
"""Shorter than in production, so that a test of succession takes seconds."""


@dataclass
class OperatorProcess:
    """One replica."""

    process: asyncio.subprocess.Process
    port: int
    log: Path
    session: aiohttp.ClientSession

    async def probe(self, path: str) -> int:
        """The status of a probe; 0 where nobody listens."""
        try:
            async with self.session.get(f"http://127.0.0.1:{self.port}{path}") as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    async def metric(self, name: str) -> float:
        """The sum of a metric over its labels; `name` may carry some of them, as in `writes_total{kind="Job"`."""
        async with self.session.get(f"http://127.0.0.1:{self.port}/metrics") as response:
            lines = (await response.text()).splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"berth_operator_{name}"))

    async def until_ready(self) -> None:
        async def is_ready() -> bool:
            return await self.probe("/readyz") == 200

        await self.until(is_ready)

    async def until_leading(self) -> None:
        async def leads() -> bool:
            return await self.probe("/healthz") == 200 and await self.metric("leading") == 1

        await self.until(leads)

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Wait for something; the end of the process or of patience fails with its log."""
        try:
            await until(holds, unless=lambda: self.process.returncode is not None)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from None

    async def terminate(self) -> int:
        """Ask for an orderly end; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def kill(self) -> None:
        """End it in the middle of whatever it does."""
        self.process.kill()
        await self.process.wait()

    async def ended(self) -> int:
        """The exit status, once it has ended by itself."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self.process.wait()

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-6000:]

    def memory_bytes(self) -> int:
        """What it holds of the machine's memory now."""
        return _memory_bytes(self.process.pid)


def _memory_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024


async def until(holds: Callable[[], Awaitable[bool]], *, unless: Callable[[], bool] = lambda: False) -> None:
    """Wait for something that will be so."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not unless():
                if await holds():
                    return
                await asyncio.sleep(0.02)
    raise AssertionError("it did not come to be")


@asynccontextmanager
async def running_operator(
    server: ApiServer,
    namespace: str,
    folder: Path,
    *,
    name: str = "operator-1",
    kubeconfig: Path | None = None,
    prologue: str = "",
    **settings: Any,
) -> AsyncIterator[OperatorProcess]:
    """A replica that watches one namespace; `settings` replace fields of its file, in the file's words.

    It may do everything, unless `kubeconfig` is of somebody who may not. `prologue` is Python that runs before it does.
    """
    port = free_port()
    config = folder / f"{name}.yaml"
    await asyncio.to_thread(config.write_text, json.dumps(_settings(namespace, port) | settings))
    log = folder / f"{name}.log"
    environment = os.environ | {
        "KUBECONFIG": str(kubeconfig or server.kubeconfig),
        "POD_NAME": name,
        "HOME": str(folder),
    }
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _WITHOUT_CLIENT.format(prologue=prologue), "--config", str(config)),
            stdout=output,
            stderr=output,
            env=environment,
        )
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        try:
            yield OperatorProcess(process, port, log, session)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


# kopf imports the large client where it is installed, as it is for tests; the operator's image is without it.
_WITHOUT_CLIENT = """
import runpy, sys
sys.modules["kubernetes"] = None
{prologue}
runpy.run_module("berth_operator", run_name="__main__", alter_sys=True)
"""


def _settings(namespace: str, port: int) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "watchNamespaces": [namespace],
        "images": {"fetch": "berth/fetch:1", "cpu": "berth/cpu:1"},
        "readNodes": False,
        "lease": LEASE,
        "port": port,
    }


@dataclass
class Town:
    """A namespace in which an operator works, seen by whoever else lives there."""

    cluster: HttpCluster
    namespace: str
    _pods: int = field(default=0)

    async def declare(self, name: str = "qwen", **spec: Any) -> Object:
        """Make or edit a Model. What is known of its artifact is said, so that it needs no resolver."""
        known = {
            "source": {"uri": f"oci://registry.example.com/ai/{name}:1", "digest": DIGEST},
            "artifact": {"format": "GGUF", "task": "Chat", "sizeBytes": 1000},
        }
        body = a_manifest("Model", name, namespace=self.namespace, spec={**known, **spec})
        return await self.cluster.apply(MODELS, body, manager="a-user")

    async def declare_unknown(self, name: str = "qwen", **spec: Any) -> Object:
        """Make a Model of which nothing but the source is known."""
        source = {"source": {"uri": f"oci://registry.example.com/ai/{name}:1"}}
        body = a_manifest("Model", name, namespace=self.namespace, spec={**source, **spec})
        return await self.cluster.apply(MODELS, body, manager="a-user")

    async def declare_route(self, name: str = "chat", *, model: str = "qwen") -> Object:
        """Make a ModelRoute with one backend."""
        rules = [{"backends": [{"backendRef": {"kind": "Model", "name": model}, "weight": 1}]}]
        body = a_manifest("ModelRoute", name, namespace=self.namespace, spec={"names": [name], "rules": rules})
        return await self.cluster.apply(MODEL_ROUTES, body, manager="a-user")

    async def forget(self, resource: Resource, name: str) -> None:
        """Delete an object."""
        found = await self.cluster.get(resource, Key(self.namespace, name))
        await self.cluster.delete(resource, Key(self.namespace, name), uid=found["metadata"]["uid"])

    async def all_of(self, resource: Resource) -> dict[str, Object]:
        """The objects of a kind by name."""
        page = await self.cluster.list_page(resource, Scope(self.namespace))
        return {one["metadata"]["name"]: one for one in page.items}

    async def condition(self, name: str, type_: str, resource: Resource = MODELS) -> Mapping[str, Any]:
        """A condition of a Model or ModelRoute; empty while nothing was said of it."""
        found = await self.cluster.get(resource, Key(self.namespace, name))
        conditions = found.get("status", {}).get("conditions", ())
        return next((one for one in conditions if one["type"] == type_), {})

    async def end_resolver(self, job: str, message: str, *, code: int = 0) -> None:
        """What Job controller and kubelet do: a pod that has ended with this termination message."""
        owner = (await self.all_of(JOBS))[job]
        terminated = {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "message": message}
        status = {"name": "resolve", "state": {"terminated": terminated | _TIMES}, "image": "x", "imageID": "x"}
        await self.play_pod(
            f"{job}-pod",
            labels=owner["spec"]["template"]["metadata"]["labels"],
            owner=owner,
            status={
                "phase": "Succeeded" if code == 0 else "Failed",
                "containerStatuses": [{**status, "ready": False, "restartCount": 0}],
            },
        )

    async def serve(self, model: str, name: str = "", **status: Any) -> None:
        """A ready pod of a Model, as its Deployment's controllers and the kubelet would bring it up."""
        self._pods += 1
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": _TIMES["finishedAt"]}
        running = {"name": "engine", "state": {"running": {}}, "ready": True, "restartCount": 0}
        await self.play_pod(
            name or f"{model}-{self._pods}",
            labels=model_labels(model),
            status={
                "phase": "Running",
                "conditions": [ready],
                "containerStatuses": [{**running, "image": "x", "imageID": "x"}],
                **status,
            },
        )

    async def play_pod(
        self, name: str, *, labels: Mapping[str, str], status: Object, owner: Object | None = None
    ) -> None:
        """A pod with this status. It has no node, so nobody else has a word in it."""
        metadata: dict[str, Any] = {"name": name, "namespace": self.namespace, "labels": dict(labels)}
        if owner is not None:
            reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "controller": True}
            identity = {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
            metadata["ownerReferences"] = [{**reference, **identity}]
        spec = {"containers": [{"name": "engine", "image": "x"}]}
        head = {"apiVersion": "v1", "kind": "Pod"}
        await self.cluster.create(PODS, {**head, "metadata": metadata, "spec": spec})
        await self.cluster.apply_status(
            PODS,
            {**head, "metadata": {"name": name, "namespace": self.namespace}, "status": status},
            manager="a-kubelet",
        )

    async def versions(self, *resources: Resource) -> dict[str, str]:
        """The resource version of everything of these kinds: what is written changes one."""
        found = {}
        for resource in resources:
            for name, one in (await self.all_of(resource)).items():
                found[f"{resource.kind}/{name}"] = str(one["metadata"]["resourceVersion"])
        return found


_TIMES = {"startedAt": "2026-03-01T12:00:00Z", "finishedAt": "2026-03-01T12:00:04Z"}
