"""A streamed chat of a known number of tokens, for tests of what happens to a stream while it runs.

How many tokens run for how long depends on the machine, so a test measures first:

    tokens = await tokens_that_run_for(client, "chat", seconds=15, most=1900)
    stream = await LongStream.begin(client, "chat", tokens)   # returns with the first piece
    ...
    assert stream.is_running
    await stream.ends_whole()
"""

import asyncio

import openai
from openai import AsyncStream
from openai.types.chat import ChatCompletionChunk

_MEASURED_TOKENS = 24
_FEWEST_TOKENS = 3
_END_SECONDS = 180.0


class LongStream:
    """One stream; made by `begin`."""

    def __init__(self, events: AsyncStream[ChatCompletionChunk], tokens: int) -> None:
        self._tokens = tokens
        self._started = asyncio.Event()
        self.finish_reason: str | None = None
        self.completion_tokens = 0
        self.task = asyncio.create_task(self._read(events))

    @classmethod
    async def begin(cls, client: openai.AsyncOpenAI, model: str, tokens: int) -> "LongStream":
        """Returns once the first piece is there."""
        events = await client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "Write a very long story about a ship."}],
            max_tokens=tokens,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"ignore_eos": True},
        )
        stream = cls(events, tokens)
        await asyncio.wait_for(stream._started.wait(), _END_SECONDS)
        return stream

    @property
    def is_running(self) -> bool:
        """Whether more is to come."""
        return not self.task.done()

    async def ends_whole(self) -> None:
        """Reads to the end, which has to be the last of the tokens that were asked for."""
        await asyncio.wait_for(self.task, _END_SECONDS)
        assert (self.finish_reason, self.completion_tokens) == ("length", self._tokens)

    async def ends_cut_short(self) -> None:
        """Reads until the connection breaks, which has to be before the last token."""
        (error,) = await asyncio.wait_for(asyncio.gather(self.task, return_exceptions=True), _END_SECONDS)
        assert isinstance(error, Exception)
        assert self.finish_reason is None

    async def _read(self, events: AsyncStream[ChatCompletionChunk]) -> None:
        try:
            async for event in events:
                if event.choices and event.choices[0].delta.content:
                    self._started.set()
                if event.choices and event.choices[0].finish_reason:
                    self.finish_reason = event.choices[0].finish_reason
                if event.usage:
                    self.completion_tokens = event.usage.completion_tokens
        finally:
            self._started.set()


async def tokens_that_run_for(client: openai.AsyncOpenAI, model: str, *, seconds: float, most: int) -> int:
    """How many tokens this machine needs about `seconds` for, by the pace of a few."""
    loop = asyncio.get_running_loop()
    stream = await LongStream.begin(client, model, _MEASURED_TOKENS)
    started = loop.time()
    await stream.ends_whole()
    each_seconds = (loop.time() - started) / (_MEASURED_TOKENS - 1)
    return max(_FEWEST_TOKENS, min(most, round(seconds / each_seconds)))
