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
        self._over = asyncio.Event()
        self._asked = False

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        """Run something that never ends by itself."""
        task = asyncio.create_task(work, name=name)
        self.adopt([task])
        return task

    def adopt(self, tasks: Iterable["asyncio.Task[Any]"]) -> None:
        """Take tasks under the same rule that somebody else has made."""
        for task in tasks:
            self._tasks.add(task)
            task.add_done_callback(self._end)

    def stop(self) -> None:
        """Ask for an orderly end."""
        self._asked = True
        self._over.set()

    async def wait(self) -> bool:
        """Until the end is asked for or a task has ended; True where it was asked for."""
        await self._over.wait()
        return self._asked

    def cancel(self) -> None:
        """Cancel everything, without waiting: kopf's tasks may not listen."""
        for task in self._tasks:
            task.cancel()

    def _end(self, task: "asyncio.Task[Any]") -> None:
        error = None if task.cancelled() else task.exception()
        if self._over.is_set():
            return
        log.critical("a part of the operator has ended", exc_info=error, extra={"task": task.get_name()})
        self._over.set()
