"""How a model's folder wants pictures to be prepared: `read_picture_settings`, from what transformers writes there.

Source: `preprocessor_config.json` (or the part `image_processor` of `processor_config.json`) as the image processors of
the transformers library write and read it. What they leave open is taken from the shape of the graph's input if it is
stated there, and asked for otherwise: a wrong guess would answer with confidence, and wrongly.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeGuard

from berth_api.errors import UnsupportedModel
from berth_store.detect import config
from berth_store.detect.folder import ModelFolder
from berth_store.detect.picture_settings import (
    PictureSettings,
    Resample,
    Resize,
    ShortestEdgeThenCrop,
    Stretch,
    WithinEdges,
)
from berth_store.headers.bounded_json import Json

FILE_NAME = "preprocessor_config.json"
MAX_EDGE = 4096
Triple = tuple[float, float, float]

# Pillow's numbers for its filters.
_RESAMPLES = (
    Resample.NEAREST,
    Resample.LANCZOS,
    Resample.BILINEAR,
    Resample.BICUBIC,
    Resample.BOX,
    Resample.HAMMING,
)
# What a size that is one number means to each processor: the edges of a square, or the shorter edge.
_SQUARE = frozenset({"Beit", "Deit", "DPT", "EfficientNet", "MobileVit", "Pvt", "Segformer", "Siglip", "Swin", "ViT"})
_SHORTEST = frozenset(
    {"Bit", "CLIP", "ConvNext", "Levit", "MobileNetV1", "MobileNetV2", "PoolFormer", "TextNet", "VideoMAE"}
)
_DETECTORS = frozenset({"ConditionalDetr", "DeformableDetr", "Deta", "Detr", "GroundingDino", "Yolos"})
_KIND = re.compile(r"(\w+?)(?:ImageProcessor(?:Fast|Pil)?|FeatureExtractor)")
_DETECTORS_LONGEST = 1333
# From this edge on, ConvNext's processor stretches and crops nothing.
_CONVNEXT_UNCROPPED = 384
_MULTIPLES = {"Yolos": 16}


@dataclass(frozen=True)
class PictureInput:
    """A graph's input for pictures: sizes are None where they may differ between calls."""

    name: str
    width: int | None
    height: int | None
    channels_first: bool = True
    whole_numbers: bool = False


def read_picture_settings(folder: ModelFolder, place: PictureInput) -> PictureSettings:
    """How pictures become the graph's input; `UnsupportedModel` names the file that is missing, or the key in it."""
    stated = folder.json(FILE_NAME) or config.mapping(folder.json("processor_config.json"), "image_processor")
    if stated:
        return _Reader(stated, place).read()
    if place.whole_numbers and place.width and place.height:  # then the graph normalises by itself
        return PictureSettings(width=place.width, height=place.height, scale=1.0, channels_first=place.channels_first)
    raise UnsupportedModel(
        f"{folder.root} does not say how a picture becomes the graph's input `{place.name}`; put the model's "
        f"{FILE_NAME} there (with size, image_mean and image_std, as transformers writes it)"
    )


@dataclass(frozen=True)
class _Reader:
    """One file, and the input that its pictures are for."""

    stated: Mapping[str, Json]
    place: PictureInput

    def read(self) -> PictureSettings:
        width, height, resize = self._sizes()
        self._check_fits(width, height, resize)
        mean, std = self._normalisation()
        return PictureSettings(
            width=width,
            height=height,
            resize=resize,
            mean=mean,
            std=std,
            scale=self._scale(),
            channels_first=self.place.channels_first,
            bgr=config.flag(self.stated, "do_flip_channel_order"),
            resample=self._resample(),
        )

    @property
    def _kind(self) -> str:
        """The class of the processor without its suffix."""
        named = config.text(self.stated, "image_processor_type") or config.text(self.stated, "feature_extractor_type")
        match = _KIND.fullmatch(named or "")
        return match[1] if match else ""

    def _sizes(self) -> tuple[int, int, Resize]:
        """The tensor's width and height, or the most that they may be, and the way there."""
        if self.stated.get("do_resize") is False:
            raise _refuse("do_resize is false, and pictures come in all sizes", "set `do_resize` and `size`")
        height, width = self._edge("size", "height"), self._edge("size", "width")
        shortest, longest = self._edge("size", "shortest_edge"), self._longest()
        if shortest is None and (height is None or width is None):
            shortest, height, width = self._from_one_number()
        if shortest is None:
            return self._stretched(_known(width), _known(height))
        if self._kind in _DETECTORS or longest is not None:
            longest = longest or _DETECTORS_LONGEST
            edges = WithinEdges(shortest, longest, multiple=_MULTIPLES.get(self._kind, 1))
            return longest, longest, edges
        return self._cropped(shortest)

    def _longest(self) -> int | None:
        return self._edge("size", "longest_edge") or self._number("max_size")

    def _from_one_number(self) -> tuple[int | None, int | None, int | None]:
        """Shortest edge, height and width where `size` is a number, or where the graph alone states them."""
        size = self._number("size")
        if size is None and not self.stated.get("size") and self.place.width and self.place.height:
            return None, self.place.height, self.place.width
        if size is not None and self._kind in _SHORTEST | _DETECTORS:
            return size, None, None
        if size is not None and self._kind in _SQUARE:
            return None, size, size
        raise _refuse(
            f"its `size` is {'a number' if size else 'not stated'}, which leaves the picture's shape open",
            'write it as {"height": …, "width": …} or {"shortest_edge": …}',
        )

    def _stretched(self, width: int, height: int) -> tuple[int, int, Resize]:
        crop = self._crop()
        if crop is None or crop == (width, height):
            return width, height, Stretch()
        if crop[0] > width or crop[1] > height:
            raise _refuse("its `crop_size` is larger than its `size`", "correct one of them")
        return *crop, Stretch(before_crop=(width, height))

    def _cropped(self, shortest: int) -> tuple[int, int, Resize]:
        """The shorter edge is given: what is cut out of the middle, and how large the picture is then."""
        share = self.stated.get("crop_pct")
        share = float(share) if isinstance(share, int | float) and 0 < share <= 1 else None
        crop, edge = self._crop(), shortest
        if self._kind == "ConvNext":
            if shortest >= _CONVNEXT_UNCROPPED:
                return shortest, shortest, Stretch()
            crop, edge = (shortest, shortest), int(shortest / (share or 224 / 256))
        elif self._kind == "PoolFormer" and share:
            edge = int(shortest / share)
        elif self._kind == "Levit":
            edge = int(256 / 224 * shortest)
        if crop is None:
            raise _refuse(
                "it gives the shorter edge alone, so that each picture has another size",
                "set `do_center_crop` and `crop_size`, or a `longest_edge`",
            )
        if max(crop) > edge:
            raise _refuse("its `crop_size` is larger than its `size`", "correct one of them")
        return *crop, ShortestEdgeThenCrop(edge)

    def _crop(self) -> tuple[int, int] | None:
        """Width and height of what is cut out of the middle."""
        stated = self.stated.get("crop_size")
        wanted = self.stated.get("do_center_crop")
        if wanted is False or (wanted is None and stated is None):
            return None
        both = self._number("crop_size") or self._edge("crop_size", "shortest_edge")
        width, height = self._edge("crop_size", "width") or both, self._edge("crop_size", "height") or both
        if width is None or height is None:
            raise _refuse("`crop_size` gives no width and height", 'write {"height": …, "width": …}')
        return width, height

    def _check_fits(self, width: int, height: int, resize: Resize) -> None:
        place = self.place
        differs = place.width not in (None, width) or place.height not in (None, height)
        if isinstance(resize, WithinEdges) and (place.width or place.height):
            raise _refuse(
                f"pictures keep their shape, and the graph's input `{place.name}` has a fixed one",
                "export the graph with dynamic height and width",
            )
        if differs:
            raise _refuse(
                f"it makes pictures of {width} x {height}, and the graph's input `{place.name}` wants "
                f"{place.width or 'any'} x {place.height or 'any'}",
                "take the file and the graph of one model",
            )

    def _normalisation(self) -> tuple[Triple, Triple]:
        """Mean and deviation; what two processors of the library do besides can be said in them too."""
        mean, std = self._triple("image_mean"), self._triple("image_std")
        wanted = self.stated.get("do_normalize")
        if wanted is False or (wanted is None and mean is None and std is None):
            mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        if mean is None or std is None:
            raise _refuse("it wants pictures normalised", "state `image_mean` and `image_std`, three numbers each")
        if not all(std):
            raise _refuse("`image_std` holds a zero, by which nothing can be divided", "correct it")
        if config.flag(self.stated, "rescale_offset"):
            mean = _three(value + 1 for value in mean)
        if config.flag(self.stated, "include_top"):
            std = _three(value * value for value in std)
        return mean, std

    def _scale(self) -> float:
        if self.stated.get("do_rescale") is False:
            return 1.0
        factor = self.stated.get("rescale_factor", 1 / 255)
        if _is_number(factor) and factor != 0:
            return float(factor)
        raise _refuse("`rescale_factor` is no number", "write 0.00392156862745098, which is 1/255")

    def _resample(self) -> Resample:
        stated = self.stated.get("resample")
        if stated is None:
            return Resample.BILINEAR
        if type(stated) is not int or not 0 <= stated < len(_RESAMPLES):
            raise _refuse("`resample` is none of Pillow's filters", "give a number from 0 to 5")
        return _RESAMPLES[stated]

    def _triple(self, key: str) -> Triple | None:
        value = self.stated.get(key)
        if value is None:
            return None
        values = value if isinstance(value, list) else [value] * 3
        numbers = [float(each) for each in values if _is_number(each)]
        if len(numbers) == len(values) == 3:
            return _three(numbers)
        raise _refuse(f"`{key}` is not three numbers", "write one for each of red, green and blue")

    def _edge(self, key: str, name: str) -> int | None:
        return _bounded(config.count(config.mapping(self.stated, key), name), f"{key}.{name}")

    def _number(self, key: str) -> int | None:
        return _bounded(config.count(self.stated, key), key)


def _known(value: int | None) -> int:
    assert value is not None
    return value


def _three(values: Iterable[float]) -> Triple:
    first, second, third = values
    return first, second, third


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 and math.isfinite(value)


def _bounded(value: int | None, key: str) -> int | None:
    if value is not None and value > MAX_EDGE:
        raise _refuse(f"`{key}` is {value:,}, and pictures have {MAX_EDGE:,} at most here", "correct it")
    return value


def _refuse(why: str, remedy: str) -> UnsupportedModel:
    return UnsupportedModel(f"{FILE_NAME}: {why}; {remedy}")
