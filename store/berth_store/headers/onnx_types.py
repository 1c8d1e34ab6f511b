"""The numbers in ONNX files: element types, and which field of which message holds a message worth walking into.

Source: onnx.proto of the ONNX project. `berth_store.headers.onnx` walks by these tables.
"""

from enum import Enum, auto
from typing import NamedTuple


class ElementType(NamedTuple):
    """An element type; `bits` is None where elements have no fixed width."""

    name: str
    bits: int | None


ELEMENT_TYPES = {
    0: ElementType("UNDEFINED", None),
    1: ElementType("F32", 32),
    2: ElementType("U8", 8),
    3: ElementType("I8", 8),
    4: ElementType("U16", 16),
    5: ElementType("I16", 16),
    6: ElementType("I32", 32),
    7: ElementType("I64", 64),
    8: ElementType("STRING", None),
    9: ElementType("BOOL", 8),
    10: ElementType("F16", 16),
    11: ElementType("F64", 64),
    12: ElementType("U32", 32),
    13: ElementType("U64", 64),
    14: ElementType("C64", 64),
    15: ElementType("C128", 128),
    16: ElementType("BF16", 16),
    17: ElementType("F8_E4M3", 8),
    18: ElementType("F8_E4M3FNUZ", 8),
    19: ElementType("F8_E5M2", 8),
    20: ElementType("F8_E5M2FNUZ", 8),
    21: ElementType("U4", 4),
    22: ElementType("I4", 4),
    23: ElementType("F4_E2M1", 4),
    24: ElementType("F8_E8M0", 8),
    25: ElementType("U2", 2),
    26: ElementType("I2", 2),
    # How 6-bit elements are packed is not settled in every writer, so their length is not checked.
    27: ElementType("F6_E2M3", None),
    28: ElementType("F6_E3M2", None),
}
# Elements of these types are shapes, indices and masks rather than weights.
NOT_WEIGHTS = frozenset({"I64", "BOOL", "STRING", "UNDEFINED"})

STANDARD_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training"})


class Message(Enum):
    """The messages that lead to tensors."""

    MODEL = auto()
    GRAPH = auto()
    NODE = auto()
    ATTRIBUTE = auto()
    TENSOR = auto()
    SPARSE_TENSOR = auto()
    FUNCTION = auto()
    TRAINING = auto()


CHILDREN = {
    (Message.MODEL, 7): Message.GRAPH,
    (Message.MODEL, 20): Message.TRAINING,
    (Message.MODEL, 25): Message.FUNCTION,
    (Message.GRAPH, 1): Message.NODE,
    (Message.GRAPH, 5): Message.TENSOR,
    (Message.GRAPH, 15): Message.SPARSE_TENSOR,
    (Message.NODE, 5): Message.ATTRIBUTE,
    (Message.ATTRIBUTE, 5): Message.TENSOR,
    (Message.ATTRIBUTE, 6): Message.GRAPH,
    (Message.ATTRIBUTE, 10): Message.TENSOR,
    (Message.ATTRIBUTE, 11): Message.GRAPH,
    (Message.ATTRIBUTE, 22): Message.SPARSE_TENSOR,
    (Message.ATTRIBUTE, 23): Message.SPARSE_TENSOR,
    (Message.SPARSE_TENSOR, 1): Message.TENSOR,
    (Message.SPARSE_TENSOR, 2): Message.TENSOR,
    (Message.FUNCTION, 7): Message.NODE,
    (Message.FUNCTION, 11): Message.ATTRIBUTE,
    (Message.TRAINING, 1): Message.GRAPH,
    (Message.TRAINING, 2): Message.GRAPH,
}
