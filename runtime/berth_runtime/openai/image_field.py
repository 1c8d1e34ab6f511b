"""The field `image` of `/v1/images/…`: pictures as base64, with or without the head of a data URL; pure.

They are decoded, but not looked at: that is done where a hostile picture harms least, in the worker process. Pictures
that stand in the messages of a chat are read by `chat_pictures`.
"""

import base64
import binascii
import re
from typing import Final

from berth_api.openai_errors import ErrorCode
from berth_runtime.openai.errors import ApiError, refuse
from berth_runtime.openai.prompts import read_list

MAX_PICTURES: Final = 64
MAX_PICTURE_BYTES: Final = 20 * 1024 * 1024

_DATA_URL: Final = re.compile(r"data:(?P<type>[^;,]{0,100})(?P<parameters>(;[^;,]{0,100}){0,8}),", re.IGNORECASE)
_OTHER_URL: Final = re.compile(r"[a-z][a-z0-9+.-]{0,20}:", re.IGNORECASE)
_UNNAMED: Final = ("", "application/octet-stream")


def read_pictures(value: object) -> tuple[bytes, ...]:
    """The bytes of one picture or of several; raises `ApiError` with the wrong one's index."""
    if isinstance(value, str):
        return (_read_picture(value, "image"),)
    if not isinstance(value, list):
        raise refuse(
            "'image' has to be a picture as base64 or as a data URL, or a list of those, and not empty.", param="image"
        )
    pictures = read_list(value, "image", most=MAX_PICTURES)
    return tuple(_read_picture(picture, f"image[{index}]") for index, picture in enumerate(pictures))


def _read_picture(value: object, path: str) -> bytes:
    if not isinstance(value, str) or not value:
        raise refuse(f"'{path}' has to be a picture as base64 or as a data URL.", param=path)
    picture = _decode(value[_base64_starts_at(value, path) :], path)
    if not picture:
        raise _unreadable(path, "has no bytes")
    if len(picture) > MAX_PICTURE_BYTES:
        raise refuse(
            f"'{path}' has {len(picture)} bytes, a picture has at most {MAX_PICTURE_BYTES}. Send a smaller one.",
            param=path,
        )
    return picture


def _base64_starts_at(value: str, path: str) -> int:
    """Behind the head of a data URL, or at the start; raises `ApiError` for any other URL."""
    head = _DATA_URL.match(value)
    if head is None:
        other = _OTHER_URL.match(value)
        if other is not None and other[0].lower() != "data:":
            raise refuse(
                f"'{path}' is a URL, and an engine never reads the network. "
                "Send the picture itself, as base64 or as a data URL.",
                param=path,
                code=ErrorCode.UNSUPPORTED_CONTENT,
            )
        if other is not None:
            raise _unreadable(path, "is a data URL without the comma that ends its head")
        return 0
    kind = head["type"].strip().lower()
    if not (kind in _UNNAMED or kind.startswith("image/")):
        raise refuse(
            f"'{path}' is of the type {kind!r}, not a picture.", param=path, code=ErrorCode.UNSUPPORTED_CONTENT
        )
    if not head["parameters"].lower().endswith(";base64"):
        raise _unreadable(path, "is a data URL without ';base64'")
    return head.end()


def _decode(text: str, path: str) -> bytes:
    """Strictly, but for the line breaks that tools put into base64."""
    try:
        raw = text.encode("ascii")
    except UnicodeEncodeError as error:
        raise _unreadable(path, "is not base64") from error
    if b"\n" in raw or b"\r" in raw:
        raw = raw.translate(None, b"\r\n")
    try:
        return base64.b64decode(raw, validate=True)
    except binascii.Error as error:
        raise _unreadable(path, f"is not base64: {error}") from error


def _unreadable(path: str, why: str) -> ApiError:
    return refuse(f"'{path}' {why}.", param=path, code=ErrorCode.INVALID_IMAGE)
