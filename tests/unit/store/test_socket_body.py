"""A body that a thread receives from the socket: all of it, not a byte beyond, and not for ever."""

import asyncio
import random
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp import web

from berth_store.answers import TRICKLE_BYTES
from berth_store.partial import STRETCH_BYTES, Partial
from berth_store.ranges import Range
from berth_store.socket_body import SocketBody, take_body

CONTENT = random.Random(3).randbytes(3 * STRETCH_BYTES + 777)
BUFFER_BYTES = 64 * 1024
PATIENT_SECONDS = 20.0
IMPATIENT_SECONDS = 0.05


@pytest.fixture
def partial(tmp_path: Path) -> Iterator[Partial]:
    partial = Partial(tmp_path / "blob.partial", len(CONTENT))
    assert partial.adopt(1)
    yield partial
    partial.close()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Ours and the server's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def sending(theirs: socket.socket, content: bytes) -> threading.Thread:
    thread = threading.Thread(target=theirs.sendall, args=(content,))
    thread.start()
    return thread


def read_back(partial: Partial, span: Range) -> bytes:
    with partial.path.open("rb") as file:
        file.seek(span.start)
        return file.read(span.length)


@pytest.mark.parametrize("early", [0, 1, 200_000])
def test_the_bytes_that_came_with_the_head_are_the_first_and_none_beyond_the_body_is_taken(
    partial: Partial, ends: tuple[socket.socket, socket.socket], early: int
) -> None:
    ours, theirs = ends
    sender = sending(theirs, CONTENT[early:] + b"the next answer")
    kept: list[int] = []
    body = SocketBody(ours, CONTENT[:early], len(CONTENT), stall_seconds=PATIENT_SECONDS)
    assert body.receive(0, len(CONTENT), partial, kept.append) == len(CONTENT)
    sender.join()
    assert sum(kept) == len(CONTENT)
    assert max(kept) <= STRETCH_BYTES
    assert partial.path.read_bytes() == CONTENT
    assert ours.recv(100) == b"the next answer"


def test_where_less_is_wanted_than_the_body_has_no_more_is_written(
    partial: Partial, ends: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = ends
    theirs.sendall(b"abcdef")
    body = SocketBody(ours, b"", 6, stall_seconds=PATIENT_SECONDS)
    assert body.receive(10, 14, partial, lambda _: None) == 14
    assert list(partial.done) == [Range(10, 14)]
    assert read_back(partial, Range(10, 16)) == b"abcd\0\0"


def test_a_body_that_is_shorter_than_promised_ends_there(
    partial: Partial, ends: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = ends
    theirs.sendall(b"abc")
    body = SocketBody(ours, b"", 3, stall_seconds=PATIENT_SECONDS)
    assert body.receive(0, 100, partial, lambda _: None) == 3
    assert list(partial.done) == [Range(0, 3)]


def test_a_connection_that_ends_early_keeps_what_came(
    partial: Partial, ends: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = ends
    theirs.sendall(b"abc")
    theirs.close()
    body = SocketBody(ours, b"", 100, stall_seconds=PATIENT_SECONDS)
    assert body.receive(0, 100, partial, lambda _: None) == 3
    assert list(partial.done) == [Range(0, 3)]


def send_nothing(theirs: socket.socket, over: threading.Event) -> None:
    over.wait()


def send_too_little(theirs: socket.socket, over: threading.Event) -> None:
    """Never silent for the time allowed, and less in it than counts."""
    while not over.wait(IMPATIENT_SECONDS / 5):
        theirs.sendall(bytes(TRICKLE_BYTES // 1000))


@pytest.mark.parametrize("send", [send_nothing, send_too_little])
def test_a_connection_that_delivers_next_to_nothing_is_given_up_and_what_came_is_kept(
    partial: Partial,
    ends: tuple[socket.socket, socket.socket],
    send: Callable[[socket.socket, threading.Event], None],
) -> None:
    ours, theirs = ends
    theirs.sendall(CONTENT[:1000])
    over = threading.Event()
    sender = threading.Thread(target=send, args=(theirs, over))
    sender.start()
    body = SocketBody(ours, b"", len(CONTENT), stall_seconds=IMPATIENT_SECONDS)
    kept: list[int] = []
    with pytest.raises(TimeoutError):
        body.receive(0, len(CONTENT), partial, kept.append)
    over.set()
    sender.join()
    assert list(partial.done) == [Range(0, kept[0])]
    assert read_back(partial, Range(0, 1000)) == CONTENT[:1000]


def test_a_receiver_that_is_interrupted_ends_and_keeps_what_came(
    partial: Partial, ends: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = ends
    theirs.sendall(b"abc")
    body = SocketBody(ours, b"", 100, stall_seconds=PATIENT_SECONDS)
    reached: list[int] = []
    receiver = threading.Thread(target=lambda: reached.append(body.receive(0, 100, partial, lambda _: None)))
    receiver.start()
    body.interrupt()
    receiver.join(PATIENT_SECONDS / 2)
    assert reached in ([0], [3]), "it may have been interrupted before it read anything"
    assert partial.done.total == reached[0]
    body.close()
    body.interrupt()


@asynccontextmanager
async def answering(
    *, chunked: bool = False, tls: ssl.SSLContext | None = None, trust: ssl.SSLContext | bool = True
) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """A server of `CONTENT`, and a session that trusts it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = len(CONTENT)
        await response.prepare(request)
        for start in range(0, len(CONTENT), 100_000):
            await response.write(CONTENT[start : start + 100_000])
        return response

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    scheme = "https" if tls else "http"
    try:
        connector = aiohttp.TCPConnector(ssl=trust)
        async with aiohttp.ClientSession(connector=connector, read_bufsize=BUFFER_BYTES) as session:
            yield session, f"{scheme}://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def test_a_body_is_taken_from_a_session_without_losing_a_byte(partial: Partial) -> None:
    async with answering() as (session, url), session.get(url) as response:
        # So much lies in the session's buffer by then that it has stopped reading.
        async with asyncio.timeout(PATIENT_SECONDS):
            while response.content.total_bytes <= 2 * BUFFER_BYTES:
                await asyncio.sleep(0.005)
        body = take_body(response, stall_seconds=PATIENT_SECONDS)
        assert body is not None
        assert response.closed
        end = await asyncio.to_thread(body.receive, 0, len(CONTENT), partial, lambda _: None)
        body.close()
    assert end == len(CONTENT)
    assert partial.path.read_bytes() == CONTENT


async def test_a_body_in_chunks_is_left_to_the_session() -> None:
    async with answering(chunked=True) as (session, url), session.get(url) as response:
        assert take_body(response, stall_seconds=PATIENT_SECONDS) is None
        assert await response.read() == CONTENT


async def test_a_body_under_tls_is_left_to_the_session() -> None:
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with answering(tls=server, trust=client) as (session, url), session.get(url) as response:
        assert take_body(response, stall_seconds=PATIENT_SECONDS) is None
        assert await response.read() == CONTENT
