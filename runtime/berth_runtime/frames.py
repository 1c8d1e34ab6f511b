"""The bytes between the HTTP process and a worker: length-prefixed frames over a Unix socket pair.

A frame is `payload length (u32), exchange (u32), kind (u8), payload`, little-endian. An exchange is one request with
its answer, numbered by the HTTP process; number 0 is the worker itself (its settings, its life). `berth_runtime.worker`
and `berth_runtime.channel` are the two ends; `berth_runtime.messages` says what the payloads are.
"""

import struct
from enum import IntEnum
from typing import Final, NamedTuple

HEADER: Final = struct.Struct("<IIB")
MAX_PAYLOAD_BYTES: Final = 256 * 1024 * 1024
WORKER: Final = 0


class FrameKind(IntEnum):
    """What a frame says. The first block goes to the worker, the second comes from it."""

    LOAD = 1
    CHAT = 2
    COMPLETION = 3
    EMBEDDING = 4
    CANCEL = 5
    RERANK = 6
    CLASSIFICATION = 7
    IMAGES = 8

    STARTED = 16
    LOADED = 17
    ANSWERED = 18
    LOAD_FAILED = 19
    CHUNK = 20
    FINISH = 21
    ROWS = 22
    FAIL = 23


class Frame(NamedTuple):
    """One decoded frame."""

    kind: FrameKind
    exchange: int
    payload: bytes


class BrokenFrame(Exception):  # noqa: N818 - what it is, not what happened
    """The other end sent what is no frame; the connection can't be used any more."""


_KINDS: Final = {int(kind): kind for kind in FrameKind}


def encode_frame(kind: FrameKind, exchange: int, payload: bytes = b"") -> bytes:
    """The bytes of one frame."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise BrokenFrame(f"a payload of {len(payload)} bytes is over the limit of {MAX_PAYLOAD_BYTES}")
    return HEADER.pack(len(payload), exchange, kind) + payload


class FrameDecoder:
    """Cuts a stream of bytes, in pieces of any size, into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next piece; return the frames that are complete now, in order."""
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        at, end = 0, len(buffer)
        while end - at >= HEADER.size:
            length, exchange, number = HEADER.unpack_from(buffer, at)
            kind = _KINDS.get(number)
            if kind is None or length > MAX_PAYLOAD_BYTES:
                raise BrokenFrame(f"a frame of kind {number} with {length} bytes")
            start = at + HEADER.size
            if start + length > end:
                break
            at = start + length
            frames.append(Frame(kind, exchange, bytes(buffer[start:at])))
        del buffer[:at]
        return frames
