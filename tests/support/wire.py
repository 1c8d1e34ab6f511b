"""A relay on loopback in front of an HTTP server: it counts, slows down, cuts, and notes what was asked.

async with Wire(registry.port, bytes_per_second=50_000_000) as wire:
    ...  # talk to wire.address
    wire.asked            # every request with its Range
    wire.cut_uploads(after_bytes=5_000_000)
"""

import asyncio
import contextlib
import re
from dataclasses import dataclass
from typing import Self

from berth_store.ranges import Range

_BLOCK = 64 * 1024
_HEAD = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE) (\S+) HTTP/1\.1\r\n")
_RANGE = re.compile(rb"\r\nRange: bytes=(\d+)-(\d+)\r\n", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n", re.IGNORECASE)


@dataclass(frozen=True)
class Asked:
    """One request that went through."""

    method: str
    path: str
    span: Range | None
    length: int


class Wire:
    """The relay; use it as an async context manager."""

    def __init__(self, port: int, *, bytes_per_second: float | None = None) -> None:
        self.asked: list[Asked] = []
        self.downloaded_bytes = 0
        self.uploaded_bytes = 0
        self._target = port
        self._pace = bytes_per_second
        self._up_pace: float | None = None
        self._free_at = 0.0
        self._cut_at: int | None = None
        self._cuts = 0
        self._lost, self._losses = b"", 0
        self._largest_body: int | None = None
        self._moved = asyncio.Event()
        self._relays: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_BLOCK)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for relay in self._relays:
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cut_uploads(self, *, after_bytes: int, times: int = 1) -> None:
        """Break the connection when so many more bytes have gone up, so many times."""
        self._cut_at, self._cuts, self._cut_every = self.uploaded_bytes + after_bytes, times, after_bytes

    def pace_uploads(self, bytes_per_second: float | None) -> None:
        """Let no more go up in a second, over all connections together; None for as much as comes."""
        self._up_pace = bytes_per_second

    async def wait_for_uploaded(self, count_bytes: int) -> None:
        """Return when so many bytes have gone up."""
        while self.uploaded_bytes < count_bytes:
            self._moved.clear()
            await self._moved.wait()

    def lose_answers(self, status: int, times: int = 1) -> None:
        """Break the connection in place of the next answers with this status."""
        self._lost, self._losses = f"HTTP/1.1 {status} ".encode(), times

    def refuse_bodies_over(self, largest_bytes: int) -> None:
        """Answer 413 to longer bodies, as a proxy with a limit does."""
        self._largest_body = largest_bytes

    async def wait_for_downloaded(self, count_bytes: int) -> None:
        """Return when so many bytes have come down."""
        while self.downloaded_bytes < count_bytes:
            self._moved.clear()
            await self._moved.wait()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._relays.add(task)
        task.add_done_callback(self._relays.discard)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                async with asyncio.TaskGroup() as both:
                    up = both.create_task(self._up(reader, upstream_writer, writer))
                    both.create_task(self._down(upstream_reader, writer, up))
            except* ConnectionError:
                pass
            finally:
                for side in (writer, upstream_writer):
                    side.transport.abort()

    async def _up(
        self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(_BLOCK):
            if _HEAD.match(data):
                asked = self._note(data)
                if self._largest_body is not None and asked.length > self._largest_body:
                    client.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    await client.drain()
                    raise ConnectionError("refused")
            self.uploaded_bytes += len(data)
            if self._cuts and self._cut_at is not None and self.uploaded_bytes >= self._cut_at:
                self._cuts -= 1
                self._cut_at += self._cut_every
                raise ConnectionError("cut")
            await self._keep_pace(len(data), self._up_pace)
            upstream.write(data)
            await upstream.drain()
            self._moved.set()
        if upstream.can_write_eof():
            upstream.write_eof()

    async def _down(
        self, upstream: asyncio.StreamReader, client: asyncio.StreamWriter, up: "asyncio.Task[None]"
    ) -> None:
        while data := await upstream.read(_BLOCK):
            if self._losses and data.startswith(self._lost):
                self._losses -= 1
                raise ConnectionError("lost")
            await self._keep_pace(len(data), self._pace)
            client.write(data)
            await client.drain()
            self.downloaded_bytes += len(data)
            self._moved.set()
        up.cancel()

    async def _keep_pace(self, count: int, pace: float | None) -> None:
        if pace is None:
            return
        now = asyncio.get_running_loop().time()
        self._free_at = max(now, self._free_at) + count / pace
        await asyncio.sleep(self._free_at - now)

    def _note(self, data: bytes) -> Asked:
        head, span, length = _HEAD.match(data), _RANGE.search(data), _LENGTH.search(data)
        assert head is not None
        asked = Asked(
            method=head[1].decode(),
            path=head[2].decode(),
            span=Range(int(span[1]), int(span[2]) + 1) if span else None,
            length=int(length[1]) if length else 0,
        )
        self.asked.append(asked)
        return asked
