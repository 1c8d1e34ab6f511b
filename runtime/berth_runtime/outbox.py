"""How a worker's many threads write to one socket: whoever comes first also sends what the others add meanwhile.

One decode step of an engine makes a chunk for each running stream, on as many threads. Sending releases the
interpreter lock, so the others get to append while the first is in the system call, and its next round sends all of
theirs at once: no thread to wake, no delay for a single stream, few system calls for many.
"""

import socket
from threading import Condition
from typing import Final

from berth_runtime.frames import FrameKind, encode_frame

MAX_PENDING_BYTES: Final = 16 * 1024 * 1024


class Outbox:
    """The writing end of a worker's connection. After the other end has gone, what is put is dropped."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._changed = Condition()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._sending = False
        self._closed = False

    def put(self, kind: FrameKind, exchange: int, payload: bytes = b"") -> None:
        """Send a frame, or leave it to the thread that is sending; blocks only while far too much is pending."""
        frame = encode_frame(kind, exchange, payload)
        with self._changed:
            while self._sending and self._pending_bytes > MAX_PENDING_BYTES:
                self._changed.wait()
            self._pending.append(frame)
            self._pending_bytes += len(frame)
            if self._sending or self._closed:
                return
            self._sending = True
        self._send_pending()

    def _send_pending(self) -> None:
        while True:
            with self._changed:
                frames, self._pending, self._pending_bytes = self._pending, [], 0
                self._changed.notify_all()
                if not frames:
                    self._sending = False
                    return
            try:
                self._connection.sendall(frames[0] if len(frames) == 1 else b"".join(frames))
            except OSError:
                self._closed = True  # the reading thread sees the end of the connection and ends the process
