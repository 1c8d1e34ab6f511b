"""The messages of an ONNX file in the wire format of Protocol Buffers, written without a library for either. Pure.

Source: onnx.proto of the ONNX project, and the encoding page of the Protocol Buffers documentation; the numbers are the
fields' numbers. A message is a list of pieces, so that large weights are written as they lie in memory and not copied
into each message round them. `berth_store.convert.onnx_graph` calls this.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

Piece = bytes | memoryview
Pieces = list[Piece]
Shape = Sequence[str | int]
Attribute = float | int | str | Sequence[int]


class ElementType(IntEnum):
    """The element types that encoders are written with."""

    FLOAT = 1
    INT8 = 3
    INT64 = 7
    FLOAT16 = 10
    DOUBLE = 11
    BFLOAT16 = 16


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that lies in another file: `location` is relative to the folder that the engine is told."""

    element_type: ElementType
    shape: tuple[int, ...]
    location: str
    offset: int
    length: int


def model_message(graph: Pieces, *, ir_version: int, producer: str, opsets: Mapping[str, int]) -> Pieces:
    """A ModelProto."""
    versions = [_message(8, _text(1, domain), _number(2, version)) for domain, version in opsets.items()]
    return _join(_number(1, ir_version), _text(2, producer), _message(7, graph), *versions)


def graph_message(
    name: str,
    *,
    nodes: Iterable[Pieces],
    tensors: Iterable[Pieces],
    inputs: Iterable[Pieces],
    outputs: Iterable[Pieces],
) -> Pieces:
    """A GraphProto."""
    return _join(
        *(_message(1, node) for node in nodes),
        _text(2, name),
        *(_message(5, tensor) for tensor in tensors),
        *(_message(11, value) for value in inputs),
        *(_message(12, value) for value in outputs),
    )


def node_message(
    kind: str, name: str, inputs: Sequence[str], output: str, attributes: Mapping[str, Attribute], *, domain: str = ""
) -> Pieces:
    """A NodeProto with one output; `domain` is whose operator it is, empty for ONNX's own."""
    return _join(
        *(_text(1, value) for value in inputs),
        _text(2, output),
        _text(3, name),
        _text(4, kind),
        *(_message(5, _attribute(key, value)) for key, value in sorted(attributes.items())),
        *([_text(7, domain)] if domain else []),
    )


def value_message(name: str, element_type: ElementType, shape: Shape) -> Pieces:
    """A ValueInfoProto; a word in `shape` is a dimension of any size."""
    dims = [_message(1, _number(1, dim) if isinstance(dim, int) else _text(2, dim)) for dim in shape]
    tensor_type = _join(_number(1, element_type), _message(2, *dims))
    return _join(_text(1, name), _message(2, _message(1, tensor_type)))


def tensor_message(name: str, element_type: ElementType, shape: Sequence[int], data: Piece) -> Pieces:
    """A TensorProto with its data inside."""
    return _join(_tensor_head(name, element_type, shape), _bytes(9, data))


def stored_message(name: str, tensor: StoredTensor) -> Pieces:
    """A TensorProto whose data lie in another file."""
    place = {"location": tensor.location, "offset": str(tensor.offset), "length": str(tensor.length)}
    entries = [_message(13, _text(1, key), _text(2, value)) for key, value in place.items()]
    return _join(_tensor_head(name, tensor.element_type, tensor.shape), *entries, _number(14, 1))


def _tensor_head(name: str, element_type: ElementType, shape: Sequence[int]) -> Pieces:
    return _join(*(_number(1, dim) for dim in shape), _number(2, element_type), _text(8, name))


def _attribute(name: str, value: Attribute) -> Pieces:
    match value:
        case float():
            return _join(_text(1, name), [_tag(2, 5), struct.pack("<f", value)], _number(20, 1))
        case int():
            return _join(_text(1, name), _number(3, value), _number(20, 2))
        case str():
            return _join(_text(1, name), _text(4, value), _number(20, 3))
        case _:
            return _join(_text(1, name), *(_number(8, each) for each in value), _number(20, 7))


def _message(field: int, *parts: Pieces) -> Pieces:
    content = _join(*parts)
    return [_tag(field, 2), _varint(sum(map(len, content))), *content]


def _bytes(field: int, data: Piece) -> Pieces:
    return [_tag(field, 2), _varint(len(data)), data]


def _text(field: int, text: str) -> Pieces:
    return _bytes(field, text.encode())


def _number(field: int, value: int) -> Pieces:
    return [_tag(field, 0), _varint(value)]


def _tag(field: int, wire_type: int) -> bytes:
    return _varint(field << 3 | wire_type)


def _varint(value: int) -> bytes:
    """Groups of 7 bits, the lowest first; a negative number in two's complement of 64 bits."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _join(*parts: Pieces) -> Pieces:
    return [piece for part in parts for piece in part]
