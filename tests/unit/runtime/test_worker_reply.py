"""What an engine says becomes frames: the first chunks at once, later ones as soon as the outbox likes."""

import json
from dataclasses import dataclass, field

from berth_runtime.engines.protocol import Failure, Rows, Usage
from berth_runtime.frames import FrameKind
from berth_runtime.worker import CHUNKS_AT_ONCE, WorkerReply


@dataclass
class Recorder:
    """An outbox that writes down what it was told."""

    put_frames: list[tuple[FrameKind, bytes]] = field(default_factory=list)
    soon_frames: list[bytes] = field(default_factory=list)

    def put(self, kind: FrameKind, exchange: int, payload: bytes = b"") -> None:
        self.put_frames.append((kind, payload))

    def put_soon(self, kind: FrameKind, exchange: int, payload: bytes = b"") -> None:
        self.soon_frames.append(payload)


def a_reply() -> tuple[WorkerReply, Recorder, dict[int, WorkerReply]]:
    outbox, replies = Recorder(), dict[int, WorkerReply]()
    return WorkerReply(7, outbox, replies), outbox, replies  # type: ignore[arg-type]


def test_the_first_chunks_go_out_at_once_and_those_after_them_soon() -> None:
    reply, outbox, _ = a_reply()
    for number in range(CHUNKS_AT_ONCE + 2):
        reply.chunk(b"%d" % number)
    assert len(outbox.put_frames) == CHUNKS_AT_ONCE
    assert outbox.soon_frames == [b"%d" % CHUNKS_AT_ONCE, b"%d" % (CHUNKS_AT_ONCE + 1)]


def test_the_first_end_counts_and_nothing_comes_after_it() -> None:
    reply, outbox, replies = a_reply()
    assert replies == {7: reply}
    reply.finish(Usage(3, 4))
    reply.fail(Failure(500, "late", "too late"))
    reply.rows(Rows(b"", 1, 1))
    reply.chunk(b"too late")
    assert [kind for kind, _ in outbox.put_frames] == [FrameKind.FINISH]
    assert replies == {}


def test_nothing_is_sent_to_who_has_gone_but_the_end() -> None:
    reply, outbox, _ = a_reply()
    reply.gone = True
    reply.chunk(b"x")
    reply.fail(Failure(400, "code", "message"))
    ((kind, payload),) = outbox.put_frames
    assert kind is FrameKind.FAIL
    assert json.loads(payload)["code"] == "code"
