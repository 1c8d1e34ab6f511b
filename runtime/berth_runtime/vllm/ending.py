"""How process 1 around vLLM comes to its end: signals, and the reason that the kubelet is left."""

import asyncio
import logging
import os
import signal
from typing import Any, Final

from berth_runtime.diagnosis import MAX_QUOTED
from berth_store.termination import DEFAULT_LOG, write_termination

STATUS_AT_ONCE: Final = 143
STATUS_FAILED: Final = 1
LEAVING: Final = "A member of the group has to end, as one does whose node is drained. The group starts anew."

log = logging.getLogger(__name__)


class Signals:
    """`told` is set when this process has to end. The first signal sets it, the next one ends the process at once.

    Others may set it too: a head has to end when one of its members has to, and a signal after that is the first still.
    """

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self._taken = False

    def listen(self) -> None:
        """Take SIGTERM and SIGINT from now on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.take, number)

    def take(self, number: signal.Signals) -> None:
        """A signal came."""
        if self._taken:
            log.warning("ending at once", extra={"signal": number.name})
            os._exit(STATUS_AT_ONCE)  # the guardian ends vLLM with us
        log.info("signal", extra={"signal": number.name})
        self._taken = True
        self.told.set()


def report_failure(status: int, sentence: str) -> int:
    """Leave the reason where it is looked for; the exit status of this process."""
    log.error("vLLM ended", extra={"status": status, "reason": sentence})
    write_termination(DEFAULT_LOG, sentence.encode()[: 4 * MAX_QUOTED])
    return status if status > 0 else STATUS_FAILED


def report_leaving() -> None:
    """Leave word that nothing is wrong here: while the kubelet waits before the next start, it is what is shown."""
    write_termination(DEFAULT_LOG, LEAVING.encode())


async def wait_first(*any_of: asyncio.Event | asyncio.Task[Any], seconds: float | None = None) -> bool:
    """Wait until one of them has come; whether it did within this time. Tasks go on."""
    events = [asyncio.create_task(one.wait()) for one in any_of if isinstance(one, asyncio.Event)]
    tasks = [one for one in any_of if isinstance(one, asyncio.Task)]
    done, _ = await asyncio.wait({*events, *tasks}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for waiting in events:
        waiting.cancel()
    return bool(done)
