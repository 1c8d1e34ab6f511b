"""SIGINT, SIGTERM and SIGHUP while an instance runs: the first stops in order, the next stop at once."""

import asyncio
import signal
from contextlib import AbstractContextManager
from types import TracebackType

from berth_cli.laptop.serve import Instance

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals(AbstractContextManager["StopSignals"]):
    """Takes the signals from now on; before an instance is there, the first one cancels the beginning."""

    def __init__(self) -> None:
        self._instance: Instance | None = None
        self._beginning: asyncio.Task[object] | None = None
        self._count = 0

    def __enter__(self) -> "StopSignals":
        self._beginning = asyncio.current_task()
        for number in _NUMBERS:
            asyncio.get_running_loop().add_signal_handler(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in _NUMBERS:
            asyncio.get_running_loop().remove_signal_handler(number)

    def connect(self, instance: Instance) -> None:
        """From now on the signals are for `instance`."""
        self._instance = instance

    def _take(self) -> None:
        self._count += 1
        if self._instance is None:
            if self._beginning is not None:
                self._beginning.cancel()
        elif self._count == 1:
            self._instance.stop()
        else:
            self._instance.stop_at_once()
