"""How a worker's many threads write to one socket: whoever comes first also sends what the others add meanwhile.

One decode step of an engine makes a chunk for each running stream, on as many threads. Sending releases the
interpreter lock, so the others get to append while the first is in the system call, and its next round sends all of
theirs at once: no thread to wake, no delay, few system calls for many streams.

A frame may also be held: it goes out with the next one, at the latest after two ticks.
"""

import socket
import time
from collections import deque
from threading import Event, Lock, Thread
from typing import Final

from berth_runtime.frames import FrameKind, encode_frame

MAX_PENDING_FRAMES: Final = 16 * 1024
TICK_SECONDS: Final = 0.06


class Outbox:
    """The writing end of a worker's connection. After the other end has gone, what is put is dropped."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._pending: deque[bytes] = deque()
        self._sending = Lock()
        self._closed = False
        self._holding = Event()
        self._held = 0
        Thread(target=self._tick, name="outbox", daemon=True).start()

    def put(self, kind: FrameKind, exchange: int, payload: bytes = b"") -> None:
        """Send a frame, or leave it to the thread that is sending; blocks only while far too much is pending."""
        self._pending.append(encode_frame(kind, exchange, payload))
        self._flush()

    def hold(self, kind: FrameKind, exchange: int, payload: bytes = b"") -> None:
        """Have a frame sent together with the next one."""
        self._pending.append(encode_frame(kind, exchange, payload))
        self._held += 1
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
            frames = [pending.popleft() for _ in range(len(pending))]
            try:
                self._connection.sendall(frames[0] if len(frames) == 1 else b"".join(frames))
            except OSError:
                self._closed = True  # the reading thread sees the end of the connection and ends the process
        if self._closed:
            pending.clear()

    def _tick(self) -> None:
        """Send what was held and found no next frame; sleeps for good while nothing is held."""
        seen = 0
        while self._holding.wait():
            time.sleep(TICK_SECONDS)
            if seen == self._held:
                self._holding.clear()
                self._flush()
            seen = self._held
