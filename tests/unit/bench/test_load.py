"""The cheap client reads what servers send, however it is cut up, and refuses to count what is not an answer."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from bench.load import BadAnswer, exchange, generated_tokens, parse_answer, request_bytes, written_tokens
from bench.wrk import parse_load

Serve = Callable[[socket.socket], None]


@contextmanager
def _server(serve: Serve, connections: int = 1) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads = []

        def accept() -> None:
            for _ in range(connections):
                thread = threading.Thread(target=serve, args=(listener.accept()[0],))
                thread.start()
                threads.append(thread)

        accepting = threading.Thread(target=accept)
        accepting.start()
        yield listener.getsockname()[1]
        for thread in (accepting, *threads):
            thread.join(10)


def _read_request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received or not received.endswith(b"}"):
        data = connection.recv(65536)
        if not data:
            return b""
        received += data
    return received.partition(b"\r\n\r\n")[2]


def _respond(*pieces: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        with connection:
            while _read_request(connection):
                for piece in pieces:
                    connection.sendall(piece)

    return serve


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
EVENTS = b'data: {"choices":[{}]}\n\n', b'data: {"choices":[],"usage":{"completion_tokens":7}}\n\n', b"data: [DONE]\n\n"


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def test_a_chunked_stream_is_complete_at_its_last_chunk() -> None:
    pieces = [HEAD + b"transfer-encoding: chunked\r\n\r\n", *map(_chunk, EVENTS), b"0\r\n\r\n"]
    with _server(_respond(*pieces)) as port:
        _, (answer,) = exchange(port, [request_bytes(port, "/", b"{}")], 1)
    assert answer.body == b"".join(EVENTS)
    assert generated_tokens(answer.body) == 7


def test_the_end_is_seen_even_when_it_comes_byte_by_byte() -> None:
    whole = HEAD + b"transfer-encoding: chunked\r\n\r\n" + _chunk(b"{}") + b"0\r\n\r\n"
    with _server(_respond(*(bytes([byte]) for byte in whole))) as port:
        _, (answer,) = exchange(port, [request_bytes(port, "/", b"{}")], 1)
    assert answer.body == b"{}"


def test_a_body_with_a_length_is_complete_when_it_is_all_there() -> None:
    head = HEAD + b"Content-Length: 300000\r\n\r\n"
    with _server(_respond(head, b"a" * 100_000, b"b" * 200_000)) as port:
        _, (answer,) = exchange(port, [request_bytes(port, "/", b"{}")], 1)
    assert len(answer.body) == 300_000


def test_answers_come_back_in_the_order_of_the_requests() -> None:
    def serve(connection: socket.socket) -> None:
        with connection:
            while body := _read_request(connection):
                connection.sendall(HEAD + f"content-length: {len(body)}\r\n\r\n".encode() + body)

    bodies = [json.dumps({"number": number}).encode() for number in range(20)]
    with _server(serve, connections=3) as port:
        _, answers = exchange(port, [request_bytes(port, "/", body) for body in bodies], 3)
    assert [answer.body for answer in answers] == bodies


def test_a_connection_may_be_closed_once_it_has_nothing_more_to_send() -> None:
    first_closed = threading.Event()
    numbers = iter((0, 1))

    def serve(connection: socket.socket) -> None:
        number = next(numbers)
        with connection:
            body = _read_request(connection)
            if number == 1:
                first_closed.wait(10)
            connection.sendall(HEAD + f"content-length: {len(body)}\r\n\r\n".encode() + body)
        first_closed.set()

    with _server(serve, connections=2) as port:
        _, answers = exchange(port, [request_bytes(port, "/", b"{}")] * 2, 2)
    assert [answer.body for answer in answers] == [b"{}", b"{}"]


def test_a_server_that_hangs_up_is_no_answer() -> None:
    def serve(connection: socket.socket) -> None:
        with connection:
            _read_request(connection)
            connection.sendall(HEAD)

    with _server(serve) as port, pytest.raises(BadAnswer, match="closed the connection"):
        exchange(port, [request_bytes(port, "/", b"{}")], 1)


def test_an_error_is_never_counted() -> None:
    with pytest.raises(BadAnswer, match=r"503 instead of 200.*model_loading"):
        parse_answer(b'HTTP/1.1 503 Service Unavailable\r\n\r\n{"error":{"code":"model_loading"}}')


def test_a_stream_without_its_end_is_never_counted() -> None:
    with pytest.raises(BadAnswer, match=r"did not end with \[DONE\]"):
        generated_tokens(b"".join(EVENTS[:2]))


def test_a_stream_without_usage_is_never_counted() -> None:
    with pytest.raises(BadAnswer, match="usage"):
        generated_tokens(EVENTS[0] + EVENTS[2])


def test_events_with_text_are_tokens_where_a_server_reports_none() -> None:
    deltas = ({"role": "assistant"}, {"content": "a"}, {"content": ""}, {})
    events = [b"data: " + json.dumps({"choices": [{"delta": delta}]}).encode() + b"\n\n" for delta in deltas]
    assert written_tokens(b"".join(events) + b"data: [DONE]\n\n") == 2
    with pytest.raises(BadAnswer, match="did not end"):
        written_tokens(b"".join(events))


def test_the_line_of_wrk_is_read_among_its_other_words() -> None:
    line = (
        'BENCH {"requests": 9000, "microseconds": 3000000, "p50_us": 812.0, "p99_us": 4100.0, "failures": {"read": 0}}'
    )
    load = parse_load(f"Running 3s test\n{line}\n")
    assert (load.requests, load.seconds, load.p50_milliseconds, load.p99_milliseconds) == (9000, 3.0, 0.812, 4.1)


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("unable to connect", "gave no result: 'unable to connect'"),
        ('BENCH {"requests": 10, "failures": {"read": 1, "status": 0}}', "'read': 1} of 10 requests failed"),
    ],
)
def test_a_load_with_a_failure_is_never_counted(output: str, why: str) -> None:
    with pytest.raises(BadAnswer, match=why):
        parse_load(output)
