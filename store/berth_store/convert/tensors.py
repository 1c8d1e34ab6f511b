"""The tensors of a model's safetensors files, found by their names whatever stands before them, as weights of a graph.

`EmbeddedWeights` puts them into the graph as float32; `StoredWeights` lets the graph name the stretches of the files in
which they lie, so that nothing is copied; `QuantizedWeights` does so but for the matrices, of which it makes int8.
Called by `berth_store.convert.encoder` and `served`; the headers are checked by `berth_store.headers.safetensors`.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from berth_api.errors import UnsupportedModel
from berth_store.convert.onnx_graph import GraphWriter
from berth_store.convert.onnx_messages import ElementType, StoredTensor
from berth_store.headers.safetensors import SafetensorsTensor, read_safetensors

# LayerNorm's parameters in checkpoints that were first made with TensorFlow.
OLD_WORDS = ((".gamma", ".weight"), (".beta", ".bias"))

# Protobuf ends at 2 GiB; the rest is for the graph itself.
MAX_EMBEDDED_BYTES = (1 << 31) - (16 << 20)

# Seven bits: where a processor adds two products of eight bits in sixteen, none of them overflows.
MOST = 63

ELEMENT_TYPES: Mapping[str, ElementType] = {
    "F32": ElementType.FLOAT,
    "F16": ElementType.FLOAT16,
    "BF16": ElementType.BFLOAT16,
    "F64": ElementType.DOUBLE,
}

Shape = Sequence[int | None]


class Weight(NamedTuple):
    """A weight in a graph: the value that it is, and the tensor's shape as it is stored."""

    value: str
    shape: tuple[int, ...]


class Place(NamedTuple):
    """Where a tensor lies."""

    path: Path
    data_offset: int
    tensor: SafetensorsTensor


class EncoderTensors:
    """Tensors by name; `prefix` is what the class around the encoder may have put before each name."""

    def __init__(self, files: Sequence[Path], *, prefix: str) -> None:
        self._places: dict[str, Place] = {}
        for path in files:
            header = read_safetensors(path)
            for tensor in header.tensors:
                self._places[_plain_name(tensor.name, prefix)] = Place(path, header.data_offset, tensor)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def find(self, name: str, shape: Shape) -> Place:
        """Where the tensor lies; None in `shape` is any size. Raises `UnsupportedModel`."""
        if name not in self._places:
            raise UnsupportedModel(
                f"the weights lack the tensor {name}, which config.json asks for; they are of another model, or not "
                f"all files are there: fetch them again"
            )
        place = self._places[name]
        path, _, tensor = place
        if not _fits(tensor.shape, shape):
            raise UnsupportedModel(
                f"{path.name}: the tensor {tensor.name} has the shape {list(tensor.shape)}, but config.json asks for "
                f"{['any' if size is None else size for size in shape]}; the two are not of one model: fetch both again"
            )
        if tensor.dtype not in ELEMENT_TYPES:
            raise UnsupportedModel(
                f"{path.name}: the tensor {tensor.name} is {tensor.dtype}, which can't be converted; "
                f"bring the weights as F32, F16 or BF16"
            )
        return place

    def read(self, name: str, shape: Shape) -> NDArray[np.float32]:
        """The tensor's numbers. Raises `UnsupportedModel`."""
        path, data_offset, tensor = self.find(name, shape)
        with path.open("rb") as file:
            file.seek(data_offset + tensor.start)
            content = file.read(tensor.end - tensor.start)
        return _as_float32(content, tensor.dtype).reshape(tensor.shape)


class EmbeddedWeights:
    """Weights inside the graph, for a file that stands alone."""

    def __init__(self, tensors: EncoderTensors) -> None:
        self._tensors = tensors
        self._embedded_bytes = 0

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def add(self, graph: GraphWriter, name: str, shape: Shape, *, transposed: bool = False) -> Weight:
        """Embed the tensor as float32."""
        path, _, tensor = self._tensors.find(name, shape)
        self._embedded_bytes += 4 * tensor.elements
        if self._embedded_bytes > MAX_EMBEDDED_BYTES:
            raise UnsupportedModel(
                f"{path.name}: as float32 the weights are more than 2 GiB, which one ONNX file can't hold; "
                f"serve the safetensors themselves, or bring the model as ONNX with external data"
            )
        array = self._tensors.read(name, shape)
        return Weight(graph.constant(name, array.T if transposed else array), tensor.shape)

    def multiply(self, graph: GraphWriter, value: str, name: str, sizes: Shape) -> Weight:
        """Multiply in float32."""
        return _multiply(graph, value, self.add(graph, name, sizes, transposed=True))


class StoredWeights:
    """Weights that stay in the model's files, which all lie in or below `folder`.

    The engine follows no link out of the folder, and a model's files may be links into a store: so `folder` is where
    the files really are.
    """

    def __init__(self, tensors: EncoderTensors, files: Sequence[Path]) -> None:
        self._tensors = tensors
        self._real = {path: Path(os.path.realpath(path)) for path in files}
        self.folder = Path(os.path.commonpath([path.parent for path in self._real.values()]))

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def add(self, graph: GraphWriter, name: str, shape: Shape, *, transposed: bool = False) -> Weight:
        """Name the tensor; it is made float32, and transposed, when the engine loads the graph."""
        path, data_offset, tensor = self._tensors.find(name, shape)
        stored = StoredTensor(
            element_type=ELEMENT_TYPES[tensor.dtype],
            shape=tensor.shape,
            location=str(self._real[path].relative_to(self.folder)),
            offset=data_offset + tensor.start,
            length=tensor.end - tensor.start,
        )
        value = graph.stored(name, stored)
        # The engine does both once, when it loads; in this order the copy in between is the smaller one.
        if transposed:
            value = graph.op("Transpose", value, perm=(1, 0))
        if stored.element_type is not ElementType.FLOAT:
            value = graph.op("Cast", value, to=ElementType.FLOAT)
        return Weight(value, tensor.shape)

    def multiply(self, graph: GraphWriter, value: str, name: str, sizes: Shape) -> Weight:
        """Multiply in float32."""
        return _multiply(graph, value, self.add(graph, name, sizes, transposed=True))


class QuantizedWeights(StoredWeights):
    """The same, but for matrices: those are in the graph as int8, with a scale for each row, and what is multiplied by
    them is made int8 as it comes. A quarter of their bytes, and integers to compute with.
    """

    def __init__(self, tensors: EncoderTensors, files: Sequence[Path]) -> None:
        super().__init__(tensors, files)
        self._embedded_bytes = 0

    def multiply(self, graph: GraphWriter, value: str, name: str, sizes: Shape) -> Weight:
        """Multiply in int8."""
        array = self._tensors.read(name, sizes)
        self._embedded_bytes += array.size
        if self._embedded_bytes > MAX_EMBEDDED_BYTES:
            raise UnsupportedModel(
                "as int8 the matrices are more than 2 GiB, and no graph holds more; serve it as it is"
            )
        codes, scales = quantize_rows(array)
        matrix = graph.constant(f"{name}/int8", codes.T)
        # Into the range of each batch's own numbers and back: there are no samples to calibrate by.
        product = graph.contributed("DynamicQuantizeMatMul", value, matrix, graph.constant(f"{name}/scales", scales))
        return Weight(product, array.shape)


def quantize_rows(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The matrix as whole numbers from -MOST to MOST, and what each row's must be multiplied by."""
    scales = np.abs(matrix).max(axis=1, initial=0.0) / MOST
    scales = np.where(scales > 0, scales, 1.0).astype(np.float32)
    codes: NDArray[np.int8] = np.rint(matrix / scales[:, None]).astype(np.int8)
    return codes, scales


def _multiply(graph: GraphWriter, value: str, weight: Weight) -> Weight:
    # Stored as (out, in), as torch does; MatMul wants (in, out), and transposed beforehand it costs nothing later.
    return Weight(graph.op("MatMul", value, weight.value), weight.shape)


def _plain_name(name: str, prefix: str) -> str:
    name = name.removeprefix(prefix)
    for old, new in OLD_WORDS:
        if name.endswith(f"LayerNorm{old}"):
            return name.removesuffix(old) + new
    return name


def _fits(found: tuple[int, ...], wanted: Shape) -> bool:
    return len(found) == len(wanted) and all(
        want is None or have == want for have, want in zip(found, wanted, strict=True)
    )


def _as_float32(content: bytes, dtype: str) -> NDArray[np.float32]:
    match dtype:
        case "F16":
            return np.frombuffer(content, "<f2").astype(np.float32)
        case "F64":
            return np.frombuffer(content, "<f8").astype(np.float32)
        case "BF16":
            # The upper half of a float32.
            return (np.frombuffer(content, "<u2").astype("<u4") << 16).view(np.float32)
        case _:
            return np.frombuffer(content, "<f4")
