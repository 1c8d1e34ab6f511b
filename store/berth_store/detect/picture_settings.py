"""How a model wants its pictures: `PictureSettings`, a value that detection reads and engines prepare pictures by.

Pure. `berth_store.detect.picture` reads it from an artifact, `berth_runtime.engines.pictures` carries it out.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field


class Resample(StrEnum):
    """The filter of a resize; all but the first weigh every pixel of the picture when it shrinks."""

    NEAREST = "nearest"
    BOX = "box"
    BILINEAR = "bilinear"
    HAMMING = "hamming"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"


@dataclass(frozen=True)
class Stretch:
    """To the tensor's width and height, whatever the picture's shape; if `before_crop` states another (width, height),
    to that first, of which the centre is taken.
    """

    kind: Literal["stretch"] = "stretch"
    before_crop: tuple[int, int] | None = None


@dataclass(frozen=True)
class ShortestEdgeThenCrop:
    """The picture's shape is kept: its shorter edge becomes `shortest_edge`, then the centre is taken."""

    shortest_edge: int
    kind: Literal["shortest-edge-then-crop"] = "shortest-edge-then-crop"


@dataclass(frozen=True)
class Letterbox:
    """The whole picture as large as it fits, its shape kept; what is left of the tensor has the pixel value `fill`.

    The picture stands in the middle, or top left.
    """

    fill: float = 114.0
    centered: bool = True
    kind: Literal["letterbox"] = "letterbox"


@dataclass(frozen=True)
class WithinEdges:
    """The tensor has the picture's shape: its shorter edge becomes `shortest`, or less where the longer one would pass
    `longest`; both are cut down to multiples of `multiple`.
    """

    shortest: int
    longest: int
    multiple: int = 1
    kind: Literal["within-edges"] = "within-edges"


@dataclass(frozen=True)
class TextLine:
    """The tensor has the stated height; its width follows the picture's shape, filled on the right to `min_width`."""

    min_width: int
    fill: float = 127.5
    kind: Literal["text-line"] = "text-line"


Resize = Annotated[
    Stretch | ShortestEdgeThenCrop | Letterbox | WithinEdges | TextLine,
    Field(discriminator="kind"),
]


@dataclass(frozen=True, kw_only=True)
class PictureSettings:
    """From a picture to a model's input.

    `width` and `height` are the tensor's; where `resize` leaves them to the picture, the most that they may be. A pixel
    value 0 to 255 becomes `(value * scale - mean) / std`, channel by channel in the tensor's own order, which is red,
    green, blue unless `bgr`. The tensor is (3, height, width) if `channels_first`, else (height, width, 3).
    """

    width: int
    height: int
    resize: Resize = Stretch()
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    scale: float = 1 / 255
    channels_first: bool = True
    bgr: bool = False
    resample: Resample = Resample.BILINEAR
