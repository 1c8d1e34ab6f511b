"""An ONNX graph that takes batches of token ids: what it declares, and how it is run.

`OnnxTexts` is opened by `berth_runtime.engines.onnxruntime`, `TextGraph` run by `text_scheduler`. One session is shared
by all threads; each run stays on the thread that asks for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime

from berth_runtime.engines.jobs import Interrupt
from berth_runtime.engines.onnx_providers import CPU
from berth_runtime.engines.onnx_session import OUTPUT_TYPES, RUN_ERRORS, open_session, plain_words, running
from berth_runtime.engines.protocol import EngineSettings, LoadFailed
from berth_runtime.engines.text_padding import pad
from berth_runtime.engines.text_plan import GPU_THREADS, batch_limits, provider
from berth_runtime.engines.text_shape import Head, OutputShape, Results, WantedOutput
from berth_runtime.engines.text_tasks import TextTask
from berth_runtime.engines.text_tokens import Tokens

INPUT_TYPES: Mapping[str, type[np.integer]] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
KNOWN_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids", "position_ids"})


@dataclass(frozen=True, kw_only=True)
class GraphInput:
    """One declared input."""

    name: str
    dtype: type[np.integer]


@dataclass(frozen=True, kw_only=True)
class GraphShape(OutputShape):
    """What the graph declares, checked."""

    inputs: tuple[GraphInput, ...]


def read_shape(session: onnxruntime.InferenceSession, wanted: WantedOutput) -> GraphShape:
    """Check what the graph declares against what we can feed and read; raises `LoadFailed` naming what does not fit."""
    inputs = {value.name: value for value in session.get_inputs()}
    unknown = sorted(inputs.keys() - KNOWN_INPUTS)
    if unknown or "input_ids" not in inputs:
        raise LoadFailed(
            f"the graph wants {', '.join(unknown) or 'no input_ids'}; a model for texts takes "
            f"{', '.join(sorted(KNOWN_INPUTS))}: export it so"
        )
    for value in inputs.values():
        if value.type not in INPUT_TYPES or len(value.shape) != 2:
            raise LoadFailed(
                f"the graph's input {value.name} is {value.type} {value.shape}; export it as int64 with "
                f"the two dimensions batch and sequence"
            )
    chosen = _choose_output(session, wanted)
    rows, length = (size if isinstance(size, int) else None for size in inputs["input_ids"].shape)
    known = tuple(GraphInput(name=value.name, dtype=INPUT_TYPES[value.type]) for value in inputs.values())
    width = chosen.shape[-1]
    if not isinstance(width, int):
        width = _measured_width(session, chosen.name, known, (rows or 1, length or 1))
    return GraphShape(
        inputs=known,
        output=chosen.name,
        width=width,
        masks="attention_mask" in inputs,
        fixed_length=length,
        fixed_rows=rows,
    )


def _measured_width(
    session: onnxruntime.InferenceSession, output: str, inputs: Sequence[GraphInput], sizes: tuple[int, int]
) -> int:
    """The size of the output's last dimension; exporters often give it a name instead."""
    try:
        found = session.run([output], {value.name: np.zeros(sizes, dtype=value.dtype) for value in inputs})[0]
    except RUN_ERRORS as error:
        raise LoadFailed(f"the graph fails on a single sequence: {plain_words(error)}; export it again") from error
    return int(found.shape[-1])


def _choose_output(session: onnxruntime.InferenceSession, wanted: WantedOutput) -> onnxruntime.NodeArg:
    outputs = {value.name: value for value in session.get_outputs()}
    chosen = outputs.get(wanted.name) if wanted.name else next(iter(outputs.values()))
    if chosen is None:
        raise LoadFailed(
            f"the graph has no output {wanted.name!r}, it has {', '.join(outputs)}; export the model again"
        )
    if chosen.type not in OUTPUT_TYPES or len(chosen.shape) != wanted.dimensions:
        raise LoadFailed(
            f"the graph's output {chosen.name} is {chosen.type} {chosen.shape}, but {wanted.reason}; name another with "
            f"the engine argument output=NAME"
        )
    return chosen


class OnnxTexts:
    """The weights in memory: a `TextModel`."""

    def __init__(self, settings: EngineSettings, task: TextTask) -> None:
        self._session = open_session(task.graph(), provider=provider(settings.args))
        self._gpu = self._session.get_providers()[0] != CPU
        self.shape = read_shape(self._session, task.output)
        self.limits = batch_limits(self.shape, gpu=self._gpu)
        self.threads = min(GPU_THREADS, settings.threads) if self._gpu else settings.threads

    def ready(self, head: Head, padding_id: int) -> "TextGraph":
        """The session with what becomes of its output."""
        return TextGraph(self._session, self.shape, head, padding_id=padding_id)


class TextGraph:
    """The session, ready to run batches."""

    def __init__(
        self, session: onnxruntime.InferenceSession, shape: GraphShape, head: Head, *, padding_id: int
    ) -> None:
        self._session = session
        self._head = head
        self._padding_id = padding_id
        self.shape = shape

    def interrupt(self) -> Interrupt:
        """What stops one run."""
        options: Interrupt = onnxruntime.RunOptions()
        return options

    def run(self, batch: Sequence[Tokens], interrupt: Interrupt) -> Results:
        """A result for each sequence, whatever its companions are; raises `RunFailed`."""
        values = pad(batch, self._padding_id, rows=self.shape.fixed_rows or len(batch), length=self.shape.fixed_length)
        feed = {value.name: np.ascontiguousarray(values[value.name], dtype=value.dtype) for value in self.shape.inputs}
        with running():
            found = self._session.run([self.shape.output], feed, interrupt)[0]
        found = np.asarray(found[: len(batch)], dtype=np.float32)
        return self._head(found, values["attention_mask"][: len(batch)])
