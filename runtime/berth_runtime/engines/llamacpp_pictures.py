"""Looks at the pictures of a chat before llama.cpp decodes them. Used by `engines.llamacpp`; pure.

A picture of some kilobytes may say that it has a million times as many pixels, and llama.cpp would make room for them.
What it can't decode it gives to ffprobe, as a film; so only what begins as a PNG or a JPEG gets there at all.
"""

import base64
import binascii
import struct
from collections.abc import Iterator
from typing import Any, Final

from berth_runtime.engines.protocol import Failure

Json = dict[str, Any]

MAX_PIXELS: Final = 32 << 20
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PNG_SIZE: Final = struct.Struct(">4sII")
_JPEG: Final = b"\xff\xd8"
# The markers of a JPEG that hold its size (start of frame), and those that stand alone, without a length.
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})


def check_pictures(body: Json) -> Failure | None:
    """The error for the first picture that can't be decoded or would be too large."""
    for path, url in _pictures(body):
        try:
            data = base64.b64decode(url.partition(",")[2], validate=True)
        except binascii.Error:
            return _invalid(path, "is not base64")
        size = picture_size(data)
        if size is None:
            return _invalid(path, "is no whole PNG or JPEG")
        width, height = size
        if width * height > MAX_PIXELS:
            return _invalid(path, f"has {width} x {height} pixels, at most {MAX_PIXELS} are taken: send a smaller one")
    return None


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height as a PNG or JPEG states them; None for anything else."""
    if data.startswith(_PNG) and len(data) >= len(_PNG) + 4 + _PNG_SIZE.size:
        kind, width, height = _PNG_SIZE.unpack_from(data, len(_PNG) + 4)
        return (width, height) if kind == b"IHDR" and width and height else None
    return _jpeg_size(data) if data.startswith(_JPEG) else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = len(_JPEG)
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAMES:
            if at + 9 > len(data):
                return None
            height, width = struct.unpack_from(">HH", data, at + 5)
            return (width, height) if width and height else None
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _pictures(body: Json) -> Iterator[tuple[str, str]]:
    for number, message in enumerate(body.get("messages", ())):
        content = message.get("content")
        for index, part in enumerate(content if isinstance(content, list) else ()):
            if part["type"] == "image_url":
                yield f"messages[{number}].content[{index}]", part["image_url"]["url"]


def _invalid(path: str, why: str) -> Failure:
    return Failure(400, "invalid_image", f"'{path}': the picture {why}.", path)
