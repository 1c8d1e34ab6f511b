"""Runs the parts of the process side by side, until it is told to stop or one of them ends. Used by cluster.py."""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any

_log = logging.getLogger(__name__)


async def supervise(parts: Mapping[str, Coroutine[Any, Any, None]], stop: asyncio.Event) -> int:
    """The exit status: 0 after `stop`, 1 where a part ended: none is meant to, and half a process is no use."""
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(part, name=name) for name, part in parts.items()]
    stopping: asyncio.Task[Any] = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait((stopping, *tasks), return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in tasks if task.done()]
        for task in ended:
            _log.error("a part has ended, so the process ends", extra={"part": task.get_name()}, exc_info=_cause(task))
        return 1 if ended else 0
    finally:
        for task in (stopping, *tasks):
            task.cancel()
        await asyncio.gather(stopping, *tasks, return_exceptions=True)


def _cause(task: asyncio.Task[Any]) -> BaseException | None:
    return None if task.cancelled() else task.exception()
