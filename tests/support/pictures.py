"""Pictures of one colour, made byte by byte, and as the data URLs that clients send."""

import base64
import struct
import zlib

PNG_HEAD = b"\x89PNG\r\n\x1a\n"


def png(width: int, height: int, colour: tuple[int, int, int] = (255, 0, 0)) -> bytes:
    """A PNG of one colour."""
    rows = (b"\0" + bytes(colour) * width) * height
    return _png(width, height, zlib.compress(rows))


def lying_png(width: int, height: int) -> bytes:
    """A PNG of some bytes that says it is as large as this."""
    return _png(width, height, zlib.compress(b"\0" * 100))


def jpeg_head(width: int, height: int, *, before: bytes = b"") -> bytes:
    """The start of a JPEG, up to its size, with other segments before that."""
    frame = struct.pack(">BHHB", 8, height, width, 3) + b"\1\x11\0" * 3
    return b"\xff\xd8" + before + b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame


def data_url(picture: bytes, kind: str = "png") -> str:
    """The picture as a client sends it."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def picture_part(picture: bytes, kind: str = "png") -> dict[str, object]:
    """The picture as a part of a message."""
    return {"type": "image_url", "image_url": {"url": data_url(picture, kind)}}


def _png(width: int, height: int, data: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return PNG_HEAD + _part(b"IHDR", head) + _part(b"IDAT", data) + _part(b"IEND", b"")


def _part(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
