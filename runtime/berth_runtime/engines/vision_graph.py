"""An ONNX graph that looks at batches of pictures: what it declares, and how it is run.

Opened by `berth_runtime.engines.onnxruntime`, run by `vision_scheduler`. One session is shared by all threads;
each run stays on the thread that asks for it.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from berth_runtime.engines.jobs import Interrupt
from berth_runtime.engines.onnx_session import OUTPUT_TYPES, open_session, running
from berth_runtime.engines.pictures import PictureSettings, Tensor
from berth_runtime.engines.protocol import EngineSettings, LoadFailed
from berth_runtime.engines.vision_scheduler import BatchLimits
from berth_runtime.engines.vision_scores import Outputs

INPUT_TYPES: Final[Mapping[str, type[np.generic]]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
MASK_TYPES: Final[Mapping[str, type[np.generic]]] = {
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
    "tensor(float)": np.float32,
}
MASK: Final = "pixel_mask"


def open_graph(settings: EngineSettings, picture: PictureSettings) -> "VisionGraph":
    """The weights in memory: a `VisionModel`."""
    session = open_session(settings.model.weights[0], provider=settings.args.get("provider"))
    return VisionGraph(session, picture, threads=settings.threads)


def batch_limits(fixed_rows: int | None) -> BatchLimits:
    """How batches are built: the measured default, or as the graph was exported."""
    return BatchLimits() if fixed_rows is None else BatchLimits(pictures=fixed_rows, pixels=sys.maxsize)


class VisionGraph:
    """The session, ready for batches. `fixed_rows` is the size of a batch that the graph was exported for."""

    def __init__(self, session: onnxruntime.InferenceSession, settings: PictureSettings, *, threads: int = 1) -> None:
        """Check what the graph declares; raises `LoadFailed` naming what does not fit."""
        inputs = {value.name: value for value in session.get_inputs()}
        self._mask = inputs.pop(MASK, None)
        if len(inputs) != 1:
            raise LoadFailed(
                f"the graph wants {', '.join(inputs) or 'nothing'}; a model for pictures takes one input with them, "
                f"and at most {MASK} besides: export it so"
            )
        self._input = next(iter(inputs.values()))
        _check_input(self._input, settings)
        if self._mask is not None and (self._mask.type not in MASK_TYPES or len(self._mask.shape) != 3):
            raise LoadFailed(f"the graph's input {MASK} is {self._mask.type} {self._mask.shape}; export it as int64")
        self._session = session
        self._settings = settings
        self.outputs = tuple(value.name for value in session.get_outputs() if value.type in OUTPUT_TYPES)
        rows = self._input.shape[0]
        self.fixed_rows: int | None = rows if isinstance(rows, int) else None
        self.limits = batch_limits(self.fixed_rows)
        self.threads = threads

    def interrupt(self) -> Interrupt:
        """What stops one run."""
        options: Interrupt = onnxruntime.RunOptions()
        return options

    def run(self, tensors: Sequence[Tensor], interrupt: Interrupt | None = None) -> Outputs:
        """The outputs for tensors of one shape; raises `RunFailed`."""
        batch = np.zeros((self.fixed_rows or len(tensors), *tensors[0].shape), INPUT_TYPES[self._input.type])
        for row, tensor in enumerate(tensors):
            batch[row] = tensor
        feed: dict[str, NDArray[Any]] = {self._input.name: batch}
        if self._mask is not None:
            feed[MASK] = self._whole_mask(self._mask, batch)
        with running():
            found = self._session.run(list(self.outputs), feed, interrupt)
        return {
            name: np.asarray(value[: len(tensors)], dtype=np.float32)
            for name, value in zip(self.outputs, found, strict=True)
        }

    def _whole_mask(self, mask: onnxruntime.NodeArg, batch: NDArray[Any]) -> NDArray[Any]:
        """Every pixel belongs to the picture: pictures of one batch have one shape, and none is padded."""
        height, width = batch.shape[2:] if self._settings.channels_first else batch.shape[1:3]
        sizes = zip(mask.shape[1:], (height, width), strict=True)
        stated = [size if isinstance(size, int) else own for size, own in sizes]
        return np.ones((len(batch), *stated), MASK_TYPES[mask.type])


def _check_input(value: onnxruntime.NodeArg, settings: PictureSettings) -> None:
    if value.type not in INPUT_TYPES or len(value.shape) != 4:
        raise LoadFailed(
            f"the graph's input {value.name} is {value.type} {value.shape}; export it as float32 with four dimensions"
        )
    channels = value.shape[1 if settings.channels_first else 3]
    if isinstance(channels, int) and channels != 3:
        raise LoadFailed(f"the graph's input {value.name} has {channels} channels; pictures here have three")
