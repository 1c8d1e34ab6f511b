"""The line of the pulls' measurement delivers every byte, both ways, also after one end has said its last word."""

import asyncio

from bench.slow_line import PIECE_BYTES, Line

PLENTY = bytes(range(256)) * (3 * PIECE_BYTES // 256)


async def _doubled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that reads to the end, and answers with the same twice."""
    asked = await reader.read()
    writer.write(asked * 2)
    await writer.drain()
    writer.close()


async def _through_a_line(content: bytes, *, bytes_per_second: float = 0.0) -> bytes:
    server = await asyncio.start_server(_doubled, "127.0.0.1", 0)
    line = Line(server.sockets[0].getsockname()[1], delay_seconds=0.01, bytes_per_second=bytes_per_second)
    front = await asyncio.start_server(line.take, "127.0.0.1", 0)
    async with server, front:
        reader, writer = await asyncio.open_connection(*front.sockets[0].getsockname())
        writer.write(content)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
    return answer


async def test_every_byte_arrives() -> None:
    assert await _through_a_line(PLENTY) == PLENTY * 2


async def test_a_connection_gets_no_more_than_its_limit() -> None:
    began = asyncio.get_running_loop().time()
    answer = await _through_a_line(PLENTY, bytes_per_second=len(PLENTY) * 10)
    assert answer == PLENTY * 2
    # Twice the content at ten times the content a second: a fifth of a second, and no clock is early.
    assert asyncio.get_running_loop().time() - began >= 0.2
