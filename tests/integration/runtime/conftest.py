"""What several modules need that have a `runtime` of their own: the official client of it."""

from collections.abc import AsyncIterator

import openai
import pytest_asyncio
from runtime_server import RuntimeProcess


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(runtime: RuntimeProcess) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{runtime.base_url}/v1", api_key="none", max_retries=0) as client:
        yield client
