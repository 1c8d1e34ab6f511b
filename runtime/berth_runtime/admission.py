"""Who may use a model's engine now, who waits, who is turned away. One for each worker; on the loop's thread.

Requests wait here and not in the engine: what waits here goes away with its client at once, an engine would start it.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from berth_runtime.engines.protocol import Failure
from berth_runtime.openai.errors import ApiError

QUEUE_PER_PLACE: Final = 4
RETRY_AFTER_SECONDS: Final = 1


@dataclass(eq=False)
class _Waiting:
    weight: int
    turn: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Admission:
    """`places` requests at once, first come first served, and a bounded queue behind them.

    A request that asks for several choices takes as many places, at most all.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self.queue_limit = places * QUEUE_PER_PLACE
        self._taken = 0
        self._queue: deque[_Waiting] = deque()

    @property
    def taken(self) -> int:
        """Places in use."""
        return self._taken

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return len(self._queue)

    async def enter(self, weight: int = 1) -> int:
        """Wait for one's turn; the places taken, to be given to `leave`. Raises `ApiError` if the queue is full."""
        weight = min(max(weight, 1), self.places)
        if not self._queue and self._taken + weight <= self.places:
            self._taken += weight
            return weight
        if len(self._queue) >= self.queue_limit:
            raise ApiError(overloaded(self._taken, len(self._queue)), retry_after_seconds=RETRY_AFTER_SECONDS)
        waiting = _Waiting(weight)
        self._queue.append(waiting)
        try:
            await waiting.turn
        except asyncio.CancelledError:
            self._give_up(waiting)
            raise
        return weight

    def leave(self, weight: int) -> None:
        """Give the places back."""
        self._taken -= weight
        self._admit()

    def close(self, error: ApiError) -> None:
        """Turn away all that wait."""
        while self._queue:
            turn = self._queue.popleft().turn
            if not turn.done():
                turn.set_exception(error)

    def _admit(self) -> None:
        while self._queue and self._taken + self._queue[0].weight <= self.places:
            waiting = self._queue.popleft()
            if not waiting.turn.done():
                self._taken += waiting.weight
                waiting.turn.set_result(None)

    def _give_up(self, waiting: _Waiting) -> None:
        if waiting in self._queue:
            self._queue.remove(waiting)
        elif waiting.turn.done() and not waiting.turn.cancelled() and waiting.turn.exception() is None:
            self._taken -= waiting.weight  # its turn had come in the same moment
        self._admit()


def overloaded(running: int, queued: int) -> Failure:
    """What is said to a request for which there is no room."""
    return Failure(
        429,
        "overloaded",
        f"The model is busy: {running} requests are running and {queued} wait already. Try again later.",
    )
