"""One request at a worker and its answer, as the HTTP process sees it. Made by `berth_runtime.channel`."""

import asyncio
from collections.abc import Callable
from typing import Final

from berth_runtime.engines.protocol import Failure
from berth_runtime.messages import Outcome

# An engine can't be paused, so what a slow client has not read is held here, up to this. One chunk alone may be longer:
# it is a whole answer, nobody was slow to read it, and a frame has a bound of its own.
MAX_UNREAD_BYTES: Final = 8 * 1024 * 1024
READS_TOO_SLOWLY: Final = Failure(
    500,
    "client_too_slow",
    f"More than {MAX_UNREAD_BYTES} bytes of this answer were waiting to be read; read the stream as it comes.",
)

Sink = Callable[[list[bytes]], int]


class Exchange:
    """Chunks as they come, then one outcome.

    The worker's side of it ends when the worker says so, which may be after this side has stopped waiting: `on_end`
    is called then, once, and only then is the place at the engine free.
    """

    __slots__ = ("_cancel", "_chunks", "_on_end", "_outcome", "_sink", "_unread_bytes", "_waiter", "ended")

    def __init__(self, *, cancel: Callable[[], None], on_end: Callable[[Outcome], None]) -> None:
        self.ended = False
        self._cancel = cancel
        self._on_end = on_end
        self._chunks: list[bytes] = []
        self._unread_bytes = 0
        self._outcome: Outcome | None = None
        self._sink: Sink | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def take(self) -> tuple[list[bytes], Outcome | None]:
        """All that has come since the last call, as soon as there is something; the outcome comes last."""
        if not self._chunks and self._outcome is None:
            await self._wait()
        chunks, self._chunks, self._unread_bytes = self._chunks, [], 0
        return chunks, self._outcome

    async def pour(self, sink: Sink) -> Outcome:
        """Have `sink` called with chunks in the moment that they come, until the outcome.

        Nothing is scheduled in between: a task to wake for each token costs as much as all the rest of its way. The
        sink returns how many bytes its client has not read.
        """
        if self._chunks:
            sink(self._chunks)
            self._chunks = []
        self._sink = sink
        if self._outcome is None:
            await self._wait()
        assert self._outcome is not None
        return self._outcome

    def leave(self) -> None:
        """Nobody waits any more: have the engine stop."""
        if not self.ended and self._outcome is None:
            self._outcome = READS_TOO_SLOWLY
            self._chunks.clear()
            self._cancel()

    def fail(self, failure: Failure) -> None:
        """End this side with an error, and have the engine stop."""
        if self._outcome is None:
            self._outcome = failure
            self._wake()
            if not self.ended:
                self._cancel()

    def receive_chunks(self, chunks: list[bytes]) -> None:
        """Chunks came from the worker."""
        if self._outcome is not None:
            return
        if self._sink is not None:
            self._unread_bytes = self._sink(chunks)
        else:
            self._chunks += chunks
            self._unread_bytes += sum(map(len, chunks))
            self._wake()
        if self._unread_bytes > MAX_UNREAD_BYTES and len(self._chunks) != 1:
            self.fail(READS_TOO_SLOWLY)

    def receive_outcome(self, outcome: Outcome) -> None:
        """The worker has ended its side, or is gone."""
        self.ended = True
        if self._outcome is None:
            self._outcome = outcome
            self._wake()
        self._on_end(outcome)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
