"""The client of our own side: HTTP/1.1 over plain sockets, one thread, nothing parsed while the clock runs.

The client shares the cores with what it measures and its peer (a loop inside one process) needs none, so its time is
part of our side. It therefore does the least that a client can do: it reads, keeps the bytes, and looks at the last of
them to see the end. What was answered is checked after the clock has stopped.
"""

import json
import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

CHUNKED_END = b"\r\n0\r\n\r\n"
HEAD_END = b"\r\n\r\n"
PROMPT = "Tell me a very long story about a ship that looks for a harbour. Use many details."


class BadAnswer(RuntimeError):  # noqa: N818 - reads as what happened
    """A server answered something other than what a measurement must count."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One complete response: the status, the headers with lower-case names, and the body without transfer framing."""

    status: int
    headers: dict[str, str]
    body: bytes
    first_byte_seconds: float


def request_bytes(port: int, path: str, body: bytes) -> bytes:
    """One POST of a JSON body, as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def long_chat(model: str, tokens: int, **more: object) -> str:
    """The JSON of a greedy chat whose answer is streamed and would be long; its usage comes with the last event."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return json.dumps({**body, **more})


@dataclass(slots=True)
class _Exchange:
    """A connection, the request it is on, and what has come back so far."""

    connection: socket.socket
    number: int = -1
    started: float = 0.0
    first_byte_seconds: float = 0.0
    received: list[bytes] = field(default_factory=list)
    tail: bytes = b""
    missing_bytes: int | None = None

    def send(self, number: int, request: bytes) -> None:
        self.number, self.started, self.first_byte_seconds = number, time.perf_counter(), 0.0
        self.received, self.tail, self.missing_bytes = [], b"", None
        self.connection.sendall(request)

    def read(self) -> bool:
        """Take what is there; True once the response is complete."""
        data = self.connection.recv(262_144)
        if not data:
            raise BadAnswer(f"the server closed the connection after {b''.join(self.received)[:300]!r}")
        if not self.received:
            self.first_byte_seconds = time.perf_counter() - self.started
        self.received.append(data)
        if self.missing_bytes is not None:
            self.missing_bytes -= len(data)
            return self.missing_bytes <= 0
        self.tail = (self.tail + data)[-len(CHUNKED_END) :] if len(data) < len(CHUNKED_END) else data
        if self.tail.endswith(CHUNKED_END):
            return True
        if len(self.received) <= 2:
            self.missing_bytes = _missing_bytes(b"".join(self.received))
        return self.missing_bytes is not None and self.missing_bytes <= 0


def exchange(port: int, requests: Sequence[bytes], connections: int) -> tuple[float, list[Answer]]:
    """Send every request over `connections` keep-alive connections, the next one as soon as one is free.

    Returns the seconds from the first byte sent to the last byte read, and the answers in the order of the requests.
    """
    kept: dict[int, tuple[list[bytes], float]] = {}
    waiting = deque(enumerate(requests))
    with ExitStack() as open_connections, selectors.EpollSelector() as selector:
        links = [
            _Exchange(open_connections.enter_context(_connect(port))) for _ in range(min(connections, len(requests)))
        ]
        for link in links:
            selector.register(link.connection, selectors.EVENT_READ, link)
        started = time.perf_counter()
        for link in links:
            link.send(*waiting.popleft())
        while len(kept) < len(requests):
            for key, _ in selector.select(60) or _give_up():
                link = key.data
                if link.read():
                    kept[link.number] = (link.received, link.first_byte_seconds)
                    if waiting:
                        link.send(*waiting.popleft())
                    else:
                        selector.unregister(link.connection)  # a server may close what nobody uses
        seconds = time.perf_counter() - started
    return seconds, [parse_answer(b"".join(kept[number][0]), kept[number][1]) for number in range(len(requests))]


def parse_answer(raw: bytes, first_byte_seconds: float = 0.0) -> Answer:
    """Take a whole HTTP/1.1 response apart; raises `BadAnswer` for anything but 200."""
    head, _, body = raw.partition(HEAD_END)
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    status = int(status_line.split(" ", 2)[1])
    if status != 200:
        raise BadAnswer(f"{status} instead of 200: {body[:300]!r}")
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = _without_chunk_framing(body)
    return Answer(status, headers, body, first_byte_seconds)


def generated_tokens(stream: bytes) -> int:
    """The token count that the last events of an SSE stream report; raises `BadAnswer` if it did not end well."""
    for event in reversed(_events(stream)):
        usage = json.loads(event).get("usage")
        if usage:
            return int(usage["completion_tokens"])
    raise BadAnswer("no event of the stream carries usage")


def written_tokens(stream: bytes) -> int:
    """The events of an SSE stream that carry text, for a server that sends one for each token and reports none."""
    deltas = (choice["delta"] for event in _events(stream) for choice in json.loads(event)["choices"])
    return sum("content" in delta for delta in deltas)


def _events(stream: bytes) -> list[bytes]:
    """The events of a stream without the last, which says that it is whole; raises `BadAnswer` where it is not."""
    events = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: ")]
    if not events or events[-1].strip() != b"[DONE]":
        raise BadAnswer(f"the stream did not end with [DONE]: {stream[-300:]!r}")
    return events[:-1]


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _give_up() -> list[tuple[selectors.SelectorKey, int]]:
    raise BadAnswer("no byte arrived on any connection for 60 s")


def _missing_bytes(raw: bytes) -> int | None:
    """How many bytes of the body are still to come by content-length, or None where the head doesn't say."""
    head, found, body = raw.partition(HEAD_END)
    for line in head.lower().split(b"\r\n") if found else ():
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2]) - len(body)
    return None


def _without_chunk_framing(framed: bytes) -> bytes:
    parts: list[bytes] = []
    position = 0
    while True:
        line_end = framed.index(b"\r\n", position)
        size = int(framed[position:line_end].split(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(framed[line_end + 2 : line_end + 2 + size])
        position = line_end + 2 + size + 2
