"""Writes small GGUF files byte by byte, for tests of readers, detection and packaging.

No reader and no library for the format is used, so a test that builds and reads compares two opinions. Every builder
takes the values that a hostile writer would lie about.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

# GGUF value types.
U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
_CODES = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}
# ggml tensor types used in tests: elements and bytes of a block.
TENSOR_F32, TENSOR_F16, TENSOR_Q4_1 = 0, 1, 3
_BLOCKS = {TENSOR_F32: (1, 4), TENSOR_F16: (1, 2), TENSOR_Q4_1: (32, 20)}

CHAT_TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"


@dataclass(frozen=True)
class Strings:
    """A GGUF array of strings, of which `count` may lie."""

    values: Sequence[str]
    count: int | None = None


@dataclass(frozen=True)
class Numbers:
    """A GGUF array of numbers of one type, of which `count` may lie."""

    type: int
    values: Sequence[float]
    count: int | None = None


@dataclass(frozen=True)
class Typed:
    """A GGUF value of a type that Python's own does not tell."""

    type: int
    value: Any


@dataclass(frozen=True)
class Tensor:
    """A GGUF tensor; `offset` and `size_bytes` are what the writer computes unless they are to lie."""

    name: str
    shape: Sequence[int]
    type: int = TENSOR_F32
    offset: int | None = None

    @property
    def size_bytes(self) -> int:
        elements, size = _BLOCKS.get(self.type, (1, 4))
        return prod(self.shape) // elements * size


@dataclass
class Written:
    """The bytes so far, and `marks`: where each part ends, for cutting there."""

    content: bytearray = field(default_factory=bytearray)
    marks: list[int] = field(default_factory=list)

    def add(self, code: str, *values: Any) -> None:
        self.raw(struct.pack("<" + code, *values))

    def raw(self, content: bytes) -> None:
        self.content += content
        self.marks.append(len(self.content))

    def text(self, text: str | bytes, length: int | None = None) -> None:
        encoded = text.encode() if isinstance(text, str) else text
        self.add("Q", len(encoded) if length is None else length)
        self.raw(encoded)


def gguf(
    metadata: Mapping[str, Any] | Sequence[tuple[str, Any]],
    tensors: Sequence[Tensor] = (),
    *,
    version: int = 3,
    alignment: int = 32,
    magic: bytes = b"GGUF",
    pair_count: int | None = None,
    tensor_count: int | None = None,
    data: bytes | None = None,
) -> Written:
    """A GGUF file; `alignment` is that of the data, and stands in the metadata only if the caller puts it there."""
    pairs = list(metadata.items()) if isinstance(metadata, Mapping) else list(metadata)
    out = Written()
    out.raw(magic)
    out.add("I", version)
    out.add("Q", len(tensors) if tensor_count is None else tensor_count)
    out.add("Q", len(pairs) if pair_count is None else pair_count)
    for key, value in pairs:
        out.text(key)
        _gguf_value(out, value)
    offset = 0
    for tensor in tensors:
        out.text(tensor.name)
        out.add("I", len(tensor.shape))
        out.add(f"{len(tensor.shape)}Q", *tensor.shape)
        out.add("I", tensor.type)
        out.add("Q", offset if tensor.offset is None else tensor.offset)
        offset = _padded(offset + tensor.size_bytes, alignment)
    out.raw(b"\0" * (_padded(len(out.content), alignment) - len(out.content)))
    if data is not None:
        out.raw(data)
    else:
        for tensor in tensors:
            out.raw(b"\1" * tensor.size_bytes)
            out.raw(b"\0" * (_padded(tensor.size_bytes, alignment) - tensor.size_bytes))
    return out


def _gguf_value(out: Written, value: Any) -> None:
    match value:
        case Strings():
            out.add("II", ARRAY, STRING)
            out.add("Q", len(value.values) if value.count is None else value.count)
            for each in value.values:
                out.text(each)
        case Numbers():
            out.add("II", ARRAY, value.type)
            out.add("Q", len(value.values) if value.count is None else value.count)
            if value.values:
                out.add(f"{len(value.values)}{_CODES[value.type]}", *value.values)
        case Typed():
            out.add("I", value.type)
            out.add(_CODES[value.type], value.value) if value.type in _CODES else out.raw(value.value)
        case bool():
            out.add("I", BOOL)
            out.add("?", value)
        case int():
            out.add("I", U32)
            out.add("I", value)
        case float():
            out.add("I", F32)
            out.add("f", value)
        case _:
            out.add("I", STRING)
            out.text(value)


def _padded(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


def llama_metadata(**changes: Any) -> dict[str, Any]:
    """The metadata of a small chat model; `changes` replace or add keys, with `__` for a dot, None to drop."""
    metadata: dict[str, Any] = {
        "general.architecture": "llama",
        "general.type": "model",
        "general.name": "Tiny",
        "general.file_type": 3,
        "llama.context_length": 2048,
        "llama.embedding_length": 64,
        "llama.block_count": 2,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "tokenizer.ggml.tokens": Strings([f"token-{number}" for number in range(300)]),
        "tokenizer.ggml.scores": Numbers(F32, [0.5] * 300),
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }
    return _changed(metadata, changes)


def bert_metadata(**changes: Any) -> dict[str, Any]:
    """The metadata of a small embedding model."""
    metadata = {
        "general.architecture": "bert",
        "general.file_type": 1,
        "bert.context_length": 512,
        "bert.embedding_length": 64,
        "bert.attention.causal": False,
        "bert.pooling_type": 1,
    }
    return _changed(metadata, changes)


def _changed(metadata: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**metadata, **{key.replace("__", "."): value for key, value in changes.items()}}
    return {key: value for key, value in merged.items() if value is not None}


LLAMA_TENSORS = (
    Tensor("token_embd.weight", (64, 300), TENSOR_Q4_1),
    Tensor("blk.0.attn_norm.weight", (64,)),
    Tensor("blk.0.attn_q.weight", (64, 64), TENSOR_F16),
)


def llama_gguf(**changes: Any) -> bytes:
    """A small chat model."""
    return bytes(gguf(llama_metadata(**changes), LLAMA_TENSORS).content)


def bert_gguf(**changes: Any) -> bytes:
    """A small embedding model."""
    return bytes(gguf(bert_metadata(**changes), [Tensor("token_embd.weight", (64, 10))]).content)


def write_gguf_shards(folder: Path, stem: str, count: int, **changes: Any) -> list[Path]:
    """A chat model in `count` files, one tensor each; `changes` go to the first."""
    paths = []
    for number in range(count):
        split = {
            "split.no": Typed(U16, number),
            "split.count": Typed(U16, count),
            "split.tensors.count": Typed(I32, count),
        }
        metadata = {**llama_metadata(**changes), **split} if number == 0 else split
        path = folder / f"{stem}-{number + 1:05}-of-{count:05}.gguf"
        path.write_bytes(bytes(gguf(metadata, [Tensor(f"blk.{number}.weight", (64, 2))]).content))
        paths.append(path)
    return paths
