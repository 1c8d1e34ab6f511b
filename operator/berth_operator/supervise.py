"""Tasks that must all live as long as the process. Used by process.py, the only way in which a part of it may end.

Crash-only: there is no half-alive operator. When any task ends, whatever the reason, the process ends, and the kubelet
starts a new one that lists everything anew. kopf's tasks are under the same rule.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

log = logging.getLogger(__name__)


class Supervision:
    """A set of tasks, and the wish to stop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stop = asyncio.Event()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        """Run something that never ends by itself."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        return task

    def adopt(self, tasks: Iterable["asyncio.Task[Any]"]) -> None:
        """Take tasks under the same rule that somebody else has made."""
        self._tasks.update(tasks)

    def stop(self) -> None:
        """Ask for an orderly end."""
        self._stop.set()

    async def wait(self) -> bool:
        """Until the end is asked for or a task has ended; True where it was asked for."""
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        await asyncio.wait({stop, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        asked = stop.done()
        stop.cancel()
        if not asked:
            for task in [task for task in self._tasks if task.done()]:
                _tell(task)
        return asked

    def cancel(self) -> None:
        """Cancel everything, without waiting: kopf's tasks may not listen."""
        for task in self._tasks:
            task.cancel()


def _tell(task: "asyncio.Task[Any]") -> None:
    error = None if task.cancelled() else task.exception()
    log.critical("a part of the operator has ended", exc_info=error, extra={"task": task.get_name()})
