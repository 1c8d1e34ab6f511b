"""The body of a plain HTTP answer, received from its socket by a thread.

On the event loop a byte of a body costs more than its way over a short network: pieces of at most 256 KiB, each a new
object and a turn of the loop, each copied once more by the parser. Where an answer tells its length and no TLS is in
between, the body is nothing but the next bytes of the connection. So the connection is taken away from the session, and
a thread moves them into the partial file, a block at a time, without the interpreter's lock. The connection ends with
the body; over the short ways where all this matters, opening another one costs next to nothing.
`berth_store.download` calls.
"""

import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import aiohttp

from berth_store.answers import TRICKLE_BYTES
from berth_store.partial import STRETCH_BYTES, Partial


class SocketBody:
    """The `length` bytes of a body, of which `early` came with the head. Whoever takes it closes it."""

    def __init__(self, connection: socket.socket, early: bytes, length: int, *, stall_seconds: float) -> None:
        self._connection = connection
        self._early = memoryview(early)
        self._left = length
        self._stall_seconds = stall_seconds
        self._deadline = time.monotonic() + stall_seconds
        self._watched = 0
        connection.setblocking(False)
        self._readable = select.poll()
        self._readable.register(connection, select.POLLIN)

    def receive(self, start: int, stop: int, partial: Partial, kept: Callable[[int], None]) -> int:
        """Write what comes to `partial`, from `start` up to `stop`; where it ended, which is early if the body is.

        Blocks, and reports each stretch to `kept`. What had come before a failure is kept too. TimeoutError where next
        to nothing comes in the time allowed, ConnectionError where the connection breaks.
        """
        position = start
        while self._left and position < stop:
            begun, end = position, min(position + STRETCH_BYTES, stop)
            stretch = partial.begin(position)
            try:
                while self._left and position < end:
                    with partial.turn() as block:
                        piece = self._take(block[: end - position])
                        stretch.write([piece])
                    position += len(piece)
                    self._watch(len(piece))
            finally:
                stretch.end()
                kept(position - begun)
        return position

    def interrupt(self) -> None:
        """Let `receive`, which another thread is in, come to its end now."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connection up."""
        self._connection.close()

    def _take(self, block: memoryview) -> memoryview:
        """The next bytes that are here, at most a block of them; nothing if they have to be waited for."""
        length = min(len(block), self._left)
        if self._early:
            piece, self._early = self._early[:length], self._early[length:]
        else:
            try:
                piece = block[: self._connection.recv_into(block[:length])]
            except BlockingIOError:
                return block[:0]
            if not piece:
                self._left = 0
        self._left -= len(piece)
        return piece

    def _watch(self, count: int) -> None:
        """Wait where nothing has come; a connection that says something now and then has to say enough."""
        self._watched += count
        if self._watched >= TRICKLE_BYTES:
            self._watched, self._deadline = 0, time.monotonic() + self._stall_seconds
        if count == 0 and self._left:
            self._readable.poll(1000 * max(0.0, self._deadline - time.monotonic()))
            if time.monotonic() > self._deadline:
                raise TimeoutError


def take_body(response: aiohttp.ClientResponse, *, stall_seconds: float) -> SocketBody | None:
    """The body, taken away from the answer; None where it can't be, or need not be as it is here already."""
    transport = response.connection.transport if response.connection else None
    length = response.content_length
    if transport is None or length is None or "Transfer-Encoding" in response.headers:
        return None
    if transport.get_extra_info("ssl_object") is not None:
        return None
    connection = transport.get_extra_info("socket").dup()
    try:
        # Nothing is received between these two, as neither lets the event loop run: what comes later is ours.
        early = b"".join(iter(response.content.read_nowait, b""))
        response.close()
    except BaseException:
        connection.close()
        raise
    return SocketBody(connection, early, length, stall_seconds=stall_seconds)
