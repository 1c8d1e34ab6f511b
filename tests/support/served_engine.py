"""A real engine in its worker process, asked by the values of the protocol instead of HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from runtime_server import eventually

from berth_runtime.arguments import parse_arguments
from berth_runtime.engines.protocol import Failure, Request, Rows, Usage
from berth_runtime.resolution import resolve_model
from berth_runtime.served import ServedModel
from berth_runtime.supervision import State

START_SECONDS = 90.0


@asynccontextmanager
async def serve_engine(*arguments: str) -> AsyncIterator[ServedModel]:
    """The one model of a command line, once it is ready or can't be."""
    options = parse_arguments(arguments)
    argument = options.models[0]
    model = ServedModel(argument.name, partial(resolve_model, argument, options), lambda _: None)
    life = asyncio.create_task(model.run())

    async def settled() -> bool:
        return model.life.state in {State.READY, State.FAILED}

    try:
        await eventually(settled, seconds=START_SECONDS)
        yield model
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)


async def ask(model: ServedModel, request: Request) -> tuple[list[bytes], Usage | Rows | Failure]:
    """All chunks of the answer, and how it ended."""
    exchange = await model.open(request)
    found: list[bytes] = []
    while True:
        chunks, outcome = await exchange.take()
        found += chunks
        if outcome is not None:
            return found, outcome
