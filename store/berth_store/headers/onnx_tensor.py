"""Reads an ONNX file's tensor entries and checks the files outside that they name. Used by the ONNX reader."""

from collections import Counter
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from berth_api.errors import UnsupportedModel
from berth_store.headers.folder import resolve_inside
from berth_store.headers.onnx_header import ExternalFile
from berth_store.headers.onnx_types import ELEMENT_TYPES, NOT_WEIGHTS, ElementType
from berth_store.headers.protobuf import Field, WireReader

MAX_DIMS = 64
MAX_NAME_BYTES = 4096
MAX_COUNT = (1 << 63) - 1
MAX_TENSORS = 1 << 18
MAX_FILES = 4096
DATA_LOCATION_EXTERNAL = 1


@dataclass
class _Tensor:
    """The parts of a TensorProto that matter here."""

    name: str = ""
    dims: list[int] = field(default_factory=list)
    type_number: int = 0
    raw_bytes: int | None = None
    inline_bytes: int = 0
    is_external: bool = False
    external: dict[str, str] = field(default_factory=dict)


class TensorReader:
    """Reads tensors one by one and sums up what they need."""

    def __init__(self, wire: WireReader, root: Path) -> None:
        self._wire = wire
        self._file = wire.file
        self._root = root
        self._files: dict[str, tuple[Path, int]] = {}
        self._needed: Counter[str] = Counter()
        self.initializers: set[str] = set()
        self.tensor_bytes = 0
        self.weight_types: Counter[str] = Counter()

    def read(self, where: Field, *, initializer: bool) -> None:
        """Read the tensor at `where`; the name of an initializer is kept."""
        tensor = self._parse(where)
        what = f"the tensor {tensor.name!r}"
        kind = ELEMENT_TYPES.get(tensor.type_number)
        if kind is None:
            raise self._file.refuse(f"{what} has the unknown element type {tensor.type_number:,}")
        if min(tensor.dims, default=0) < 0 or (elements := prod(tensor.dims)) > MAX_COUNT:
            raise self._file.refuse(f"{what} has the impossible shape {tensor.dims}")
        length = None if kind.bits is None else (elements * kind.bits + 7) // 8
        if tensor.raw_bytes is not None and length is not None and tensor.raw_bytes != length:
            raise self._file.refuse(
                f"{what} of shape {tensor.dims} and type {kind.name} needs {length:,} bytes, "
                f"and {tensor.raw_bytes:,} are stored"
            )
        if tensor.is_external or tensor.external:
            self._check_external(tensor, length, what)
        if initializer:
            self._keep_name(tensor.name)
        self._count(tensor, kind, elements, length)

    def external(self) -> tuple[ExternalFile, ...]:
        """The files outside, in the order in which they were first named."""
        return tuple(
            ExternalFile(location, path, self._needed[location], size) for location, (path, size) in self._files.items()
        )

    def _count(self, tensor: _Tensor, kind: ElementType, elements: int, length: int | None) -> None:
        """Some exporters keep weights as constants of nodes, so every tensor counts."""
        self.tensor_bytes += length if length is not None else tensor.inline_bytes
        if kind.name not in NOT_WEIGHTS:
            self.weight_types[kind.name] += elements

    def _keep_name(self, name: str) -> None:
        self.initializers.add(name)
        if len(self.initializers) > MAX_TENSORS:
            raise self._file.refuse(f"it has more than {MAX_TENSORS:,} initializers, and no real model does")

    def _parse(self, where: Field) -> _Tensor:
        tensor = _Tensor()
        for each in self._wire.fields(where.start, where.end, f"a tensor at byte {where.start:,}"):
            match each.number:
                case 1:
                    tensor.dims.extend(self._wire.integers(each, MAX_DIMS, "a tensor's shape"))
                    if len(tensor.dims) > MAX_DIMS:
                        raise self._file.refuse(f"a tensor has more than {MAX_DIMS} dimensions")
                case 2:
                    tensor.type_number = each.value
                case 8:
                    tensor.name = self._wire.text(each, MAX_NAME_BYTES, "the name of a tensor")
                case 9:
                    tensor.raw_bytes = each.length
                case 13:
                    key, value = self._entry(each)
                    tensor.external[key] = value
                case 14:
                    tensor.is_external = each.value == DATA_LOCATION_EXTERNAL
            tensor.inline_bytes += each.length
        return tensor

    def _entry(self, where: Field) -> tuple[str, str]:
        key = value = ""
        for each in self._wire.fields(where.start, where.end, "an entry about external data"):
            text = self._wire.text(each, MAX_NAME_BYTES, "an entry about external data")
            key, value = (text, value) if each.number == 1 else (key, text)
        return key, value

    def _check_external(self, tensor: _Tensor, length: int | None, what: str) -> None:
        location = tensor.external.get("location", "")
        size = self._size(location, what)
        offset = self._integer(tensor, "offset", 0, what)
        stored = self._integer(tensor, "length", max(0, size - offset), what)
        if length is not None and length > stored:
            raise self._file.refuse(f"{what} needs {length:,} bytes, and {stored:,} are set aside in {location!r}")
        end = offset + stored
        if end > size:
            raise self._file.refuse(
                f"{what} ends at byte {end:,} of {location!r}, and that file has {size:,} bytes",
                "fetch that file again",
            )
        self._needed[location] = max(self._needed[location], end)

    def _size(self, location: str, what: str) -> int:
        if location not in self._files:
            if len(self._files) >= MAX_FILES:
                raise self._file.refuse(f"it names more than {MAX_FILES:,} files outside, and no real model does")
            says = f"{self._file.path.name}: {what}"
            path = resolve_inside(self._root, location, says, base=self._file.path.parent)
            try:
                self._files[location] = (path, path.stat().st_size)
            except OSError as error:
                raise UnsupportedModel(f"{path} can't be read: {error.strerror}; check the path") from error
        return self._files[location][1]

    def _integer(self, tensor: _Tensor, key: str, default: int, what: str) -> int:
        text = tensor.external.get(key)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 20:
            raise self._file.refuse(f"{what} has the {key} {text[:40]!r} outside, and that is no whole number")
        return int(text)
