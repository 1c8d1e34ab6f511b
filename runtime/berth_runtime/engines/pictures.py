"""From the bytes of a picture to a model's input: `decode_picture`, `prepare_picture`, and both in `read_picture`.

Engines that look at pictures call it from their own threads; Pillow leaves the interpreter free while it decodes and
resizes. The bytes are a stranger's: formats, pixels and memory are bounded, and whatever is wrong is a `BadPicture`.

The picture stays in Pillow's own memory until it has the model's size, so no array of all its pixels is ever made, and
of a crop only the part that is kept is computed.
"""

import math
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from berth_api.errors import BerthError
from berth_store.detect.picture_settings import (
    Letterbox,
    PictureSettings,
    Resample,
    ShortestEdgeThenCrop,
    Stretch,
    TextLine,
    WithinEdges,
)

__all__ = [
    "BadPicture",
    "Letterbox",
    "Picture",
    "PictureSettings",
    "Placement",
    "Prepared",
    "Resample",
    "ShortestEdgeThenCrop",
    "Stretch",
    "TextLine",
    "WithinEdges",
    "decode_picture",
    "most_pixels",
    "prepare_picture",
    "read_picture",
]

Tensor = NDArray[np.float32]

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP")

# What telephones take fits.
MAX_PIXELS: Final = 50_000_000
MAX_EDGE: Final = 1 << 16
# What a pixel takes at most while a picture is decoded, as measured: of a transparent WebP two copies are kept.
BYTES_A_PIXEL: Final = 18
# The share of a process's memory that one picture may take.
MEMORY_SHARE: Final = 0.25
# Of pictures larger than this only one is in memory at a time, so that a few small files can't fill a pod's memory.
LARGE_PIXELS: Final = 8_000_000
_one_large = threading.Lock()

MAX_REASON_CHARACTERS: Final = 200
WHITE: Final = (255, 255, 255)
_ALPHA: Final = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})
_EXIF_ORIENTATION: Final = 0x0112
# How to undo each orientation; source: the tag Orientation of EXIF 2.3.
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow's readers raise for damaged files.
_DAMAGE: Final = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, zlib.error)


class BadPicture(BerthError):  # noqa: N818 - reads as what it is
    """The bytes are no picture that is read here; the message says why, and what to send."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture, upright and opaque; `image` is in the mode RGB."""

    image: Image.Image

    @property
    def width(self) -> int:
        """In pixels, as it is shown."""
        return self.image.width

    @property
    def height(self) -> int:
        """In pixels, as it is shown."""
        return self.image.height

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(height, width, 3), red, green, blue; a new array each time."""
        return np.asarray(self.image)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the picture of `width` by `height` pixels lies in the tensor: there x is at `x * scale_x + offset_x`."""

    width: int
    height: int
    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float

    def to_picture(self, corners: NDArray[np.floating]) -> NDArray[np.float64]:
        """Boxes (n, 4), left, top, right, bottom, from the tensor's pixels to the picture's, cut at its edges."""
        offset = np.array([self.offset_x, self.offset_y] * 2)
        scale = np.array([self.scale_x, self.scale_y] * 2)
        found: NDArray[np.float64] = (corners - offset) / scale
        return found.clip(0, np.array([self.width, self.height] * 2, dtype=np.float64))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model's input for one picture, without the dimension of the batch, and where the picture lies in it.

    `size` is the tensor's (width, height).
    """

    tensor: Tensor
    size: tuple[int, int]
    placement: Placement


@dataclass(frozen=True, slots=True)
class _Layout:
    """The picture is resized to `resized`, and laid into the tensor with its corner at (`left`, `top`).

    What sticks out (a negative corner) is cropped, what stays empty has the value `fill`. Sizes are (width, height).
    """

    tensor: tuple[int, int]
    resized: tuple[int, int]
    left: int = 0
    top: int = 0
    fill: float = 0.0


def most_pixels(memory_bytes: int) -> int:
    """How many pixels a picture may have in a process with so much memory."""
    return min(MAX_PIXELS, int(memory_bytes * MEMORY_SHARE / BYTES_A_PIXEL))


def decode_picture(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """The picture in a file's bytes: of an animation the first frame, what is transparent on white.

    Raises `BadPicture`.
    """
    with _opened(data, max_pixels) as image:
        return Picture(_upright_rgb(image))


def read_picture(data: bytes, settings: PictureSettings, *, max_pixels: int = MAX_PIXELS) -> Prepared:
    """`decode_picture` and `prepare_picture`, of large pictures only one at a time in this process."""
    with ExitStack() as held:
        with _opened(data, max_pixels) as image:
            if image.width * image.height > LARGE_PIXELS:
                held.enter_context(_one_large)
            picture = Picture(_upright_rgb(image))
        return prepare_picture(picture, settings)


def prepare_picture(picture: Picture, settings: PictureSettings) -> Prepared:
    """The picture as the model wants it."""
    layout = _lay_out(picture.width, picture.height, settings)
    part, left, top = _resize_visible(picture.image, layout, settings.resample)
    tensor = _normalise(part, left, top, layout, settings)
    placement = Placement(
        width=picture.width,
        height=picture.height,
        scale_x=layout.resized[0] / picture.width,
        scale_y=layout.resized[1] / picture.height,
        offset_x=layout.left,
        offset_y=layout.top,
    )
    return Prepared(tensor, layout.tensor, placement)


@contextmanager
def _opened(data: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """The file, its header read and bounded; what goes wrong inside is a `BadPicture` too."""
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            _check_size(image.width, image.height, max_pixels)
            yield image
    except UnidentifiedImageError as error:
        kinds = "send PNG, JPEG, WebP, GIF or BMP"
        raise BadPicture(f"it is no picture of a kind that is read here; {kinds}") from error
    except Image.DecompressionBombError as error:
        raise BadPicture(_too_large(max_pixels)) from error
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:MAX_REASON_CHARACTERS] or type(error).__name__
        raise BadPicture(f"it is damaged or cut off ({reason}); send the whole file") from error


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise BadPicture("it has no pixels; send one that has some")
    if width * height > max_pixels or max(width, height) > MAX_EDGE:
        raise BadPicture(_too_large(max_pixels))


def _too_large(max_pixels: int) -> str:
    return f"it has more than {max_pixels:,} pixels, or an edge of more than {MAX_EDGE:,}; make it smaller"


def _upright_rgb(image: Image.Image) -> Image.Image:
    """Decode, make opaque, and turn as its EXIF says."""
    image.load()
    turn = _UPRIGHT.get(_orientation(image))
    rgb = _rgb(image)
    return rgb if turn is None else rgb.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """EXIF's word; damaged EXIF says nothing, and harms nobody."""
    try:
        stated = image.getexif().get(_EXIF_ORIENTATION)
    except _DAMAGE:
        return 0
    return stated if isinstance(stated, int) else 0


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel, of which Pillow's own conversion would cut the upper half off
        gray = np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8)
        return Image.fromarray(gray).convert("RGB")
    if image.mode not in _ALPHA and "transparency" not in image.info:
        return image if image.mode == "RGB" else image.convert("RGB")
    layered = image if image.mode == "RGBA" else image.convert("RGBA")
    opaque = Image.new("RGB", image.size, WHITE)
    opaque.paste(layered, mask=layered.getchannel("A"))
    return opaque


def _lay_out(width: int, height: int, settings: PictureSettings) -> _Layout:
    """Where a picture of this size goes."""
    wanted = (settings.width, settings.height)
    match settings.resize:
        case Stretch(before_crop=first):
            return _centre(wanted, first or wanted)
        case ShortestEdgeThenCrop(shortest_edge=edge):
            shorter = min(width, height)
            return _centre(wanted, (width * edge // shorter, height * edge // shorter))
        case Letterbox() as letterbox:
            return _letter_box(width, height, wanted, letterbox)
        case WithinEdges() as edges:
            size = _within(width, height, edges)
            return _Layout(size, size)
        case TextLine(min_width=least, fill=fill):
            inner = min(settings.width, math.ceil(settings.height * width / height))
            return _Layout((max(inner, least), settings.height), (inner, settings.height), fill=fill)


def _letter_box(width: int, height: int, wanted: tuple[int, int], box: Letterbox) -> _Layout:
    ratio = min(wanted[0] / width, wanted[1] / height)
    size = (_whole(width * ratio, wanted[0]), _whole(height * ratio, wanted[1]))
    if not box.centered:
        return _Layout(wanted, size, fill=box.fill)
    # An odd pixel goes to the right and below, as where these models were trained.
    left, top = ((outer - inner) // 2 for outer, inner in zip(wanted, size, strict=True))
    return _Layout(wanted, size, left, top, box.fill)


def _centre(wanted: tuple[int, int], resized: tuple[int, int]) -> _Layout:
    left, top = (-((inner - outer) // 2) for outer, inner in zip(wanted, resized, strict=True))
    return _Layout(wanted, resized, left, top)


def _within(width: int, height: int, edges: WithinEdges) -> tuple[int, int]:
    """As transformers counts it (`get_size_with_aspect_ratio`), so that sizes are those of the training."""
    shorter, longer = min(width, height), max(width, height)
    edge = float(edges.shortest)
    if longer / shorter * edge > edges.longest:
        edge = edges.longest * shorter / longer
    short, long = max(1, round(edge)), min(edges.longest, max(1, int(edge * longer / shorter)))
    size = (short, long) if width < height else (long, short)
    across, down = (max(edges.multiple, each - each % edges.multiple) for each in size)
    return across, down


def _whole(size: float, most: int) -> int:
    return min(most, max(1, round(size)))


def _resize_visible(image: Image.Image, layout: _Layout, resample: Resample) -> tuple[NDArray[np.uint8], int, int]:
    """The pixels of the resized picture that lie in the tensor, and where in it they begin.

    The resize computes these alone (its filter sees the whole picture all the same): else a long thin picture would
    have billions of pixels before its centre is taken.
    """
    (left, right), (top, bottom) = (
        (max(0, -corner), min(inner, outer - corner))
        for corner, inner, outer in zip((layout.left, layout.top), layout.resized, layout.tensor, strict=True)
    )
    across, down = image.width / layout.resized[0], image.height / layout.resized[1]
    source = (left * across, top * down, min(right * across, image.width), min(bottom * down, image.height))
    part = image.resize((right - left, bottom - top), Image.Resampling[resample.name], box=source)
    return np.asarray(part), left + layout.left, top + layout.top


def _normalise(part: NDArray[np.uint8], left: int, top: int, layout: _Layout, settings: PictureSettings) -> Tensor:
    """The tensor with the part in its place. A channel has 256 values, so their numbers are looked up."""
    width, height = layout.tensor
    rows, columns = part.shape[:2]
    tensor = np.empty((3, height, width) if settings.channels_first else (height, width, 3), np.float32)
    planes = tensor if settings.channels_first else np.moveaxis(tensor, 2, 0)
    table = _table(settings.scale, settings.mean, settings.std)
    for channel, plane in enumerate(planes):
        if (rows, columns) != (height, width):
            plane[...] = (layout.fill * settings.scale - settings.mean[channel]) / settings.std[channel]
        values = part[:, :, 2 - channel if settings.bgr else channel]
        plane[top : top + rows, left : left + columns] = table[channel][values]
    return tensor


@lru_cache(maxsize=64)
def _table(scale: float, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    values = np.arange(256, dtype=np.float64) * scale
    return np.stack([(values - m) / s for m, s in zip(mean, std, strict=True)]).astype(np.float32)
