"""Concurrency for transfers: tasks that fail together, and threads that are never left behind."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


async def run_all(work: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Run all coroutines at once. The first error cancels the rest, and is raised by itself once they have ended."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in work:
                group.create_task(coroutine)
    except BaseExceptionGroup as errors:
        raise _first(errors) from None


class Budget:
    """An amount of which tasks take parts and give them back; who comes first is served first."""

    def __init__(self, total: int) -> None:
        self._left = total
        self._turn = asyncio.Lock()
        self._given_back = asyncio.Event()

    @asynccontextmanager
    async def take(self, part: int) -> AsyncIterator[None]:
        """Hold a part, which is no larger than the total, as soon as that much is left."""
        async with self._turn:
            while self._left < part:
                self._given_back.clear()
                await self._given_back.wait()
            self._left -= part
        try:
            yield
        finally:
            self._left += part
            self._given_back.set()


async def in_thread(
    function: Callable[_Parameters, _Result], *arguments: _Parameters.args, **options: _Parameters.kwargs
) -> _Result:
    """Run a blocking function in a thread. When cancelled, wait for it first: its file may be closed next."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *arguments, **options))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


async def in_pool(
    pool: Executor, function: Callable[[], _Result], *, interrupt: Callable[[], None] = lambda: None
) -> _Result:
    """Run a function that blocks for long in a thread of `pool`. When cancelled, `interrupt` it, and wait for it."""
    work = asyncio.get_running_loop().run_in_executor(pool, function)
    try:
        await asyncio.wait([work])
    except asyncio.CancelledError:
        interrupt()
        await asyncio.wait([work])
        work.exception()
        raise
    return work.result()


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
