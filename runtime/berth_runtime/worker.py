"""A worker process: one engine with one model, driven by frames from the HTTP process that started it.

`python -m berth_runtime.worker --fd N --parent PID` is started by `berth_runtime.process` and by nobody else. It
loads, proves one answer, then serves requests until its connection closes. It always ends with `os._exit`, because
native unload can hang; what it says on stderr is read by the parent.
"""

import argparse
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Final, NoReturn

from berth_runtime.engines import create_engine
from berth_runtime.engines.protocol import Engine, Failure, LoadFailed, Rows, Usage
from berth_runtime.frames import WORKER, Frame, FrameDecoder, FrameKind
from berth_runtime.lifeline import be_killed_before_parent, end_with_parent
from berth_runtime.messages import (
    Answered,
    Loaded,
    LoadRefused,
    Outcome,
    WorkerNews,
    pack_news,
    pack_outcome,
    unpack_load,
    unpack_request,
)
from berth_runtime.outbox import Outbox

RECEIVE_BYTES: Final = 256 * 1024
CHUNKS_AT_ONCE: Final = 2
EXIT_LOAD_FAILED: Final = 3
EXIT_BUG: Final = 70


class WorkerReply:
    """The `Reply` that an engine gets: what it says becomes frames of one exchange.

    The first chunks go out at once. Of fast streams the later ones go out a few at a time, those of all streams
    together: nobody reads faster, and each trip through two more processes takes cores from the engine.
    """

    __slots__ = ("_at_once", "_exchange", "_outbox", "_replies", "gone")

    def __init__(self, exchange: int, outbox: Outbox, replies: "dict[int, WorkerReply]") -> None:
        self.gone = False
        self._exchange = exchange
        self._outbox = outbox
        self._replies = replies
        self._at_once = CHUNKS_AT_ONCE
        replies[exchange] = self

    def chunk(self, data: bytes) -> None:
        """Send an event, unless nobody waits for it."""
        if self.gone:
            return
        if self._at_once == 0:
            self._outbox.put_soon(FrameKind.CHUNK, self._exchange, data)
            return
        self._at_once -= 1
        self._outbox.put(FrameKind.CHUNK, self._exchange, data)

    def finish(self, usage: Usage) -> None:
        """End an answer that was sent in chunks."""
        self._end(usage)

    def rows(self, result: Rows) -> None:
        """Answer and end a request whose answer is a matrix."""
        self._end(result)

    def fail(self, failure: Failure) -> None:
        """End with an error."""
        self._end(failure)

    def _end(self, outcome: Outcome) -> None:
        if self._replies.pop(self._exchange, None) is not None:
            kind, payload = pack_outcome(outcome)
            self._outbox.put(kind, self._exchange, payload)
            self.gone = True  # whatever else the engine says of this request is dropped


def receive_frames(connection: socket.socket) -> Iterator[Frame]:
    """Every frame that the parent sends, until it closes the connection."""
    decoder = FrameDecoder()
    while data := connection.recv(RECEIVE_BYTES):
        yield from decoder.feed(data)


def load_engine(payload: bytes, outbox: Outbox) -> Engine:
    """Carry out the `LOAD` order: the model is in memory and has answered once, and the parent knows."""

    def tell(news: WorkerNews) -> None:
        kind, told = pack_news(news)
        outbox.put(kind, WORKER, told)

    order = unpack_load(payload)
    try:
        started = time.monotonic()
        engine = create_engine(order.module, order.settings)
        capabilities = engine.load()
        loaded = time.monotonic()
        tell(Loaded(capabilities, round((loaded - started) * 1000)))
        engine.prove()
        tell(Answered(round((time.monotonic() - loaded) * 1000)))
    except LoadFailed as error:
        tell(LoadRefused(str(error)))
        end_process(EXIT_LOAD_FAILED)
    return engine


def serve(connection: socket.socket) -> None:
    """Load what the first frame says, then serve requests until the parent goes."""
    outbox = Outbox(connection)
    outbox.put(FrameKind.STARTED, WORKER)
    frames = receive_frames(connection)
    order = next(frames, None)
    if order is None:
        return
    engine = load_engine(order.payload, outbox)
    replies: dict[int, WorkerReply] = {}
    for frame in frames:
        if frame.kind is FrameKind.CANCEL:
            reply = replies.get(frame.exchange)
            if reply is not None:
                reply.gone = True
        else:
            engine.submit(unpack_request(frame), WorkerReply(frame.exchange, outbox, replies))


def end_process(code: int) -> NoReturn:
    """End at once, without unloading native code."""
    sys.stderr.flush()
    os._exit(code)


def end_on_thread_error(error: threading.ExceptHookArgs) -> None:
    """A thread of the engine died of a bug: without it, requests would wait for ever."""
    traceback.print_exception(error.exc_type, error.exc_value, error.exc_traceback)
    end_process(EXIT_BUG)


def main() -> NoReturn:
    """The worker process."""
    parser = argparse.ArgumentParser(prog="python -m berth_runtime.worker")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args()
    end_with_parent(arguments.parent)
    be_killed_before_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole terminal group; the parent decides
    threading.excepthook = end_on_thread_error
    try:
        serve(socket.socket(fileno=arguments.fd))
    except BaseException:  # noqa: BLE001 - the outermost loop; the interpreter's own way out may hang in native code
        traceback.print_exc()
        end_process(EXIT_BUG)
    end_process(0)


if __name__ == "__main__":
    main()
