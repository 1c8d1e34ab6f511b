"""Pictures become tensors as models were trained on them, and no file can do harm."""

import random
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from picture_builders import encoded, noise
from PIL import Image

from berth_runtime.engines import pictures
from berth_runtime.engines.pictures import (
    BadPicture,
    Letterbox,
    Picture,
    PictureSettings,
    Resample,
    ShortestEdgeThenCrop,
    Stretch,
    TextLine,
    WithinEdges,
    decode_picture,
    most_pixels,
    prepare_picture,
    read_picture,
)

# Pillow warns of damage that it gets over, and of many pixels before we refuse them.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]

PIXELS = noise(60, 40)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PLAIN = PictureSettings(width=60, height=40)


def picture(pixels: NDArray[np.uint8]) -> Picture:
    return Picture(Image.fromarray(pixels))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "WEBP", "JPEG"])
def test_each_kind_of_file_is_read(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {"quality": 98, "subsampling": 0} if kind == "JPEG" else {}
    found = decode_picture(encoded(PIXELS, kind, **options)).pixels
    worst = {"JPEG": 12, "GIF": 60}.get(kind, 0)
    assert np.abs(found.astype(int) - PIXELS).max() <= worst


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stands_upright_whatever_the_camera_did(orientation: int) -> None:
    lying = Image.fromarray(PIXELS)
    exif = lying.getexif()
    exif[0x0112] = orientation
    turned = {
        1: PIXELS,
        2: PIXELS[:, ::-1],
        3: PIXELS[::-1, ::-1],
        4: PIXELS[::-1],
        5: PIXELS.transpose(1, 0, 2),
        6: np.rot90(PIXELS, -1),
        7: PIXELS.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(PIXELS),
    }
    found = decode_picture(encoded(lying, "PNG", exif=exif.tobytes()))
    np.testing.assert_array_equal(found.pixels, turned[orientation])
    assert (found.height, found.width) == turned[orientation].shape[:2]


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0junk", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"]
)
def test_damaged_exif_harms_nobody(exif: bytes) -> None:
    found = decode_picture(encoded(PIXELS, "JPEG", exif=exif))
    assert (found.width, found.height) == (60, 40)


def test_what_is_transparent_lies_on_white() -> None:
    layered = np.zeros((4, 6, 4), np.uint8)
    layered[:, :3] = (255, 0, 0, 255)
    layered[:, 5, 3] = 128
    found = decode_picture(encoded(Image.fromarray(layered))).pixels
    assert found[0, 0].tolist() == [255, 0, 0]
    assert found[0, 4].tolist() == [255, 255, 255]
    assert found[0, 5].tolist() == [127, 127, 127]
    palette = Image.fromarray(layered).convert("RGB").quantize(4)
    transparent = encoded(palette, "PNG", transparency=palette.getpixel((4, 0)))
    assert decode_picture(transparent).pixels[0, 4].tolist() == [255, 255, 255]


def test_sixteen_bits_are_the_same_grays_as_eight() -> None:
    gray = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    found = decode_picture(encoded(Image.fromarray(gray))).pixels
    np.testing.assert_array_equal(found[:, :, 1], gray >> 8)


def test_of_an_animation_the_first_frame_is_taken() -> None:
    first, second = Image.new("RGB", (5, 5), "red"), Image.new("RGB", (5, 5), "blue")
    data = encoded(first, "GIF", save_all=True, append_images=[second])
    assert decode_picture(data).pixels[0, 0].tolist() == [255, 0, 0]


def huge_png(width: int, height: int) -> bytes:
    """A header that promises so many pixels, and no pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


BAD = {
    "text": (b"hello", "no picture of a kind that is read here; send PNG"),
    "nothing": (b"", "no picture of a kind that is read here"),
    "another kind": (encoded(PIXELS, "TIFF"), "no picture of a kind that is read here"),
    "cut off": (encoded(PIXELS)[:-200], "damaged or cut off"),
    "a cut JPEG": (encoded(PIXELS, "JPEG")[:-300], "damaged or cut off .*send the whole file"),
    "promised pixels": (huge_png(20_000, 20_000), "more than 50,000,000 pixels"),
    "somewhat fewer": (huge_png(9_000, 9_000), "more than 50,000,000 pixels"),
    "a line without end": (huge_png(70_000, 1), "an edge of more than 65,536"),
}


@pytest.mark.parametrize(("data", "why"), BAD.values(), ids=BAD.keys())
def test_what_is_no_picture_is_told_so(data: bytes, why: str) -> None:
    with pytest.raises(BadPicture, match=why) as refused:
        decode_picture(data)
    assert "0x" not in str(refused.value)
    with pytest.raises(BadPicture, match=why):
        read_picture(data, PLAIN)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_no_damage_is_more_than_a_bad_picture(kind: str) -> None:
    whole = encoded(PIXELS, kind)
    chance = random.Random(kind)
    outcomes = set()
    for _ in range(300):
        damaged = bytearray(whole[: chance.randrange(8, len(whole) + 1)] if chance.random() < 0.3 else whole)
        for _ in range(chance.randrange(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            decode_picture(bytes(damaged))
        except BadPicture:
            outcomes.add("bad")
        else:
            outcomes.add("read")
    assert outcomes == {"bad", "read"}


def test_a_pixel_becomes_the_number_that_the_formula_gives() -> None:
    wanted = replace(PLAIN, mean=MEAN, std=STD, scale=1 / 255)
    tensor = prepare_picture(picture(PIXELS), wanted).tensor
    assert (tensor.dtype, tensor.shape) == (np.float32, (3, 40, 60))
    formula = (PIXELS.astype(np.float64) / 255 - MEAN) / STD
    np.testing.assert_allclose(tensor, formula.transpose(2, 0, 1), rtol=1e-6, atol=1e-7)
    last = prepare_picture(picture(PIXELS), replace(wanted, channels_first=False)).tensor
    np.testing.assert_array_equal(last, tensor.transpose(1, 2, 0))
    swapped = prepare_picture(picture(PIXELS), replace(PLAIN, bgr=True, scale=1.0)).tensor
    np.testing.assert_array_equal(swapped, PIXELS[:, :, ::-1].transpose(2, 0, 1))


@pytest.mark.parametrize("resample", Resample)
@pytest.mark.parametrize("size", [(60, 40), (30, 50), (200, 90), (7, 3)])
def test_a_crop_is_the_centre_of_the_whole_resized_picture(size: tuple[int, int], resample: Resample) -> None:
    source = noise(*size, seed=3)
    wanted = PictureSettings(
        width=32, height=24, resize=ShortestEdgeThenCrop(36), scale=1.0, channels_first=False, resample=resample
    )
    prepared = prepare_picture(picture(source), wanted)
    shorter = min(size)
    whole = (size[0] * 36 // shorter, size[1] * 36 // shorter)
    resized = Image.fromarray(source).resize(whole, Image.Resampling[resample.name])
    left, top = (whole[0] - 32) // 2, (whole[1] - 24) // 2
    expected = np.asarray(resized.crop((left, top, left + 32, top + 24))).astype(np.float32)
    difference = np.abs(prepared.tensor - expected)
    if resample is Resample.NEAREST:  # which of two neighbours is nearer may turn on the last bit
        assert (difference > 0).mean() < 0.1
    else:
        assert difference.max() <= 2  # both directions round
    assert prepared.placement.offset_x == -left
    assert prepared.placement.scale_y == whole[1] / size[1]


def test_a_stretch_may_come_before_a_crop() -> None:
    wanted = PictureSettings(width=20, height=20, resize=Stretch(before_crop=(30, 26)), scale=1.0)
    tensor = prepare_picture(picture(PIXELS), wanted).tensor
    whole = np.asarray(Image.fromarray(PIXELS).resize((30, 26), Image.Resampling.BILINEAR)).astype(np.float32)
    assert np.abs(tensor.transpose(1, 2, 0) - whole[3:23, 5:25]).max() <= 1


def test_a_letterbox_keeps_the_shape_and_fills_the_rest() -> None:
    red = np.zeros((20, 40, 3), np.uint8)
    red[..., 0] = 255
    wanted = PictureSettings(width=64, height=64, resize=Letterbox(fill=114), scale=1.0)
    prepared = prepare_picture(picture(red), wanted)
    filled = (prepared.tensor == 114).all(axis=0)
    assert filled[:16].all()
    assert filled[48:].all()
    assert (prepared.tensor[:, 16:48] == np.array([255, 0, 0])[:, None, None]).all()
    np.testing.assert_allclose(prepared.placement.to_picture(np.array([[0.0, 16, 64, 48]])), [[0, 0, 40, 20]])
    top_left = prepare_picture(picture(red), replace(wanted, resize=Letterbox(fill=0, centered=False)))
    assert (top_left.tensor[:, 32:] == 0).all()
    assert (top_left.tensor[0, :32] == 255).all()


@pytest.mark.parametrize(
    ("size", "edges", "expected"),
    [
        ((640, 480), WithinEdges(800, 1333), (1066, 800)),
        ((480, 640), WithinEdges(800, 1333), (800, 1066)),
        ((2000, 500), WithinEdges(800, 1333), (1332, 333)),
        ((500, 500), WithinEdges(512, 864, multiple=16), (512, 512)),
        ((640, 427), WithinEdges(512, 864, multiple=16), (752, 512)),
        ((9000, 3), WithinEdges(512, 864), (864, 1)),
    ],
)
def test_edges_are_counted_as_in_the_training(
    size: tuple[int, int], edges: WithinEdges, expected: tuple[int, int]
) -> None:
    wanted = PictureSettings(width=edges.longest, height=edges.longest, resize=edges)
    tensor = prepare_picture(picture(np.zeros((size[1], size[0], 3), np.uint8)), wanted).tensor
    assert tensor.shape[::-1][:2] == pytest.approx(expected, abs=1)


def test_a_line_of_text_keeps_its_shape_up_to_the_widest() -> None:
    wanted = PictureSettings(width=400, height=48, resize=TextLine(min_width=320), mean=(0.5,) * 3, std=(0.5,) * 3)
    shapes = {
        size: prepare_picture(picture(noise(*size)), wanted).tensor for size in ((100, 40), (350, 48), (4000, 40))
    }
    assert [each.shape for each in shapes.values()] == [(3, 48, 320), (3, 48, 350), (3, 48, 400)]
    np.testing.assert_allclose(shapes[100, 40][:, :, 120:], 0, atol=1e-7)


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from(
        [
            Stretch(),
            Stretch(before_crop=(50, 50)),
            ShortestEdgeThenCrop(50),
            Letterbox(),
            WithinEdges(30, 48),
            TextLine(min_width=10),
        ]
    ),
)
@settings(max_examples=200, deadline=None)
def test_the_way_back_leads_to_the_picture_s_own_corners(width: int, height: int, resize: object) -> None:
    wanted = PictureSettings(width=48, height=48, resize=resize)  # type: ignore[arg-type]
    prepared = prepare_picture(picture(np.zeros((height, width, 3), np.uint8)), wanted)
    assert max(prepared.tensor.shape[1:]) <= 48
    place = prepared.placement
    right, bottom = width * place.scale_x + place.offset_x, height * place.scale_y + place.offset_y
    corners = np.array([[place.offset_x, place.offset_y, right, bottom]])
    np.testing.assert_allclose(place.to_picture(corners), [[0, 0, width, height]], atol=1e-6)


def test_a_picture_of_one_line_is_cropped_without_its_billions_of_pixels() -> None:
    line = Picture(Image.new("RGB", (60_000, 1), "red"))
    wanted = PictureSettings(width=224, height=224, resize=ShortestEdgeThenCrop(256), scale=1.0)
    assert prepare_picture(line, wanted).tensor[0].min() == 255


def test_how_large_a_picture_may_be_follows_the_memory_of_the_process() -> None:
    assert most_pixels(1 << 40) == 50_000_000
    assert most_pixels(1 << 30) == (1 << 28) // 18
    few = most_pixels(4 * 18 * 2_250)
    assert read_picture(encoded(noise(50, 45)), PLAIN, max_pixels=few).placement.width == 50
    with pytest.raises(BadPicture, match="more than 2,250 pixels"):
        read_picture(encoded(noise(51, 45)), PLAIN, max_pixels=few)


def test_large_pictures_are_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "LARGE_PIXELS", 10)
    small = read_picture(encoded(PIXELS), PLAIN)
    again = read_picture(encoded(PIXELS), PLAIN)
    np.testing.assert_array_equal(small.tensor, again.tensor)
