"""Reads the header of a safetensors file and the index of a sharded model: `read_safetensors`, `read_index`.

Source: the format's description in the README of huggingface/safetensors: 8 bytes with the header's length, a JSON
object from tensor names to dtype, shape and data offsets, then the data, without holes, to the end of the file. The
header is read entry by entry, so that a hostile one can't make Python build more than its tensors. `berth_store.detect`
calls this.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, NoReturn

from berth_api.errors import UnsupportedModel
from berth_store.headers.bounded_json import Json, read_json, unique_keys
from berth_store.headers.file import HeaderFile
from berth_store.headers.folder import resolve_inside

# The format's own limit.
MAX_HEADER_BYTES = 100_000_000
MAX_TENSORS = 1 << 18
MAX_ENTRY_BYTES = 4096
MAX_NAME_BYTES = 4096
MAX_METADATA_BYTES = 16 << 20
MAX_METADATA_ENTRIES = 1 << 16
MAX_RANK = 64
MAX_COUNT = (1 << 63) - 1
MAX_INDEX_BYTES = 32 << 20
# A line for each tensor; the largest mixtures of experts have some 150,000.
MAX_INDEX_VALUES = 1 << 18
MAX_SHARDS = 4096
METADATA_KEY = "__metadata__"

DTYPE_BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}

_STRING = rb'"(?:[^"\\\x00-\x1f]|\\.)*+"'
_SPACE = re.compile(rb"[ \t\r\n]*+")
_KEY = re.compile(rb"(" + _STRING + rb")[ \t\r\n]*+:[ \t\r\n]*+")


class SafetensorsTensor(NamedTuple):
    """One tensor's entry; `start` and `end` count from the first byte of data."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def elements(self) -> int:
        """Number of weights."""
        return prod(self.shape)


@dataclass(frozen=True)
class SafetensorsHeader:
    """All that the header says; `dtypes` counts weights by dtype, the most first."""

    tensors: tuple[SafetensorsTensor, ...]
    metadata: Mapping[str, str]
    dtypes: tuple[tuple[str, int], ...]
    data_offset: int
    file_bytes: int

    @property
    def parameters(self) -> int:
        """Number of weights, as they are stored (packed ones count as the numbers that hold them)."""
        return sum(count for _, count in self.dtypes)


@dataclass(frozen=True)
class SafetensorsIndex:
    """Which shard holds which tensor."""

    shards: tuple[Path, ...]
    shard_of: Mapping[str, Path]


def read_safetensors(path: Path) -> SafetensorsHeader:
    """Read and check the header of the file at `path`; `UnsupportedModel` says where it is damaged."""
    with HeaderFile(path) as file:
        length = file.take_u64("the length of the header")
        if length > MAX_HEADER_BYTES:
            raise file.refuse(f"it claims a header of {length:,} bytes, and the format allows {MAX_HEADER_BYTES:,}")
        file.require(length, f"the header of {length:,} bytes")
        reader = _HeaderReader(file, file.take(length, "the header"))
        reader.read()
        tensors = tuple(reader.tensors)
        data_offset = 8 + length
        _check_data(file, tensors, data_offset)
        dtypes: Counter[str] = Counter()
        for tensor in tensors:
            dtypes[tensor.dtype] += tensor.elements
        metadata = MappingProxyType(reader.metadata)
        return SafetensorsHeader(tensors, metadata, tuple(dtypes.most_common()), data_offset, file.length_bytes)


def read_index(path: Path) -> SafetensorsIndex:
    """Read the index at `path`; every shard that it names lies in the index's folder."""
    index = read_json(path, most_bytes=MAX_INDEX_BYTES, most_values=MAX_INDEX_VALUES)
    weight_map = index.get("weight_map") if isinstance(index, Mapping) else None
    if not isinstance(weight_map, Mapping) or not weight_map:
        raise UnsupportedModel(f"{path.name} has no `weight_map`, so it is no index; fetch it again")
    names = {name for name in weight_map.values() if isinstance(name, str)}
    if len(names) > MAX_SHARDS or not all(isinstance(name, str) for name in weight_map.values()):
        raise UnsupportedModel(f"{path.name} names no files or more than {MAX_SHARDS:,} as shards; fetch it again")
    paths = {name: resolve_inside(path.parent, name, path.name) for name in sorted(names)}
    shard_of = {tensor: paths[str(name)] for tensor, name in weight_map.items()}
    return SafetensorsIndex(tuple(paths.values()), MappingProxyType(shard_of))


class _HeaderReader:
    """One pass over the header's JSON, from key to key."""

    def __init__(self, file: HeaderFile, text: bytes) -> None:
        self._file = file
        self._text = text
        self._at = 0
        self.tensors: list[SafetensorsTensor] = []
        self.metadata: dict[str, str] = {}

    def read(self) -> None:
        names: set[str] = set()
        self._expect(b"{", spaces_before=False)
        while not self._reached(b"}", first=not names):
            name = self._key()
            if name in names:
                self._refuse(f"the tensor {name!r} stands in the header twice")
            names.add(name)
            if name == METADATA_KEY:
                self._read_metadata()
            else:
                self.tensors.append(self._entry(name))
            if len(self.tensors) > MAX_TENSORS:
                self._refuse(f"it has more than {MAX_TENSORS:,} tensors, and no real file does")
        if self._skip_space() != len(self._text):
            self._refuse(f"something follows the header's end at byte {8 + self._at:,}")

    def _entry(self, name: str) -> SafetensorsTensor:
        start = self._at
        end = self._text.find(b"}", start, start + MAX_ENTRY_BYTES) + 1
        if end == 0 or self._text[start : start + 1] != b"{":
            self._refuse(f"the entry of the tensor {name!r} is no object of at most {MAX_ENTRY_BYTES:,} bytes")
        try:
            entry = json.loads(self._text[start:end].decode("utf-8"), object_pairs_hook=unique_keys)
        except (ValueError, RecursionError) as error:
            self._refuse(f"the entry of the tensor {name!r} is no JSON that can be used: {error}")
        self._at = end
        return self._checked(name, entry)

    def _checked(self, name: str, entry: Mapping[str, Json]) -> SafetensorsTensor:
        if set(entry) != {"dtype", "shape", "data_offsets"}:
            self._refuse(
                f"the tensor {name!r} has the keys {sorted(entry)}, and dtype, shape, data_offsets belong there"
            )
        dtype, shape, offsets = entry["dtype"], _counts(entry["shape"]), _counts(entry["data_offsets"])
        bits = DTYPE_BITS.get(dtype) if isinstance(dtype, str) else None
        if not isinstance(dtype, str) or bits is None:
            self._refuse(f"the tensor {name!r} has the unknown dtype {dtype!r}")
        if shape is None or offsets is None or len(offsets) != 2:
            self._refuse(f"the tensor {name!r} has a shape or data_offsets that are no lists of whole numbers from 0")
        start, end = offsets
        needed_bits = prod(shape) * bits
        if needed_bits > 8 * MAX_COUNT or needed_bits % 8:
            self._refuse(f"the tensor {name!r} of shape {shape} and dtype {dtype} has no possible length in bytes")
        if end - start != needed_bits // 8:
            self._refuse(
                f"the tensor {name!r} of shape {shape} and dtype {dtype} needs {needed_bits // 8:,} bytes, "
                f"and its data_offsets {start:,} to {end:,} hold {end - start:,}"
            )
        return SafetensorsTensor(name, dtype, tuple(shape), start, end)

    def _read_metadata(self) -> None:
        start = self._at
        self._expect(b"{")
        while not self._reached(b"}", first=not self.metadata):
            key = self._key()
            if key in self.metadata or len(self.metadata) >= MAX_METADATA_ENTRIES:
                self._refuse(f"{METADATA_KEY} has the key {key[:80]!r} twice, or too many keys")
            self.metadata[key] = self._string(MAX_METADATA_BYTES)
            if self._at - start > MAX_METADATA_BYTES:
                self._refuse(f"{METADATA_KEY} has more than {MAX_METADATA_BYTES:,} bytes, and no real one does")

    def _key(self) -> str:
        match = _KEY.match(self._text, self._at, self._at + MAX_NAME_BYTES)
        if match is None:
            self._refuse(f"a name of at most {MAX_NAME_BYTES:,} bytes and a colon have to be at byte {8 + self._at:,}")
        self._at = match.end()
        return self._decoded(match.group(1))

    def _string(self, most_bytes: int) -> str:
        match = re.compile(_STRING).match(self._text, self._at, self._at + most_bytes)
        if match is None:
            self._refuse(f"{METADATA_KEY} may hold texts only, and none is at byte {8 + self._at:,}")
        self._at = match.end()
        return self._decoded(match.group())

    def _decoded(self, quoted: bytes) -> str:
        try:
            return str(json.loads(quoted.decode("utf-8")))
        except ValueError:
            self._refuse(f"the text before byte {8 + self._at:,} is no JSON string in UTF-8")

    def _reached(self, mark: bytes, *, first: bool) -> bool:
        """Whether the object ends here; if not, go past the comma that has to stand before its next key."""
        self._skip_space()
        if self._text[self._at : self._at + 1] == mark:
            self._at += 1
            return True
        if not first:
            self._expect(b",")
            self._skip_space()
        return False

    def _expect(self, mark: bytes, *, spaces_before: bool = True) -> None:
        if spaces_before:
            self._skip_space()
        if self._text[self._at : self._at + 1] != mark:
            self._refuse(f"{mark.decode()!r} has to be at byte {8 + self._at:,} of the header's JSON")
        self._at += 1

    def _skip_space(self) -> int:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._at

    def _refuse(self, why: str) -> NoReturn:
        raise self._file.refuse(why)


def _counts(value: Json) -> list[int] | None:
    """The list of whole numbers that `value` is, or None."""
    if not isinstance(value, list) or len(value) > MAX_RANK:
        return None
    numbers = [each for each in value if type(each) is int and 0 <= each <= MAX_COUNT]
    return numbers if len(numbers) == len(value) else None


def _check_data(file: HeaderFile, tensors: tuple[SafetensorsTensor, ...], data_offset: int) -> None:
    """The data cover the file from the header to its end, without a hole and without overlap."""
    expected = 0
    for tensor in sorted(tensors, key=lambda each: (each.start, each.end)):
        if tensor.start != expected:
            kind = "leave a hole before" if tensor.start > expected else "overlap those before"
            raise file.refuse(f"the data of the tensor {tensor.name!r} {kind} byte {data_offset + expected:,}")
        expected = tensor.end
    if data_offset + expected != file.length_bytes:
        raise file.refuse(
            f"the data of the tensors end at byte {data_offset + expected:,}, "
            f"but the file has {file.length_bytes:,} bytes"
        )
