"""The HTTP process's end of a worker's connection: exchanges go out, their chunks and outcomes come back.

`berth_runtime.process` makes one for each worker process; it lives as long as that.
"""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import cast

from berth_runtime.engines.protocol import Failure, Request
from berth_runtime.exchange import Exchange
from berth_runtime.frames import WORKER, Frame, FrameDecoder, FrameKind, encode_frame
from berth_runtime.messages import LoadOrder, Outcome, pack_load, pack_request, unpack_outcome


class WorkerChannel(asyncio.Protocol):
    """Frames in and out, on the loop's thread; `on_news` gets what the worker tells of itself."""

    def __init__(self, on_news: Callable[[Frame], None]) -> None:
        self._on_news = on_news
        self._decoder = FrameDecoder()
        self._exchanges: dict[int, Exchange] = {}
        self._numbers = count(1)
        self._transport: asyncio.Transport | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def load(self, order: LoadOrder) -> None:
        """Tell the worker what to load; the first thing it is told."""
        self._send(FrameKind.LOAD, WORKER, pack_load(order))

    def open(self, request: Request, on_end: Callable[[Outcome], None]) -> Exchange:
        """Send a request; its answer comes by the exchange."""
        number = next(self._numbers) & 0xFFFFFFFF or next(self._numbers)
        exchange = Exchange(cancel=lambda: self._send(FrameKind.CANCEL, number), on_end=on_end)
        self._exchanges[number] = exchange
        kind, payload = pack_request(request)
        self._send(kind, number, payload)
        return exchange

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Those that the worker has not ended."""
        return tuple(self._exchanges.values())

    def end_all(self, failure: Failure) -> None:
        """The worker is gone: end what it had not."""
        exchanges, self._exchanges = self._exchanges, {}
        for exchange in exchanges.values():
            exchange.receive_outcome(failure)

    def close(self) -> None:
        """Close the connection; a worker that lives ends by it."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the signature of asyncio
        """Called by the loop, after the last frame."""
        if not self.closed.done():
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        chunks: dict[int, list[bytes]] = {}
        for frame in self._decoder.feed(data):
            if frame.kind is FrameKind.CHUNK:
                chunks.setdefault(frame.exchange, []).append(frame.payload)
            else:
                self._deliver(frame.exchange, chunks.pop(frame.exchange, None))
                self._take_word(frame)
        for number, held in chunks.items():
            self._deliver(number, held)

    def _deliver(self, number: int, chunks: list[bytes] | None) -> None:
        exchange = self._exchanges.get(number)
        if exchange is not None and chunks:
            exchange.receive_chunks(chunks)

    def _take_word(self, frame: Frame) -> None:
        if frame.exchange == WORKER:
            self._on_news(frame)
            return
        exchange = self._exchanges.pop(frame.exchange, None)
        if exchange is not None:
            exchange.receive_outcome(unpack_outcome(frame))

    def _send(self, kind: FrameKind, number: int, payload: bytes = b"") -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode_frame(kind, number, payload))
