"""Many threads on one socket: nothing is lost, and each thread's frames keep their order."""

import select
import socket
import threading
import time

import pytest

from berth_runtime.frames import Frame, FrameDecoder, FrameKind
from berth_runtime.outbox import HOLD_SECONDS, Outbox

THREADS, FRAMES = 8, 500


def test_frames_of_many_threads_all_arrive_each_threads_in_order() -> None:
    ours, theirs = socket.socketpair()
    outbox = Outbox(ours)

    def send(number: int) -> None:
        for index in range(FRAMES):
            outbox.put(FrameKind.CHUNK, number, b"%d" % index)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(THREADS)]
    with ours, theirs:
        for thread in threads:
            thread.start()
        arrived = receive(theirs, THREADS * FRAMES)
        for thread in threads:
            thread.join()
    for number in range(THREADS):
        assert [int(frame.payload) for frame in arrived if frame.exchange == number] == list(range(FRAMES))


def test_what_comes_soon_after_another_goes_out_with_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("berth_runtime.outbox.HOLD_SECONDS", 30.0)
    ours, theirs = socket.socketpair()
    outbox = Outbox(ours)
    with ours, theirs:
        outbox.put(FrameKind.CHUNK, 1, b"first")
        assert [frame.payload for frame in receive(theirs, 1)] == [b"first"]
        for exchange in (1, 2):
            outbox.put_soon(FrameKind.CHUNK, exchange, b"held")
        assert not has_arrived(theirs)
        outbox.put(FrameKind.CHUNK, 3, b"next")
        assert [frame.payload for frame in receive(theirs, 3)] == [b"held", b"held", b"next"]


def test_a_slow_stream_is_never_held() -> None:
    ours, theirs = socket.socketpair()
    outbox = Outbox(ours)
    with ours, theirs:
        for payload in (b"one", b"two"):
            outbox.put_soon(FrameKind.CHUNK, 1, payload)
            assert has_arrived(theirs)
            assert [frame.payload for frame in receive(theirs, 1)] == [payload]
            time.sleep(2 * HOLD_SECONDS)


def test_what_is_held_goes_out_by_itself_in_the_end() -> None:
    ours, theirs = socket.socketpair()
    outbox = Outbox(ours)
    with ours, theirs:
        outbox.put(FrameKind.CHUNK, 1, b"first")
        for payload in (b"one", b"two"):
            outbox.put_soon(FrameKind.CHUNK, 1, payload)
        assert [frame.payload for frame in receive(theirs, 3)] == [b"first", b"one", b"two"]


def test_what_is_put_after_the_other_end_has_gone_is_dropped() -> None:
    ours, theirs = socket.socketpair()
    outbox = Outbox(ours)
    theirs.close()
    with ours:
        for _ in range(3):
            outbox.put(FrameKind.CHUNK, 1, b"x")


def receive(connection: socket.socket, count: int) -> list[Frame]:
    decoder, frames = FrameDecoder(), list[Frame]()
    connection.settimeout(10)
    while len(frames) < count:
        frames += decoder.feed(connection.recv(65536))
    return frames


def has_arrived(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0)[0])
