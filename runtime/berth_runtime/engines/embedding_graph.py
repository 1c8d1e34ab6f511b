"""An ONNX graph that turns batches of token ids into vectors: what it declares, and how it is run.

Called by `berth_runtime.engines.onnxruntime` to load and by `embedding_scheduler` to run. One session is shared by all
threads; each run stays on the thread that asks for it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as native

from berth_runtime.engines.embedding_pooling import normalize, pool
from berth_runtime.engines.embedding_tokens import TokenIds
from berth_runtime.engines.protocol import LoadFailed
from berth_store.detect import Pooling

Vectors = NDArray[np.float32]

# Each kind of error of the library has a class of its own with no parent but Exception.
RUN_ERRORS: tuple[type[Exception], ...] = (
    native.Fail,
    native.InvalidArgument,
    native.RuntimeException,
    native.NotImplemented,
)
LOAD_ERRORS: tuple[type[Exception], ...] = (
    *RUN_ERRORS,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.NoSuchFile,
)

# What stands in the library's messages and is nobody's business: its error code, and the way to a file.
FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s\"'/]+/)*(?=[^\s\"'/])")
CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")

INPUT_TYPES: Mapping[str, type[np.integer]] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
OUTPUT_TYPES = frozenset({"tensor(float)", "tensor(float16)", "tensor(double)"})
KNOWN_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids", "position_ids"})


@dataclass(frozen=True, kw_only=True)
class GraphInput:
    """One declared input."""

    name: str
    dtype: type[np.integer]


@dataclass(frozen=True, kw_only=True)
class GraphShape:
    """What the graph declares, checked. A `fixed_length` or `fixed_rows` is a size it was exported for.

    Without an attention mask padding would change a vector, so then only sequences of one length share a batch.
    """

    inputs: tuple[GraphInput, ...]
    output: str
    width: int | None
    fixed_length: int | None
    fixed_rows: int | None

    @property
    def masks(self) -> bool:
        """True if padding can be told from tokens."""
        return any(value.name == "attention_mask" for value in self.inputs)


@dataclass(frozen=True, kw_only=True)
class VectorSettings:
    """How the output becomes the vector of a text; `skip_tokens` at the front take no part in the pooling."""

    pooling: Pooling
    normalize: bool
    skip_tokens: int = 0


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Load the weights; raises `LoadFailed` with the library's reason.

    One thread a run: several requests at once use the cores better than one request spread over them. Shapes differ
    from run to run, so a memory pattern for each would only grow.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except LOAD_ERRORS as error:
        raise LoadFailed(
            f"ONNX Runtime can't load {path.name}: {plain_words(error)}; export it again, or fetch it again"
        ) from error


def plain_words(error: Exception) -> str:
    """The library's words without its code, and without folders of this machine."""
    words = FOLDERS.sub("", CODE.sub("", str(error)))
    return " ".join(words.split()).rstrip(".")


def read_shape(session: onnxruntime.InferenceSession, *, output: str | None, pooling: Pooling) -> GraphShape:
    """Check what the graph declares against what we can feed and read; raises `LoadFailed` naming what does not fit."""
    inputs = {value.name: value for value in session.get_inputs()}
    unknown = sorted(inputs.keys() - KNOWN_INPUTS)
    if unknown or "input_ids" not in inputs:
        raise LoadFailed(
            f"the graph wants {', '.join(unknown) or 'no input_ids'}; an embedding model takes "
            f"{', '.join(sorted(KNOWN_INPUTS))}: export it so"
        )
    for value in inputs.values():
        if value.type not in INPUT_TYPES or len(value.shape) != 2:
            raise LoadFailed(
                f"the graph's input {value.name} is {value.type} {value.shape}; export it as int64 with "
                f"the two dimensions batch and sequence"
            )
    chosen = _choose_output(session, output, pooling)
    rows, length = (size if isinstance(size, int) else None for size in inputs["input_ids"].shape)
    width = chosen.shape[-1]
    return GraphShape(
        inputs=tuple(GraphInput(name=value.name, dtype=INPUT_TYPES[value.type]) for value in inputs.values()),
        output=chosen.name,
        width=width if isinstance(width, int) else None,
        fixed_length=length,
        fixed_rows=rows,
    )


def _choose_output(session: onnxruntime.InferenceSession, name: str | None, pooling: Pooling) -> onnxruntime.NodeArg:
    outputs = {value.name: value for value in session.get_outputs()}
    chosen = outputs.get(name) if name else next(iter(outputs.values()))
    if chosen is None:
        raise LoadFailed(f"the graph has no output {name!r}, it has {', '.join(outputs)}; export the model again")
    dimensions, what = (2, "the text") if pooling is Pooling.IN_GRAPH else (3, "each token")
    if chosen.type not in OUTPUT_TYPES or len(chosen.shape) != dimensions:
        raise LoadFailed(
            f"the graph's output {chosen.name} is {chosen.type} {chosen.shape}, but pooling {pooling.value!r} needs "
            f"one vector for {what}; name another with the engine argument output=NAME"
        )
    return chosen


class EmbeddingGraph:
    """The session, ready to embed batches."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        shape: GraphShape,
        settings: VectorSettings,
        *,
        padding_id: int,
    ) -> None:
        self._session = session
        self._settings = settings
        self._padding_id = padding_id
        self.shape = shape

    def embed(self, batch: Sequence[TokenIds], options: onnxruntime.RunOptions) -> Vectors:
        """One row for each sequence, (batch, width) float32, whatever its companions are.

        Raises one of `RUN_ERRORS` if the graph fails or `options.terminate` is set meanwhile.
        """
        ids, mask = self._pad(batch)
        found = self._session.run([self.shape.output], self._feed(ids, mask), options)[0]
        found = np.asarray(found[: len(batch)], dtype=np.float32)
        settings = self._settings
        if settings.pooling is not Pooling.IN_GRAPH:
            pooled_mask = mask[: len(batch)]
            pooled_mask[:, : settings.skip_tokens] = 0
            found = pool(found, pooled_mask, settings.pooling)
        return normalize(found) if settings.normalize else found

    def _pad(self, batch: Sequence[TokenIds]) -> tuple[TokenIds, NDArray[np.int64]]:
        rows = self.shape.fixed_rows or len(batch)
        length = self.shape.fixed_length or max(map(len, batch))
        ids = np.full((rows, length), self._padding_id, dtype=np.int64)
        mask = np.zeros((rows, length), dtype=np.int64)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return ids, mask

    def _feed(self, ids: TokenIds, mask: NDArray[np.int64]) -> dict[str, NDArray[np.integer]]:
        return {
            value.name: np.ascontiguousarray(_value_of(value.name, ids, mask), dtype=value.dtype)
            for value in self.shape.inputs
        }


def _value_of(name: str, ids: TokenIds, mask: NDArray[np.int64]) -> NDArray[np.int64]:
    if name == "attention_mask":
        return mask
    if name == "token_type_ids":
        return np.zeros_like(ids)
    if name == "position_ids":
        return np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    return ids
