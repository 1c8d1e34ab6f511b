"""Writes small model files byte by byte: GGUF, safetensors, ONNX. Used by tests of readers, detection and packaging.

Nothing here uses the readers or any library for these formats, so a test that builds and reads compares two opinions.
Every builder takes the values that a hostile writer would lie about.
"""

import json
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


# safetensors

_DTYPE_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "U8": 1, "F8_E4M3": 1}
Shapes = Mapping[str, tuple[str, Sequence[int]]]
SMALL_SHAPES: Shapes = {
    "embeddings.weight": ("F32", (10, 4)),
    "layer.0.weight": ("F16", (4, 4)),
    "position_ids": ("I64", (1, 4)),
}


def safetensors_entries(tensors: Shapes) -> dict[str, Any]:
    """The header's entries for tensors laid one after another."""
    entries: dict[str, Any] = {}
    at = 0
    for name, (dtype, shape) in tensors.items():
        end = at + prod(shape) * _DTYPE_BYTES[dtype]
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    return entries


def safetensors(
    tensors: Shapes = SMALL_SHAPES,
    *,
    metadata: Mapping[str, str] | None = None,
    header: str | bytes | None = None,
    header_bytes: int | None = None,
    data_bytes: int | None = None,
) -> bytes:
    """A safetensors file; `header` replaces the JSON, `header_bytes` its stated length, `data_bytes` the data's."""
    entries = safetensors_entries(tensors)
    held = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    if header is None:
        header = json.dumps({**({"__metadata__": metadata} if metadata else {}), **entries})
    encoded = header.encode() if isinstance(header, str) else header
    encoded += b" " * (-len(encoded) % 8)
    stated = len(encoded) if header_bytes is None else header_bytes
    return struct.pack("<Q", stated) + encoded + b"\2" * (held if data_bytes is None else data_bytes)


# ONNX, as the wire format of Protocol Buffers

FLOAT, UINT8, INT64, TEXT, FLOAT16 = 1, 2, 7, 8, 10
_ELEMENT_BYTES = {FLOAT: 4, UINT8: 1, INT64: 8, FLOAT16: 2}
Dims = Sequence[int | str | None]


def varint(value: int) -> bytes:
    """A number in groups of 7 bits; negative ones in two's complement of 64 bits."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field_number: int, value: int) -> bytes:
    """A field that is a number."""
    return varint(field_number << 3) + varint(value)


def block(field_number: int, content: bytes | str, *, length: int | None = None) -> bytes:
    """A field that is bytes, a text or a message; `length` may lie."""
    encoded = content.encode() if isinstance(content, str) else content
    return varint(field_number << 3 | 2) + varint(len(encoded) if length is None else length) + encoded


def onnx_value(name: str, dims: Dims | None, element_type: int = FLOAT) -> bytes:
    """A ValueInfoProto."""
    tensor = number(1, element_type)
    if dims is not None:
        shape = b"".join(block(1, _onnx_dim(dim)) for dim in dims)
        tensor += block(2, shape)
    return block(1, name) + block(2, block(1, tensor))


def _onnx_dim(dim: int | str | None) -> bytes:
    if dim is None:
        return b""
    return number(1, dim) if isinstance(dim, int) else block(2, dim)


def onnx_tensor(
    name: str,
    dims: Sequence[int],
    *,
    element_type: int = FLOAT,
    raw: bytes | None = None,
    external: Mapping[str, str] | None = None,
    packed_dims: bool = False,
) -> bytes:
    """A TensorProto; its data are as long as the shape says unless `raw` or `external` are given."""
    if packed_dims:
        content = block(1, b"".join(varint(dim) for dim in dims))
    else:
        content = b"".join(number(1, dim) for dim in dims)
    content += number(2, element_type) + block(8, name)
    if external is not None:
        content += b"".join(block(13, block(1, key) + block(2, value)) for key, value in external.items())
        return content + number(14, 1)
    size = prod(dims) * _ELEMENT_BYTES.get(element_type, 1)
    return content + block(9, b"\3" * size if raw is None else raw)


def onnx_node(op_type: str, *, domain: str = "", attributes: Sequence[bytes] = ()) -> bytes:
    """A NodeProto."""
    content = block(1, "x") + block(2, "y") + block(4, op_type)
    content += b"".join(block(5, attribute) for attribute in attributes)
    return content + (block(7, domain) if domain else b"")


def onnx_graph(
    *,
    nodes: Sequence[bytes] = (),
    inputs: Sequence[bytes] = (),
    outputs: Sequence[bytes] = (),
    initializers: Sequence[bytes] = (),
) -> bytes:
    """A GraphProto."""
    parts = [*(block(1, each) for each in nodes), block(2, "graph"), *(block(5, each) for each in initializers)]
    parts += [*(block(11, each) for each in inputs), *(block(12, each) for each in outputs)]
    return b"".join(parts)


def onnx(
    graph: bytes,
    *,
    ir_version: int = 8,
    opsets: Mapping[str, int] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """A ModelProto."""
    content = number(1, ir_version) + block(2, "berth-tests") + block(7, graph)
    content += b"".join(
        block(8, block(1, domain) + number(2, version)) for domain, version in (opsets or {"": 17}).items()
    )
    return content + b"".join(block(14, block(1, key) + block(2, value)) for key, value in (metadata or {}).items())


TOKEN_INPUTS = (
    onnx_value("input_ids", ("batch", "sequence"), INT64),
    onnx_value("attention_mask", ("batch", "sequence"), INT64),
)
WEIGHT = onnx_tensor("weight", (4, 8))


def onnx_with_outputs(*outputs: bytes, inputs: Sequence[bytes] = TOKEN_INPUTS, **more: Any) -> bytes:
    """A graph that is told by its outputs."""
    return onnx(onnx_graph(nodes=[onnx_node("MatMul")], inputs=inputs, outputs=outputs, initializers=[WEIGHT]), **more)


def encoder_onnx() -> bytes:
    """An encoder that ends with a vector for each token."""
    return onnx_with_outputs(onnx_value("last_hidden_state", ("batch", "sequence", 8)))


# Folders

SENTENCE_MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]


def write_files(folder: Path, files: Mapping[str, Any]) -> Path:
    """Write texts, bytes and JSON values under their names."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def sentence_files(**pooling: bool) -> dict[str, Any]:
    """The settings of a sentence-transformers model; without `pooling`, the mean."""
    return {
        "config.json": {"architectures": ["BertModel"], "model_type": "bert", "max_position_embeddings": 512},
        "modules.json": SENTENCE_MODULES,
        "1_Pooling/config.json": {
            "word_embedding_dimension": 8,
            **(pooling or {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}),
        },
        "sentence_bert_config.json": {"max_seq_length": 256, "do_lower_case": False},
        "tokenizer.json": {},
    }
