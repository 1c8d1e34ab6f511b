"""Writes small ONNX files in the wire format of Protocol Buffers, for tests of readers, detection and packaging.

No reader and no library for the format is used, so a test that builds and reads compares two opinions. Every builder
takes the values that a hostile writer would lie about.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

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
