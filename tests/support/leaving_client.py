"""A client that asks for a long text and leaves in the middle of it."""

import asyncio
from typing import Any

import openai
from runtime_server import RuntimeProcess, eventually


async def ask_and_leave(
    runtime: RuntimeProcess, client: openai.AsyncOpenAI, *, model: str, streamed: bool, **asked: Any
) -> float:
    """How many tokens were generated for it, once the runtime has let the request go."""
    await eventually(lambda: runtime.has_in_flight(model, 0))
    before = await runtime.generated_tokens()
    running = asyncio.create_task(client.chat.completions.create(model=model, stream=streamed, **asked))
    await eventually(lambda: runtime.has_in_flight(model, 1))
    if streamed:
        answer: Any = await running
        await answer.close()
    else:
        running.cancel()
    await eventually(lambda: runtime.has_in_flight(model, 0))
    return await runtime.generated_tokens() - before
