"""One interpreter of LiteRT with the model in it: `LitertModel`; from a picture's numbers to the outputs' numbers.

An interpreter serves one thread at a time, so `berth_runtime.engines.litert_workers` has one for each of its threads.
Tensors are addressed by index: most TFLite files have no names to call them by.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from berth_runtime.engines.protocol import LoadFailed
from berth_store.headers.tflite import TfliteTensor

Numbers = NDArray[np.float32]
Outputs = Mapping[int, Numbers]
# What LiteRT raises: ValueError for a file, a shape or a value that it does not take, RuntimeError from an operator.
RUN_ERRORS: Final = (RuntimeError, ValueError)

_RANGES: Final = {"UINT8": (np.uint8, 0, 255), "INT8": (np.int8, -128, 127)}
# What green, red and blue have of the lightness of grey; source: ITU-R BT.601.
_LIGHTNESS: Final = np.array([0.299, 0.587, 0.114], np.float32)


class LitertModel:
    """A model that is loaded; `run` may be called by one thread at a time."""

    def __init__(self, path: Path, place: TfliteTensor, outputs: Sequence[TfliteTensor], *, as_pixels: bool) -> None:
        """`as_pixels` says that a quantised input takes the numbers of pixels, 0 to 255, as they are."""
        self._place = place
        self._outputs = outputs
        self._as_pixels = as_pixels
        try:
            # On few cores, one thread in each of several interpreters does more than several in one (measured).
            self._interpreter = Interpreter(model_path=str(path), num_threads=1)
            self._interpreter.allocate_tensors()
        except RUN_ERRORS as error:
            raise LoadFailed(
                f"LiteRT can't load {path.name}: {plain_words(error)}; convert or fetch it again"
            ) from error
        self._shape = tuple(int(size) for size in self._interpreter.get_input_details()[0]["shape"])

    def run(self, tensor: Numbers) -> Outputs:
        """The outputs for one picture of the shape (height, width, 3) or (3, height, width); raises `RUN_ERRORS`."""
        batch = as_input(with_channels(tensor, self._place), self._place, as_pixels=self._as_pixels)[np.newaxis]
        if batch.shape != self._shape:
            self._interpreter.resize_tensor_input(self._place.index, batch.shape)
            self._interpreter.allocate_tensors()
            self._shape = batch.shape
        self._interpreter.set_tensor(self._place.index, batch)
        self._interpreter.invoke()
        return {each.index: as_numbers(self._interpreter.get_tensor(each.index), each) for each in self._outputs}


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


def as_numbers(values: NDArray[np.generic], output: TfliteTensor) -> Numbers:
    """What the output's numbers stand for."""
    if output.scale == 0 or output.element_type == "FLOAT32":
        return values.astype(np.float32)
    return ((values.astype(np.float32) - output.zero_point) * output.scale).astype(np.float32)


def plain_words(error: Exception) -> str:
    """The first line of what LiteRT says, without the trail of its source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
