"""Which pictures a request may bring, and what is said of any other."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_runtime.openai.errors import ApiError
from berth_runtime.openai.image_field import MAX_PICTURE_BYTES, MAX_PICTURES, read_pictures

CODED = base64.b64encode(b"\x89PNG picture").decode()


@pytest.mark.parametrize(
    "value",
    [
        CODED,
        f"data:image/png;base64,{CODED}",
        f"DATA:Image/PNG;Base64,{CODED}",
        f"data:image/svg+xml;charset=utf-8;base64,{CODED}",
        f"data:application/octet-stream;base64,{CODED}",
        f"data:;base64,{CODED}",
        f"{CODED[:8]}\n{CODED[8:]}\r\n",
    ],
)
def test_a_picture_is_base64_with_or_without_the_head_of_a_data_url(value: str) -> None:
    assert read_pictures(value) == (b"\x89PNG picture",)


@given(st.lists(st.binary(min_size=1, max_size=100), min_size=1, max_size=8))
def test_several_pictures_keep_their_order_and_bytes(pictures: list[bytes]) -> None:
    assert read_pictures([base64.b64encode(picture).decode() for picture in pictures]) == tuple(pictures)


@pytest.mark.parametrize(
    "value", ["https://example.test/cat.png", "HTTP://example.test/a", "file:///etc/passwd", "s3://b/k", "ftp:x"]
)
def test_a_url_is_refused_because_engines_never_read_the_network(value: str) -> None:
    with pytest.raises(ApiError) as refused:
        read_pictures([CODED, value])
    failure = refused.value.failure
    assert (failure.status, failure.code, failure.param) == (400, "unsupported_content", "image[1]")
    assert "never reads the network" in failure.message
    assert value not in failure.message


@pytest.mark.parametrize(
    ("value", "param", "code"),
    [
        (None, "image", "invalid_value"),
        ({"url": CODED}, "image", "invalid_value"),
        ([], "image", "invalid_value"),
        ("", "image", "invalid_value"),
        ([CODED, 5], "image[1]", "invalid_value"),
        ([CODED] * (MAX_PICTURES + 1), "image", "invalid_value"),
        ("not base64!", "image", "invalid_image"),
        (CODED[:-1], "image", "invalid_image"),
        ("ü" * 8, "image", "invalid_image"),
        ("data:image/png;base64,", "image", "invalid_image"),
        ("data:image/png,abc", "image", "invalid_image"),
        ("data:image/png;base64", "image", "invalid_image"),
        ("data:" + "x" * 200 + ";base64," + CODED, "image", "invalid_image"),
        (f"data:text/html;base64,{CODED}", "image", "unsupported_content"),
    ],
)
def test_what_is_no_picture_is_refused_with_its_place(value: object, param: str, code: str) -> None:
    with pytest.raises(ApiError) as refused:
        read_pictures(value)
    failure = refused.value.failure
    assert (failure.status, failure.param, failure.code) == (400, param, code)


def test_a_picture_has_a_bound() -> None:
    largest = base64.b64encode(bytes(MAX_PICTURE_BYTES)).decode()
    assert len(read_pictures(largest)[0]) == MAX_PICTURE_BYTES
    with pytest.raises(ApiError) as refused:
        read_pictures(base64.b64encode(bytes(MAX_PICTURE_BYTES + 1)).decode())
    assert str(MAX_PICTURE_BYTES) in refused.value.failure.message
