"""An ONNX graph that takes batches of token ids: what it declares, and how it is run.

Called by `berth_runtime.engines.text_engine` to load and by `text_scheduler` to run. One session is shared by all
threads; each run stays on the thread that asks for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from berth_runtime.engines.onnx_session import OUTPUT_TYPES, RUN_ERRORS, plain_words
from berth_runtime.engines.protocol import LoadFailed
from berth_runtime.engines.text_tokens import TokenIds, Tokens

Floats = NDArray[np.float32]
Mask = NDArray[np.int64]

INPUT_TYPES: Mapping[str, type[np.integer]] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
KNOWN_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids", "position_ids"})

Results = Floats | Sequence[Floats]
"""One for each sequence: the rows of a matrix, or what may differ in length."""

Head = Callable[[Floats, Mask], Results]
"""From the graph's output for a batch, and the mask (1 is a token, 0 padding), to a result for each sequence."""


@dataclass(frozen=True, kw_only=True)
class WantedOutput:
    """The output to read: its name (None is the first), its number of dimensions, and why it has to have that."""

    name: str | None
    dimensions: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class GraphInput:
    """One declared input."""

    name: str
    dtype: type[np.integer]


@dataclass(frozen=True, kw_only=True)
class GraphShape:
    """What the graph declares, checked. A `fixed_length` or `fixed_rows` is a size it was exported for.

    Without an attention mask padding would change a result, so then only sequences of one length share a batch.
    """

    inputs: tuple[GraphInput, ...]
    output: str
    width: int
    fixed_length: int | None
    fixed_rows: int | None

    @property
    def masks(self) -> bool:
        """True if padding can be told from tokens."""
        return any(value.name == "attention_mask" for value in self.inputs)


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
    return GraphShape(inputs=known, output=chosen.name, width=width, fixed_length=length, fixed_rows=rows)


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


class TextGraph:
    """The session, ready to run batches."""

    def __init__(
        self, session: onnxruntime.InferenceSession, shape: GraphShape, head: Head, *, padding_id: int
    ) -> None:
        self._session = session
        self._head = head
        self._padding_id = padding_id
        self.shape = shape

    def run(self, batch: Sequence[Tokens], options: onnxruntime.RunOptions) -> Results:
        """A result for each sequence, whatever its companions are.

        Raises one of `RUN_ERRORS` if the graph fails or `options.terminate` is set meanwhile.
        """
        values = self._pad(batch)
        feed = {value.name: np.ascontiguousarray(values[value.name], dtype=value.dtype) for value in self.shape.inputs}
        found = self._session.run([self.shape.output], feed, options)[0]
        found = np.asarray(found[: len(batch)], dtype=np.float32)
        return self._head(found, values["attention_mask"][: len(batch)])

    def _pad(self, batch: Sequence[Tokens]) -> dict[str, TokenIds]:
        """The values of all inputs that there may be."""
        rows = self.shape.fixed_rows or len(batch)
        length = self.shape.fixed_length or max(map(len, batch))
        ids = np.full((rows, length), self._padding_id, dtype=np.int64)
        mask = np.zeros((rows, length), dtype=np.int64)
        types = np.zeros((rows, length), dtype=np.int64)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens.ids
            mask[row, : len(tokens)] = 1
            if tokens.types is not None:
                types[row, : len(tokens)] = tokens.types
        places = np.broadcast_to(np.arange(length), ids.shape)
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types, "position_ids": places}
