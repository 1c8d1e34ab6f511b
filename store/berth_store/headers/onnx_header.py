"""`OnnxHeader`: what an ONNX file says of itself, as a value. `berth_store.headers.onnx` makes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OnnxValue:
    """One input or output of the graph.

    `element_type` is None for what is no tensor (a sequence, a map). `dims` is None where the shape is not stated; in
    it a number is a fixed size, a name a size that may differ between calls, None a size of which nothing is said.
    """

    name: str
    element_type: str | None
    dims: tuple[int | str | None, ...] | None

    @property
    def rank(self) -> int | None:
        """Number of dimensions."""
        return None if self.dims is None else len(self.dims)


@dataclass(frozen=True)
class ExternalFile:
    """A file beside the graph that holds weights, and the most bytes of it that any tensor needs."""

    location: str
    path: Path
    needed_bytes: int
    file_bytes: int


@dataclass(frozen=True)
class PackedWeights:
    """The matrices of all `MatMulNBits` of one width: how many numbers of `bits` they are, in how many blocks.

    Each block has a scale of its own.
    """

    bits: int
    numbers: int
    blocks: int


@dataclass(frozen=True)
class OnnxHeader:
    """All that the graph says.

    `inputs` leave out those that have an initializer. `opsets` are (domain, version). `custom_domains` are the
    operators' domains beyond the standard's, `operators` their names, of whatever domain. `tensor_bytes` are those of
    all tensors, inside and beside the file, be they initializers or constants of nodes; `weight_types` counts weights
    by element type, the most first; those that an operator unpacks by itself are counted as they are stored, and
    `packed` tells of them.
    """

    ir_version: int
    producer: str
    opsets: tuple[tuple[str, int], ...]
    inputs: tuple[OnnxValue, ...]
    outputs: tuple[OnnxValue, ...]
    external: tuple[ExternalFile, ...]
    tensor_bytes: int
    weight_types: tuple[tuple[str, int], ...]
    custom_domains: tuple[str, ...]
    operators: tuple[str, ...]
    packed: tuple[PackedWeights, ...]
    metadata: Mapping[str, str]
    node_count: int
    file_bytes: int

    @property
    def parameters(self) -> int:
        """Number of weights, as they are stored; indices and shapes are not counted."""
        return sum(count for _, count in self.weight_types)

    @property
    def quantization(self) -> str | None:
        """The element type of most weights."""
        return self.weight_types[0][0] if self.weight_types else None

    def output(self, name: str) -> OnnxValue | None:
        """The output called `name`."""
        return next((value for value in self.outputs if value.name == name), None)
