"""Models of transformers as the schedulers run them: texts by `TorchTexts`, pictures by `TorchPictures`.

On a CPU one run has all cores; on a GPU a second thread prepares what comes next. A run goes on to its end also when
nobody waits for it any more: PyTorch has no way to stop one.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch

from berth_api.artifact import Task
from berth_runtime.engines.jobs import Interrupt, RunFailed, stop_if_told
from berth_runtime.engines.pictures import PictureSettings, Tensor
from berth_runtime.engines.protocol import EngineSettings, LoadFailed
from berth_runtime.engines.text_padding import pad
from berth_runtime.engines.text_plan import GPU_LIMITS, GPU_THREADS
from berth_runtime.engines.text_shape import Floats, Head, OutputShape, Results
from berth_runtime.engines.text_tasks import TextTask
from berth_runtime.engines.text_tokens import TokenIds, Tokens
from berth_runtime.engines.torch_loading import load_model
from berth_runtime.engines.torch_plan import CPU_LIMITS, GPU_PICTURES, Device, plain_words
from berth_runtime.engines.vision_readers import BOXES
from berth_runtime.engines.vision_scheduler import BatchLimits
from berth_runtime.engines.vision_scores import Outputs

LIBRARY: Final = "PyTorch"
HIDDEN: Final = "last_hidden_state"
LOGITS: Final = "logits"
# One prepares pictures while the other computes.
PICTURE_THREADS: Final = 2
_INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")
# What a model raises for a batch that does not fit it; that memory is short is a RuntimeError too.
_RUN_ERRORS: Final = (RuntimeError, ValueError, IndexError, TypeError, KeyError, AttributeError)


def open_texts(settings: EngineSettings, task: TextTask) -> "TorchTexts":
    """The weights in memory: a `TextModel`."""
    model = TorchModel(load_model(settings))
    output = HIDDEN if settings.task is Task.EMBEDDING else LOGITS
    return TorchTexts(model, output, _measured_shape(model, output, task))


def open_pictures(settings: EngineSettings, picture: PictureSettings) -> "TorchPictures":  # noqa: ARG001 - the form
    """The weights in memory: a `VisionModel`."""
    outputs = (LOGITS, BOXES) if settings.task is Task.OBJECT_DETECTION else (LOGITS,)
    return TorchPictures(TorchModel(load_model(settings)), outputs)


class TorchModel:
    """A module with what it says of itself."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module
        weights = next(module.parameters())
        self._device, self._dtype = weights.device, weights.dtype
        self._vocabulary_size = self._stated("vocab_size")
        self.on_gpu = self._device.type == Device.CUDA
        taken = inspect.signature(module.forward).parameters
        # Where there is one type alone, a tokenizer may tell two texts apart all the same.
        untyped = (self._stated("type_vocab_size") or 2) < 2
        self.inputs = tuple(name for name in _INPUTS if name in taken and not (untyped and name == "token_type_ids"))

    def run(self, feed: Mapping[str, TokenIds | Tensor], outputs: Sequence[str]) -> Mapping[str, Floats]:
        """These outputs, as float32 in the host's memory; raises `RunFailed`."""
        ids = feed.get("input_ids")
        if ids is not None and self._vocabulary_size is not None and ids.max() >= self._vocabulary_size:
            # A GPU would find out too late, and could not be used again.
            raise RunFailed(LIBRARY, f"token id {ids.max()} lies beyond its {self._vocabulary_size:,} embeddings")
        try:
            with torch.inference_mode():
                found = self._module(**{name: self._moved(values) for name, values in feed.items()})
                return {name: found[name].float().cpu().numpy() for name in outputs}
        except _RUN_ERRORS as error:
            raise RunFailed(LIBRARY, plain_words(error)) from error

    def _moved(self, values: TokenIds | Tensor) -> torch.Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        return tensor.to(self._device, self._dtype) if tensor.is_floating_point() else tensor.to(self._device)

    def _stated(self, name: str) -> int | None:
        value = getattr(getattr(self._module, "config", None), name, None)
        return value if isinstance(value, int) else None


class TorchTexts:
    """A model that takes batches of token ids."""

    def __init__(self, model: TorchModel, output: str, shape: OutputShape) -> None:
        self._model = model
        self._output = output
        self._head: Head | None = None
        self._padding_id = 0
        self.shape = shape
        self.limits = GPU_LIMITS if model.on_gpu else CPU_LIMITS
        self.threads = GPU_THREADS if model.on_gpu else 1

    def ready(self, head: Head, padding_id: int) -> "TorchTexts":
        """The same with what becomes of its output."""
        self._head, self._padding_id = head, padding_id
        return self

    def interrupt(self) -> Interrupt:
        """What stops a run that has not begun."""
        return Interrupt()

    def run(self, batch: Sequence[Tokens], interrupt: Interrupt) -> Results:
        """A result for each sequence, whatever its companions are; raises `RunFailed`."""
        stop_if_told(interrupt, LIBRARY)
        assert self._head is not None
        values = pad(batch, self._padding_id)
        found = self._model.run({name: values[name] for name in self._model.inputs}, [self._output])
        return self._head(found[self._output], values["attention_mask"])


class TorchPictures:
    """A model that takes batches of pictures."""

    def __init__(self, model: TorchModel, outputs: tuple[str, ...]) -> None:
        self._model = model
        self.outputs = outputs
        self.limits = GPU_PICTURES if model.on_gpu else BatchLimits()
        self.threads = PICTURE_THREADS

    def interrupt(self) -> Interrupt:
        """What stops a run that has not begun."""
        return Interrupt()

    def run(self, tensors: Sequence[Tensor], interrupt: Interrupt) -> Outputs:
        """The outputs for tensors of one shape; raises `RunFailed`."""
        stop_if_told(interrupt, LIBRARY)
        return self._model.run({"pixel_values": np.stack(tensors)}, self.outputs)


def _measured_shape(model: TorchModel, output: str, task: TextTask) -> OutputShape:
    """What the model says of one sequence; raises `LoadFailed` if that is not what the task needs."""
    sample = {name: np.full((1, 1), name == "attention_mask", dtype=np.int64) for name in model.inputs}
    try:
        found = model.run(sample, [output])[output]
    except RunFailed as error:
        raise LoadFailed(f"the model fails on a single sequence: {error.why}; fetch it again") from error
    if found.ndim != task.output.dimensions:
        raise LoadFailed(f"the model's output {output} has {found.ndim} dimensions, but {task.output.reason}")
    return OutputShape(output=output, width=found.shape[-1], masks="attention_mask" in model.inputs)
