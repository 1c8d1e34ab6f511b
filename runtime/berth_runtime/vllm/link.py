"""The connection between supervisor and middleware: one word a line, over a pair of Unix sockets.

Both ends are open before vLLM starts: neither waits for a file to appear, and nobody else in the pod can speak on it.
The same class is both ends.
"""

import asyncio
import socket
from collections.abc import Callable
from enum import StrEnum
from typing import Final, Self, cast


class Word(StrEnum):
    """What is said. The supervisor says DRAIN, END and LOST, the middleware the others."""

    DRAIN = "drain"  # take nothing new
    END = "end"  # time is up: end what is left, and say so to its clients
    LOST = "lost"  # the engine's part in another pod is gone: tell clients, and say DIED
    READY = "ready"  # the model has answered once
    DRAINED = "drained"  # nothing is on its way any more, after DRAIN
    DIED = "died"  # the engine is gone; clients have been told


_WORDS: Final = frozenset(Word)


class Link(asyncio.Protocol):
    """One end. `on_word` is called with each word of the other side."""

    def __init__(self, on_word: Callable[[Word], None]) -> None:
        self._on_word = on_word
        self._transport: asyncio.Transport | None = None
        self._heard = b""

    @classmethod
    async def open(cls, end: socket.socket, on_word: Callable[[Word], None]) -> Self:
        """Speak over an open socket."""
        end.setblocking(False)
        _, link = await asyncio.get_running_loop().create_unix_connection(lambda: cls(on_word), sock=end)
        return link

    def say(self, word: Word) -> None:
        """Tell the other side; lost where it is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(f"{word}\n".encode())

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours. Its transport is not asyncio's own where vLLM's loop is uvloop."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Words came."""
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace")
            if text in _WORDS:
                self._on_word(Word(text))
