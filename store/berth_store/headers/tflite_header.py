"""`TfliteHeader`: what a TFLite file says of itself, as a value. `berth_store.headers.tflite` makes it."""

from collections.abc import Mapping
from dataclasses import dataclass

# Ids of schema.fbs.
ELEMENT_TYPES = {
    0: ("FLOAT32", 32),
    1: ("FLOAT16", 16),
    2: ("INT32", 32),
    3: ("UINT8", 8),
    4: ("INT64", 64),
    5: ("STRING", None),
    6: ("BOOL", 8),
    7: ("INT16", 16),
    8: ("COMPLEX64", 64),
    9: ("INT8", 8),
    10: ("FLOAT64", 64),
    11: ("COMPLEX128", 128),
    12: ("UINT64", 64),
    13: ("RESOURCE", None),
    14: ("VARIANT", None),
    15: ("UINT32", 32),
    16: ("UINT16", 16),
    17: ("INT4", 4),
    18: ("BFLOAT16", 16),
    19: ("INT2", 2),
    20: ("UINT4", 4),
    21: ("FLOAT8_E4M3FN", 8),
    22: ("FLOAT8_E5M2", 8),
}


@dataclass(frozen=True)
class TfliteTensor:
    """An input or output of the graph.

    `index` is its address in the interpreter. In `signature` a size that may differ between calls is -1; `shape` has 1
    there. `scale` and `zero_point` say what the numbers of a quantised tensor stand for: `scale * (q - zero_point)`;
    a scale of 0 means that it is not quantised as a whole. `made_by` is the operator whose result it is, seen through
    those that only change the form; empty where nothing computes it.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    element_type: str
    scale: float = 0.0
    zero_point: int = 0
    made_by: str = ""


@dataclass(frozen=True)
class TfliteSignature:
    """A way to call the `subgraph` with this number by names: (name, tensor's index) of inputs and outputs."""

    key: str
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]
    subgraph: int = 0


@dataclass(frozen=True)
class TensorMetadata:
    """What the author says of one input or output.

    `content` is `image`, `boxes`, `audio`, `feature` or empty. `mean` and `std` are those of the normalisation of
    pictures, in pixels from 0 to 255. `labels` are the lines of the label file that belongs to it.
    """

    name: str = ""
    content: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    label_file: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelMetadata:
    """What the author says of the model; `inputs` and `outputs` are in the order of the graph's."""

    name: str
    description: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


@dataclass(frozen=True)
class TfliteHeader:
    """All that the file says. `inputs` and `outputs` are those of the first subgraph, which is the one that is run.

    `custom_ops` are the operators that do not belong to TFLite itself; `results_of` has, for each that the first
    subgraph uses, the tensors that it writes. `weight_types` counts constants by element type, the most first.
    `files` are the names in the zip archive at the file's end.
    """

    version: int
    description: str
    subgraphs: int
    inputs: tuple[TfliteTensor, ...]
    outputs: tuple[TfliteTensor, ...]
    custom_ops: tuple[str, ...]
    results_of: Mapping[str, tuple[TfliteTensor, ...]]
    signatures: tuple[TfliteSignature, ...]
    metadata: ModelMetadata | None
    files: tuple[str, ...]
    weight_types: tuple[tuple[str, int], ...]
    file_bytes: int

    @property
    def parameters(self) -> int:
        """Number of weights, each shared one counted once."""
        return sum(count for _, count in self.weight_types)

    @property
    def quantization(self) -> str | None:
        """The element type of most weights."""
        return self.weight_types[0][0] if self.weight_types else None
