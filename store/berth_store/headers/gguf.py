"""Reads the header of a GGUF file: `read_gguf`, called by `berth_store.detect` and by packaging.

The format is that of the GGUF specification (docs/gguf.md of ggml), versions 2 and 3, little-endian: magic, version,
counts, key-value pairs, tensor infos, then the tensors' data, aligned. Nothing of the data is read. Vocabularies are
passed over without being held: an array keeps its type and length, and its values only if they are few.
"""

import struct
from pathlib import Path
from types import MappingProxyType

from berth_store.headers.file import HeaderFile
from berth_store.headers.gguf_header import (
    ArrayLength,
    GgufHeader,
    GgufTensor,
    LongString,
    MetadataValue,
    Scalar,
)
from berth_store.headers.gguf_types import SCALAR_CODES, TENSOR_TYPES, ValueType

__all__ = ["GgufHeader", "read_gguf"]

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
ALIGNMENT_KEY = "general.alignment"
MAX_ALIGNMENT = 1 << 20
MAX_PAIRS = 1 << 16
MAX_TENSORS = 1 << 16
MAX_DIMENSIONS = 4
MAX_KEY_BYTES = (1 << 16) - 1
MAX_TENSOR_NAME_BYTES = 256
MAX_KEPT_VALUES = 256
MAX_KEPT_STRING_BYTES = 1 << 20
MAX_KEPT_BYTES = 16 << 20
# Strings inside arrays, all together; the largest vocabulary has fewer than 2 million with its merges.
MAX_ARRAY_STRINGS = 1 << 23
MAX_COUNT = (1 << 63) - 1
# The least that a pair and a tensor's entry can take; a count that needs more than the file has is a lie.
MIN_PAIR_BYTES = 8 + 1 + 4 + 1
MIN_TENSOR_BYTES = 8 + 4 + 4 + 8
REMEDY_CONVERT = "convert the model again with the current tools of llama.cpp"


def read_gguf(path: Path) -> GgufHeader:
    """Read and check the header of the file at `path`; `UnsupportedModel` says where it is damaged."""
    with HeaderFile(path) as file:
        return _GgufReader(file).read()


class _GgufReader:
    """One pass over one header; its budgets bound what is kept and what is passed over."""

    def __init__(self, file: HeaderFile) -> None:
        self._file = file
        self._kept_bytes = 0
        self._array_strings = 0

    def read(self) -> GgufHeader:
        file = self._file
        version = self._version()
        tensor_count = self._count("tensors", MAX_TENSORS)
        pair_count = self._count("key-value pairs", MAX_PAIRS)
        file.require(pair_count * MIN_PAIR_BYTES, f"the table of {pair_count:,} key-value pairs")
        metadata = self._metadata(pair_count)
        alignment = self._alignment(metadata)
        file.require(tensor_count * MIN_TENSOR_BYTES, f"the table of {tensor_count:,} tensors")
        tensors = self._tensors(tensor_count)
        data_offset = _aligned(file.at, alignment)
        self._check_data(tensors, data_offset, alignment)
        return GgufHeader(
            version=version,
            alignment=alignment,
            metadata=MappingProxyType(metadata),
            tensors=tensors,
            data_offset=data_offset,
            file_bytes=file.length_bytes,
        )

    def _version(self) -> int:
        file = self._file
        if file.take(4, "the magic") != MAGIC:
            raise file.refuse("it does not begin with GGUF, so it is no GGUF file", "name a GGUF file")
        raw = file.take(4, "the version")
        version = int.from_bytes(raw, "little")
        if version in VERSIONS:
            return version
        if int.from_bytes(raw, "big") in VERSIONS:
            raise file.refuse("it is a big-endian GGUF file, and no engine here reads those", REMEDY_CONVERT)
        raise file.refuse(f"it has GGUF version {version}, and versions 2 and 3 are read", REMEDY_CONVERT)

    def _count(self, what: str, most: int) -> int:
        count = self._file.take_u64(f"the number of {what}")
        if count > most:
            raise self._file.refuse(f"it claims {count:,} {what}, and at most {most:,} are read")
        return count

    def _metadata(self, count: int) -> dict[str, MetadataValue]:
        metadata: dict[str, MetadataValue] = {}
        for index in range(count):
            key = self._key(index, count)
            if key in metadata:
                raise self._file.refuse(f"the key {key!r} stands in it twice")
            kind = self._value_type(f"the type of {key!r}")
            metadata[key] = self._array(key) if kind is ValueType.ARRAY else self._value(kind, key)
            if key == ALIGNMENT_KEY and kind is not ValueType.UINT32:
                raise self._file.refuse(f"{key!r} is a {kind.name}, and it has to be a UINT32")
        return metadata

    def _key(self, index: int, count: int) -> str:
        what = f"the key of pair {index + 1:,} of {count:,}"
        length = self._file.take_u64(what)
        if not 0 < length <= MAX_KEY_BYTES:
            raise self._file.refuse(f"{what} has {length:,} bytes, and 1 to {MAX_KEY_BYTES:,} are allowed")
        raw = self._file.take(length, what)
        if not raw.isascii():
            raise self._file.refuse(f"{what} is not ASCII text")
        return raw.decode("ascii")

    def _value_type(self, what: str) -> ValueType:
        number = self._file.take_u32(what)
        if number >= len(ValueType):
            raise self._file.refuse(f"{what} is {number:,}, and the types are numbered 0 to {len(ValueType) - 1}")
        return ValueType(number)

    def _value(self, kind: ValueType, key: str) -> Scalar | LongString:
        what = f"the value of {key!r}"
        if kind is ValueType.STRING:
            return self._string(what)
        code = "<" + SCALAR_CODES[kind]
        (value,) = struct.unpack(code, self._file.take(struct.calcsize(code), what))
        if kind is not ValueType.BOOL:
            return value  # type: ignore[no-any-return]
        if value > 1:
            raise self._file.refuse(f"{what} is a BOOL of value {value}, and 0 and 1 are allowed")
        return bool(value)

    def _string(self, what: str) -> str | LongString:
        length = self._file.take_u64(f"the length of {what}")
        if length > MAX_KEPT_STRING_BYTES or self._kept_bytes + length > MAX_KEPT_BYTES:
            self._file.skip(length, what)
            return LongString(length)
        self._kept_bytes += length
        return self._file.take(length, what).decode("utf-8", errors="replace")

    def _array(self, key: str) -> tuple[Scalar, ...] | ArrayLength:
        what = f"the array {key!r}"
        kind = self._value_type(f"the element type of {what}")
        length = self._file.take_u64(f"the length of {what}")
        if kind is ValueType.ARRAY:
            raise self._file.refuse(f"{what} holds arrays, and no engine here reads nested ones", REMEDY_CONVERT)
        if kind is ValueType.STRING:
            return self._string_array(length, what)
        code = SCALAR_CODES[kind]
        size = length * struct.calcsize(code)
        if length > MAX_KEPT_VALUES:
            self._file.skip(size, f"{what} of {length:,} values")
            return ArrayLength(kind, length)
        values = struct.unpack(f"<{length}{code}", self._file.take(size, what))
        return tuple(map(bool, values)) if kind is ValueType.BOOL else values

    def _string_array(self, length: int, what: str) -> tuple[Scalar, ...] | ArrayLength:
        what = f"{what} of {length:,} strings"
        self._file.require(length * 8, what)
        self._array_strings += length
        if self._array_strings > MAX_ARRAY_STRINGS:
            raise self._file.refuse(
                f"with {what} it lists more than {MAX_ARRAY_STRINGS:,} strings, and no real one does"
            )
        if length > MAX_KEPT_VALUES:
            self._file.skip_strings(length, what)
            return ArrayLength(ValueType.STRING, length)
        values = [self._string(what) for _ in range(length)]
        kept = tuple(value for value in values if isinstance(value, str))
        return kept if len(kept) == length else ArrayLength(ValueType.STRING, length)

    def _alignment(self, metadata: dict[str, MetadataValue]) -> int:
        alignment = metadata.get(ALIGNMENT_KEY, DEFAULT_ALIGNMENT)
        if type(alignment) is int and 8 <= alignment <= MAX_ALIGNMENT and alignment.bit_count() == 1:
            return alignment
        raise self._file.refuse(
            f"{ALIGNMENT_KEY!r} is {alignment}, and it has to be a power of two from 8 to {MAX_ALIGNMENT:,}"
        )

    def _tensors(self, count: int) -> tuple[GgufTensor, ...]:
        tensors: dict[str, GgufTensor] = {}
        for index in range(count):
            tensor = self._tensor(f"entry {index + 1:,} of {count:,} in the table of tensors")
            if tensor.name in tensors:
                raise self._file.refuse(f"the tensor {tensor.name!r} stands in it twice")
            tensors[tensor.name] = tensor
        return tuple(tensors.values())

    def _tensor(self, what: str) -> GgufTensor:
        file = self._file
        length = file.take_u64(what)
        if not 0 < length <= MAX_TENSOR_NAME_BYTES:
            raise file.refuse(f"{what} has a name of {length:,} bytes, and 1 to {MAX_TENSOR_NAME_BYTES} are allowed")
        try:
            name = file.take(length, what).decode("utf-8")
        except UnicodeDecodeError as error:
            raise file.refuse(f"{what} has a name that is not UTF-8") from error
        what = f"the tensor {name!r}"
        dimensions = file.take_u32(what)
        if dimensions > MAX_DIMENSIONS:
            raise file.refuse(f"{what} has {dimensions:,} dimensions, and at most {MAX_DIMENSIONS} are allowed")
        shape = struct.unpack(f"<{dimensions}Q", file.take(8 * dimensions, what))
        number, offset = struct.unpack("<IQ", file.take(12, what))
        return self._checked_tensor(name, shape, number, offset)

    def _checked_tensor(self, name: str, shape: tuple[int, ...], number: int, offset: int) -> GgufTensor:
        kind = TENSOR_TYPES.get(number)
        if kind is None:
            raise self._file.refuse(
                f"the tensor {name!r} has type number {number:,}, which is unknown or was removed", REMEDY_CONVERT
            )
        elements = 1
        for size in shape:
            elements *= size
        length_bytes = elements // kind.block_elements * kind.block_bytes
        if elements > MAX_COUNT or length_bytes > MAX_COUNT or max(shape, default=0) > MAX_COUNT:
            raise self._file.refuse(f"the tensor {name!r} of shape {shape} has more than 2^63 weights or bytes")
        if (shape[0] if shape else 1) % kind.block_elements:
            raise self._file.refuse(
                f"the tensor {name!r} has rows of {shape[0] if shape else 1:,} weights, and {kind.name} stores them "
                f"in blocks of {kind.block_elements}"
            )
        return GgufTensor(name, shape, kind, offset, length_bytes, elements)

    def _check_data(self, tensors: tuple[GgufTensor, ...], data_offset: int, alignment: int) -> None:
        """The tensors' data follow one another, padded, in the order of the table: the engine insists on it too."""
        expected = 0
        for tensor in tensors:
            if tensor.offset != expected:
                raise self._file.refuse(
                    f"the data of the tensor {tensor.name!r} begin at offset {tensor.offset:,}, and after the tensor "
                    f"before they have to begin at {expected:,}"
                )
            end = data_offset + expected + tensor.length_bytes
            if end > self._file.length_bytes:
                raise self._file.refuse(
                    f"the file is cut off: the data of the tensor {tensor.name!r} end at byte {end:,}, "
                    f"but the file has {self._file.length_bytes:,} bytes"
                )
            expected = _aligned(expected + tensor.length_bytes, alignment)


def _aligned(offset: int, alignment: int) -> int:
    return (offset + alignment - 1) // alignment * alignment
