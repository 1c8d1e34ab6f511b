"""A picture is looked at before llama.cpp decodes it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import PNG_HEAD, data_url, jpeg_head, lying_png, picture_part, png

from berth_runtime.engines.llamacpp_pictures import MAX_PIXELS, check_pictures, picture_size

COMMENT = b"\xff\xfe\x00\x06note"


def a_body(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": "a"}, {"role": "user", "content": list(parts)}]}


def test_the_size_is_what_the_picture_states() -> None:
    assert picture_size(png(40, 30)) == (40, 30)
    assert picture_size(jpeg_head(640, 480)) == (640, 480)
    assert picture_size(jpeg_head(640, 480, before=COMMENT + b"\xff\xff")) == (640, 480)


@pytest.mark.parametrize(
    "data",
    [b"", b"GIF89a" + b"\0" * 20, PNG_HEAD, png(4, 4)[:20], jpeg_head(4, 4)[:6], b"\xff\xd8\xff\xd9", jpeg_head(0, 4)],
)
def test_anything_else_has_none(data: bytes) -> None:
    assert picture_size(data) is None


@given(st.sampled_from([PNG_HEAD, b"\xff\xd8", b""]), st.binary(max_size=200))
def test_no_bytes_are_too_strange_to_be_looked_at(head: bytes, data: bytes) -> None:
    size = picture_size(head + data)
    assert size is None or min(size) > 0


def test_pictures_that_can_be_decoded_pass() -> None:
    assert check_pictures(a_body({"type": "text", "text": "a"}, picture_part(png(40, 30)))) is None
    assert check_pictures({"prompt": "a"}) is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (data_url(lying_png(60_000, 60_000)), f"60000 x 60000 pixels, at most {MAX_PIXELS}"),
        (data_url(b"ID3" + b"\0" * 40), "is no whole PNG or JPEG"),
        ("data:image/png;base64,####", "is not base64"),
    ],
)
def test_a_picture_that_would_do_harm_is_named(url: str, why: str) -> None:
    failure = check_pictures(a_body(picture_part(png(2, 2)), {"type": "image_url", "image_url": {"url": url}}))
    assert failure is not None
    assert (failure.status, failure.code, failure.param) == (400, "invalid_image", "messages[1].content[1]")
    assert why in failure.message
