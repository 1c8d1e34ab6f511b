"""A line with a round trip and a limit for each connection, as between a cluster and a distant registry.

`python -m bench.slow_line --port P --to Q --round-trip-milliseconds 50 --bytes-per-second 20000000` hands every
connection on to 127.0.0.1:Q. What comes back is paced connection by connection, which is what many object stores do:
one stream gets no more, several get several times as much.
"""

import argparse
import asyncio
from contextlib import suppress

PIECE_BYTES = 64 * 1024
# What is on its way at once; beyond it the sender has to wait, as with a full window of TCP.
PIECES_ON_THE_WAY = 64


class Line:
    """Hands connections on. `bytes_per_second` bounds what each gets from the other end; 0 bounds nothing."""

    def __init__(self, to: int, *, delay_seconds: float, bytes_per_second: float) -> None:
        self._to = to
        self._delay_seconds = delay_seconds
        self._bytes_per_second = bytes_per_second

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        ways = [
            asyncio.create_task(self._carry(reader, far_writer, 0.0)),
            asyncio.create_task(self._carry(far_reader, writer, self._bytes_per_second)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        # An answer that is still on its way is delivered, also where the asking side has said its last word.
        await asyncio.wait(ways, timeout=5.0)
        for way in ways:
            way.cancel()
        for each in (writer, far_writer):
            each.close()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, rate: float) -> None:
        way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(PIECES_ON_THE_WAY)
        arriving = asyncio.create_task(self._deliver(way, sink))
        loop, free_at = asyncio.get_running_loop(), 0.0
        with suppress(ConnectionError):
            while piece := await source.read(PIECE_BYTES):
                free_at = max(free_at, loop.time()) + (len(piece) / rate if rate else 0.0)
                await way.put((free_at + self._delay_seconds, piece))
        await way.put((loop.time() + self._delay_seconds, b""))
        await arriving

    @staticmethod
    async def _deliver(way: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            while True:
                due, piece = await way.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not piece:
                    break
                sink.write(piece)
                await sink.drain()
            if sink.can_write_eof():
                sink.write_eof()


async def _serve(port: int, line: Line) -> None:
    server = await asyncio.start_server(line.take, "127.0.0.1", port, limit=PIECE_BYTES)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m bench.slow_line")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--to", type=int, required=True)
    parser.add_argument("--round-trip-milliseconds", type=float, required=True)
    parser.add_argument("--bytes-per-second", type=float, required=True)
    given = parser.parse_args()
    delay_seconds = given.round_trip_milliseconds / 2000
    line = Line(given.to, delay_seconds=delay_seconds, bytes_per_second=given.bytes_per_second)
    asyncio.run(_serve(given.port, line))


if __name__ == "__main__":
    main()
