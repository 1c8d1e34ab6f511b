"""Many threads on one socket: nothing is lost, and each thread's frames keep their order."""

import socket
import threading

from berth_runtime.frames import Frame, FrameDecoder, FrameKind
from berth_runtime.outbox import Outbox

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


def test_a_frame_that_is_held_goes_out_before_the_next_one() -> None:
    ours, theirs = socket.socketpair()
    outbox = Outbox(ours)
    with ours, theirs:
        outbox.hold(FrameKind.CHUNK, 1, b"held")
        outbox.put(FrameKind.CHUNK, 2, b"next")
        assert [frame.payload for frame in receive(theirs, 2)] == [b"held", b"next"]


def test_a_frame_that_is_held_goes_out_by_itself_in_the_end() -> None:
    ours, theirs = socket.socketpair()
    outbox = Outbox(ours)
    with ours, theirs:
        for payload in (b"one", b"two"):
            outbox.hold(FrameKind.CHUNK, 1, payload)
            assert [frame.payload for frame in receive(theirs, 1)] == [payload]


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
