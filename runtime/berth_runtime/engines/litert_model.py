"""A model that looks at pictures: `LitertModel`; from a picture's numbers to the outputs' numbers.

An interpreter serves one thread at a time, so `berth_runtime.engines.litert_workers` has one for each of its threads.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from berth_runtime.engines.litert_graph import LitertGraph, Numbers, Outputs
from berth_store.headers.tflite import TfliteTensor

_RANGES: Final = {"UINT8": (np.uint8, 0, 255), "INT8": (np.int8, -128, 127)}
# What green, red and blue have of the lightness of grey; source: ITU-R BT.601.
_LIGHTNESS: Final = np.array([0.299, 0.587, 0.114], np.float32)


class LitertModel:
    """A model with the place that takes a picture; `run` may be called by one thread at a time."""

    def __init__(self, graph: LitertGraph, place: TfliteTensor, *, as_pixels: bool) -> None:
        """`as_pixels` says that a quantised input takes the numbers of pixels, 0 to 255, as they are."""
        self._graph = graph
        self._place = place
        self._as_pixels = as_pixels

    def run(self, tensor: Numbers) -> Outputs:
        """The outputs for one picture of the shape (height, width, 3) or (3, height, width); raises `RUN_ERRORS`."""
        batch = as_input(with_channels(tensor, self._place), self._place, as_pixels=self._as_pixels)[np.newaxis]
        return self._graph.run({self._place.index: batch})


def with_channels(tensor: Numbers, place: TfliteTensor) -> Numbers:
    """The picture, or its lightness where the model takes one channel."""
    if place.signature[3] == 1:
        return (tensor @ _LIGHTNESS)[..., np.newaxis]
    if place.signature[1] == 1:
        return np.tensordot(_LIGHTNESS, tensor, axes=1)[np.newaxis]
    return tensor


def as_input(numbers: Numbers, place: TfliteTensor, *, as_pixels: bool) -> NDArray[np.generic]:
    """The numbers as the input's type wants them."""
    if place.element_type not in _RANGES:
        return numbers
    kind, least, most = _RANGES[place.element_type]
    direct = as_pixels or place.scale == 0
    steps = numbers + least if direct else numbers / place.scale + place.zero_point
    return np.clip(np.rint(steps), least, most).astype(kind)
