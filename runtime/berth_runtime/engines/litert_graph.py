"""A TFLite file as its engines open it: `read_header`, and `LitertGraph`, one interpreter with the model in it.

An interpreter serves one thread at a time. Tensors are addressed by index: most TFLite files have no names to call them
by.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from berth_api.errors import UnsupportedModel
from berth_runtime.engines.protocol import EngineSettings, LoadFailed
from berth_store.detect.tflite_task import why_not
from berth_store.headers.tflite import TfliteHeader, TfliteTensor, read_tflite

Numbers = NDArray[np.float32]
Outputs = Mapping[int, Numbers]
# What LiteRT raises: ValueError for a file, a shape or a value that it does not take, RuntimeError from an operator.
RUN_ERRORS: Final = (RuntimeError, ValueError)


def read_header(settings: EngineSettings) -> TfliteHeader:
    """What the model's file says of itself; raises `LoadFailed` if it can't be read, or can't do the task."""
    path = settings.model.weights[0]
    try:
        header = read_tflite(path)
    except UnsupportedModel as error:
        raise LoadFailed(str(error)) from error
    if wrong := why_not(header, settings.task):
        raise LoadFailed(f"{path.name} can't do the task {settings.task}: it {wrong}")
    return header


class LitertGraph:
    """A model that is loaded; `run` may be called by one thread at a time."""

    def __init__(self, path: Path, outputs: Sequence[TfliteTensor]) -> None:
        self._outputs = outputs
        try:
            # On few cores, one thread in each of several interpreters does more than several in one (measured).
            self._interpreter = Interpreter(model_path=str(path), num_threads=1)
            self._interpreter.allocate_tensors()
        except RUN_ERRORS as error:
            raise LoadFailed(
                f"LiteRT can't load {path.name}: {plain_words(error)}; convert or fetch it again"
            ) from error
        details = self._interpreter.get_input_details()
        self._shapes = {int(each["index"]): tuple(int(size) for size in each["shape"]) for each in details}

    def run(self, feed: Mapping[int, NDArray[Any]]) -> Outputs:
        """The outputs by index, for the values of all inputs by index; raises `RUN_ERRORS`."""
        self._fit(feed)
        for index, values in feed.items():
            self._interpreter.set_tensor(index, values)
        self._interpreter.invoke()
        return {each.index: as_numbers(self._interpreter.get_tensor(each.index), each) for each in self._outputs}

    def _fit(self, feed: Mapping[int, NDArray[Any]]) -> None:
        """Give the inputs these shapes."""
        other = {index: values.shape for index, values in feed.items() if self._shapes.get(index) != values.shape}
        if not other:
            return
        # Where LiteRT refuses a shape, nobody knows what it has kept: the next run shall state them all.
        known, self._shapes = self._shapes, {}
        for index, shape in other.items():
            self._interpreter.resize_tensor_input(index, shape)
        self._interpreter.allocate_tensors()
        self._shapes = known | other


def as_numbers(values: NDArray[np.generic], output: TfliteTensor) -> Numbers:
    """What the output's numbers stand for."""
    if output.scale == 0 or output.element_type == "FLOAT32":
        return values.astype(np.float32)
    return ((values.astype(np.float32) - output.zero_point) * output.scale).astype(np.float32)


def plain_words(error: Exception) -> str:
    """The first line of what LiteRT says, without the trail of its source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
