"""The tensors of a model's safetensors files as float32 arrays, found by their names whatever stands before them.

Called by `berth_store.convert.encoder`; the headers are checked by `berth_store.headers.safetensors`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from berth_api.errors import UnsupportedModel
from berth_store.headers.safetensors import SafetensorsTensor, read_safetensors

# LayerNorm's parameters in checkpoints that were first made with TensorFlow.
OLD_WORDS = ((".gamma", ".weight"), (".beta", ".bias"))

# Protobuf ends at 2 GiB; the rest is for the graph itself.
MAX_EMBEDDED_BYTES = (1 << 31) - (16 << 20)


class EncoderTensors:
    """Tensors by name; `prefix` is what the class around the encoder may have put before each name."""

    def __init__(self, files: Sequence[Path], *, prefix: str) -> None:
        self._places: dict[str, tuple[Path, int, SafetensorsTensor]] = {}
        self._read_bytes = 0
        for path in files:
            header = read_safetensors(path)
            for tensor in header.tensors:
                self._places[_plain_name(tensor.name, prefix)] = (path, header.data_offset, tensor)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def read(self, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
        """The tensor as float32; None in `shape` is any size. Raises `UnsupportedModel`."""
        if name not in self._places:
            raise UnsupportedModel(
                f"the weights lack the tensor {name}, which config.json asks for; they are of another model, or not "
                f"all files are there: fetch them again"
            )
        path, data_offset, tensor = self._places[name]
        if not _fits(tensor.shape, shape):
            raise UnsupportedModel(
                f"{path.name}: the tensor {tensor.name} has the shape {list(tensor.shape)}, but config.json asks for "
                f"{['any' if size is None else size for size in shape]}; the two are not of one model: fetch both again"
            )
        self._read_bytes += 4 * tensor.elements
        if self._read_bytes > MAX_EMBEDDED_BYTES:
            raise UnsupportedModel(
                f"{path.name}: as float32 the weights are more than 2 GiB, which one ONNX file can't hold; "
                f"take a smaller model, or bring this one as ONNX with external data"
            )
        with path.open("rb") as file:
            file.seek(data_offset + tensor.start)
            content = file.read(tensor.end - tensor.start)
        return _as_float32(content, tensor, path).reshape(tensor.shape)


def _plain_name(name: str, prefix: str) -> str:
    name = name.removeprefix(prefix)
    for old, new in OLD_WORDS:
        if name.endswith(f"LayerNorm{old}"):
            return name.removesuffix(old) + new
    return name


def _fits(found: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(found) == len(wanted) and all(
        want is None or have == want for have, want in zip(found, wanted, strict=True)
    )


def _as_float32(content: bytes, tensor: SafetensorsTensor, path: Path) -> NDArray[np.float32]:
    match tensor.dtype:
        case "F32":
            return np.frombuffer(content, "<f4")
        case "F16":
            return np.frombuffer(content, "<f2").astype(np.float32)
        case "F64":
            return np.frombuffer(content, "<f8").astype(np.float32)
        case "BF16":
            # The upper half of a float32.
            return (np.frombuffer(content, "<u2").astype("<u4") << 16).view(np.float32)
    raise UnsupportedModel(
        f"{path.name}: the tensor {tensor.name} is {tensor.dtype}, which can't be converted; "
        f"bring the weights as F32, F16 or BF16"
    )
