"""A real worker process with a real engine, driven over its connection as the HTTP process does it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from berth_api.artifact import EngineType, Task
from berth_runtime.arguments import ModelArgument, Options
from berth_runtime.engines.protocol import Capabilities, Failure, Request, Rows
from berth_runtime.frames import Frame
from berth_runtime.messages import Answered, Loaded, LoadRefused, Outcome, unpack_news
from berth_runtime.process import WorkerProcess
from berth_runtime.resolution import resolve_model

START_SECONDS = 60.0
ANSWER_SECONDS = 60.0


class Refused(Exception):  # noqa: N818 - reads as what happened
    """The worker could not load the model; the message is its sentence."""


@dataclass
class RunningWorker:
    """A worker whose engine has answered once."""

    process: WorkerProcess
    capabilities: Capabilities

    async def ask(self, request: Request) -> tuple[list[bytes], Outcome]:
        """All chunks, and the outcome."""
        exchange = self.process.channel.open(request, lambda outcome: None)
        chunks: list[bytes] = []
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                more, outcome = await exchange.take()
                chunks += more
                if outcome is not None:
                    return chunks, outcome

    async def matrix(self, request: Request) -> NDArray[np.float32]:
        """The answer to a request that is answered with rows."""
        _, outcome = await self.ask(request)
        assert isinstance(outcome, Rows), outcome
        return np.frombuffer(outcome.values, "<f4").reshape(-1, outcome.columns)

    async def refused(self, request: Request) -> Failure:
        """Why a request was refused."""
        _, outcome = await self.ask(request)
        assert isinstance(outcome, Failure), outcome
        return outcome


@asynccontextmanager
async def running_worker(
    path: Path, *, task: Task = Task.AUTO, engine: EngineType = EngineType.AUTO, **args: str
) -> AsyncIterator[RunningWorker]:
    """A worker for the model at `path`, found and chosen as the command does it; raises `Refused`."""
    model = ModelArgument(name="model", path=path)
    options = Options(
        models=(model,),
        adapters={},
        host="",
        port=0,
        engine=engine,
        task=task,
        context_length=None,
        parallel_sequences=None,
        chat_template=None,
        drain_timeout_seconds=1,
        engine_args=args,
        log_requests=False,
    )
    resolved = await resolve_model(model, options)
    news: asyncio.Queue[Frame] = asyncio.Queue()
    process = await WorkerProcess.start("model", news.put_nowait)
    try:
        process.channel.load(resolved.order)
        yield RunningWorker(process, await _wait_until_ready(news))
    finally:
        await process.stop()


async def _wait_until_ready(news: asyncio.Queue[Frame]) -> Capabilities:
    capabilities: Capabilities | None = None
    await news.get()  # it has started
    async with asyncio.timeout(START_SECONDS):
        while True:
            match unpack_news(await news.get()):
                case LoadRefused(message):
                    raise Refused(message)
                case Loaded(found, _):
                    capabilities = found
                case Answered():
                    assert capabilities is not None
                    return capabilities
