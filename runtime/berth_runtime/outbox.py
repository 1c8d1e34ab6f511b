"""How a worker's many threads write to one socket: whoever comes first also sends what the others add meanwhile.

One decode step of an engine makes a chunk for each running stream, on as many threads. Sending releases the
interpreter lock, so the others get to append while the first is in the system call, and its next round sends all of
theirs at once: no thread to wake, no delay, few system calls for many streams.

A frame may also be held: it goes out with the next one, at the latest after `HOLD_SECONDS`, with all that are held.
"""

import socket
import time
from collections import deque
from threading import Event, Lock, Thread
from typing import Final

from berth_runtime.frames import FrameKind, encode_frame

MAX_PENDING_FRAMES: Final = 16 * 1024
# A trip through two more processes takes half a millisecond from the engine: one each 25 ms was 4 % of a small model's
# tokens, and one for each of sixteen streams 2 %. Now it is half a percent for all together.
HOLD_SECONDS: Final = 0.1


class Outbox:
    """The writing end of a worker's connection. After the other end has gone, what is put is dropped."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._pending: deque[bytes] = deque()
        self._sending = Lock()
        self._closed = False
        self._sent = 0.0
        self._holding = Event()
        Thread(target=self._tick, name="outbox", daemon=True).start()

    def put(self, kind: FrameKind, exchange: int, payload: bytes = b"") -> None:
        """Send a frame, or leave it to the thread that is sending; blocks only while far too much is pending."""
        self._pending.append(encode_frame(kind, exchange, payload))
        self._flush()

    def put_soon(self, kind: FrameKind, exchange: int, payload: bytes = b"") -> None:
        """Send a frame, or hold it where something was sent a moment ago."""
        if time.monotonic() - self._sent >= HOLD_SECONDS:
            self.put(kind, exchange, payload)
            return
        self._pending.append(encode_frame(kind, exchange, payload))
        if not self._holding.is_set():
            self._holding.set()

    def _flush(self) -> None:
        pending = self._pending
        # Looking again after each round is what keeps a frame from being forgotten: it may have been appended after
        # the sender found nothing more, and before it let go of the lock.
        while pending and self._sending.acquire(blocking=len(pending) > MAX_PENDING_FRAMES):
            try:
                self._send_pending()
            finally:
                self._sending.release()

    def _send_pending(self) -> None:
        pending = self._pending
        while pending and not self._closed:
            self._sent = time.monotonic()
            frames = [pending.popleft() for _ in range(len(pending))]
            try:
                self._connection.sendall(frames[0] if len(frames) == 1 else b"".join(frames))
            except OSError:
                self._closed = True  # the reading thread sees the end of the connection and ends the process
        if self._closed:
            pending.clear()

    def _tick(self) -> None:
        """Send what was held and found no next frame; sleeps for good while nothing is held."""
        while self._holding.wait():
            self._holding.clear()
            time.sleep(HOLD_SECONDS)
            self._flush()
