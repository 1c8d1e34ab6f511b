"""The runtime's server for tests: in this process with fake engines in its workers, or as the real command."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from berth_api.artifact import Artifact, EngineType, Format, Task
from berth_runtime.engines.protocol import EngineSettings
from berth_runtime.messages import LoadOrder
from berth_runtime.served import ResolvedModel
from berth_runtime.server import Server
from berth_store.detect import DetectedModel

DEADLINE_SECONDS = 30.0
START_SECONDS = 60.0
T = TypeVar("T")
SUPPORT = Path(__file__).parent


def a_fake_model(name: str, *, task: Task = Task.CHAT, **args: str) -> ResolvedModel:
    """A model of the fake engine, which gets `args` as engine arguments."""
    artifact = Artifact(format=Format.GGUF, task=task)
    model = DetectedModel(artifact=artifact, root=Path("/nowhere"), weights=(Path("/nowhere/model.gguf"),))
    settings = EngineSettings(model=model, name=name, task=task, threads=1, memory_bytes=1 << 30, args=args)
    return ResolvedModel(EngineType.LLAMA_CPP, task, Format.GGUF, LoadOrder("fake_worker_engine", settings))


@dataclass
class RunningServer:
    """A server with its address; `session` is an HTTP client for it."""

    server: Server
    base_url: str
    session: aiohttp.ClientSession

    def chat(self, orders: str, *, model: str = "fake", **more: Any) -> Any:
        """A chat whose one message is `orders` for the fake engine; an async context manager."""
        body = {"model": model, "messages": [{"role": "user", "content": orders}], **more}
        return self.session.post(f"{self.base_url}/v1/chat/completions", json=body)

    async def status(self, name: str = "fake") -> dict[str, Any]:
        """One model of `/status`."""
        async with self.session.get(f"{self.base_url}/status") as response:
            models: list[dict[str, Any]] = (await response.json())["models"]
        return next(model for model in models if model["name"] == name)

    async def wait_for_state(self, state: str, name: str = "fake") -> dict[str, Any]:
        """Poll `/status` until the model is in that state."""

        async def there() -> dict[str, Any] | None:
            status = await self.status(name)
            return status if status["state"] == state else None

        return await eventually(there)


async def eventually(attempt: Callable[[], Awaitable[T | None]], *, seconds: float = DEADLINE_SECONDS) -> T:
    """What `attempt` returns once it is something."""
    async with asyncio.timeout(seconds):
        while not (found := await attempt()):
            await asyncio.sleep(0.02)
        return found


async def read_stream(response: aiohttp.ClientResponse) -> tuple[str, bool]:
    """The rest of a stream, and whether it ended as a body should."""
    text = b""
    try:
        async for piece in response.content.iter_any():
            text += piece
    except aiohttp.ClientPayloadError:
        return text.decode(), False
    return text.decode(), True


@asynccontextmanager
async def serve_fakes(
    *models: ResolvedModel, drain_timeout_seconds: float = 5.0, wait_ready: bool = True
) -> AsyncIterator[RunningServer]:
    """A server in this process, whose workers run fake engines; they find them by PYTHONPATH."""

    async def resolve(model: ResolvedModel) -> ResolvedModel:
        return model

    resolvers = {model.order.settings.name: partial(resolve, model) for model in models or (a_fake_model("fake"),)}
    server = Server(resolvers, host="127.0.0.1", port=0, drain_timeout_seconds=drain_timeout_seconds)
    async with python_path_with_support(), aiohttp.ClientSession() as session:
        port = await server.start()
        running = RunningServer(server, f"http://127.0.0.1:{port}", session)
        try:
            if wait_ready:
                for name in resolvers:
                    await running.wait_for_state("Ready", name)
            yield running
        finally:
            await session.close()
            await server.stop()


@asynccontextmanager
async def python_path_with_support() -> AsyncIterator[None]:
    """Workers that are started meanwhile find the fakes; what the user had set stays, and comes back."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(SUPPORT), *([before] if before else [])])
    try:
        yield
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before


@dataclass
class RuntimeProcess:
    """`python -m berth_runtime` as a process of its own."""

    process: asyncio.subprocess.Process
    base_url: str
    log: list[dict[str, Any]]

    async def status(self) -> dict[str, dict[str, Any]]:
        """`/status`, by name."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.base_url}/status") as response:
            models: list[dict[str, Any]] = (await response.json())["models"]
        return {model["name"]: model for model in models}

    async def wait_for_states(self, wanted: Mapping[str, str], *, seconds: float = 90) -> dict[str, dict[str, Any]]:
        """Poll `/status` until each model is in its state."""

        async def there() -> dict[str, dict[str, Any]] | None:
            status = await self.status()
            return status if all(status[name]["state"] == state for name, state in wanted.items()) else None

        return await eventually(there, seconds=seconds)

    async def has_in_flight(self, name: str, count: int) -> bool:
        """Whether so many requests are in the model now."""
        return bool((await self.status())[name]["inFlight"] == count)

    async def generated_tokens(self) -> float:
        """How many tokens its models have generated since the start."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.base_url}/metrics") as response:
            lines = (await response.text()).splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("berth_generated_tokens_total{"))

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and wait for the exit status."""
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), DEADLINE_SECONDS)


@asynccontextmanager
async def start_runtime(
    *arguments: str, python: Path = Path(sys.executable), environment: Mapping[str, str] | None = None
) -> AsyncIterator[RuntimeProcess]:
    """Start the command on a free port; it listens when this returns, and is killed in the end if it still lives."""
    process = await asyncio.create_subprocess_exec(
        *(str(python), "-m", "berth_runtime", "--host", "127.0.0.1", "--port", "0", *arguments),
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    log: list[dict[str, Any]] = []
    reader: asyncio.Task[None] | None = None
    try:
        assert process.stderr is not None
        first = await asyncio.wait_for(process.stderr.readline(), START_SECONDS)
        if b'"port"' not in first:
            process.kill()
            raise AssertionError(f"no first line of a server: {(first + await process.stderr.read()).decode()}")
        log.append(json.loads(first))
        reader = asyncio.create_task(_read_log(process.stderr, log))
        yield RuntimeProcess(process, f"http://127.0.0.1:{log[0]['port']}", log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if reader is not None:
            await reader


async def _read_log(stream: asyncio.StreamReader, log: list[dict[str, Any]]) -> None:
    while line := await stream.readline():
        log.append(json.loads(line))
