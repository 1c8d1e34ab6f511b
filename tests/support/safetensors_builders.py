"""Writes small safetensors files byte by byte, for tests of readers, detection and packaging.

No reader and no library for the format is used, so a test that builds and reads compares two opinions. Every builder
takes the values that a hostile writer would lie about.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

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
