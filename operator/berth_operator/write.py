"""The one way by which the operator writes: rate, number at once and the Lease bound it. Used by execute.py."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from berth_api.errors import BerthError
from berth_kube.errors import ClusterError, Unreachable
from berth_operator.metrics import OperatorMetrics

LONGEST_WRITE_SECONDS: Final = 10.0

T = TypeVar("T")


class NotLeading(BerthError):  # noqa: N818 - reads as the sentence that it is
    """Another replica may lead by now, so this one must not write."""


class Rate(Protocol):
    """A token bucket. See `TokenBucket`."""

    async def acquire(self) -> None:
        """Wait for a token, and take it."""


class Writer:
    """Lets writes through. `deadline` says for how many seconds from now this replica surely leads; 0 or less is no."""

    def __init__(self, *, rate: Rate, at_once: int, deadline: Callable[[], float], metrics: OperatorMetrics) -> None:
        self._rate = rate
        self._slots = asyncio.Semaphore(at_once)
        self._deadline = deadline
        self._metrics = metrics

    async def write(self, verb: str, kind: str, request: Callable[[], Awaitable[T]]) -> T:
        """Send a request as soon as one may be sent. Raises what it raises, NotLeading, or Unreachable when it is late.

        The time left is asked for last, after every wait: a request is never on its way after the Lease has run out.
        """
        async with self._slots:
            await self._rate.acquire()
            seconds = min(LONGEST_WRITE_SECONDS, self._deadline())
            if seconds <= 0:
                raise NotLeading("the Lease is not held any more, so nothing is written")
            try:
                async with asyncio.timeout(seconds):
                    answer = await request()
            except TimeoutError:
                self._metrics.count_write(verb, kind, "Unreachable")
                raise Unreachable(f"no answer to {verb} {kind} within {seconds:.1f} s") from None
            except ClusterError as error:
                self._metrics.count_write(verb, kind, type(error).__name__)
                raise
            self._metrics.count_write(verb, kind, "ok")
            return answer
