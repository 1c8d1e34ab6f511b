"""Weights of a Llama as the operators of `llama_graph` want them: what SmolLM2's GGUF file has, packed anew.

What the file has in 4 bits is in 4 bits here too, but counted from another zero, for which it is rounded a second time;
the embedding, which is the last layer too, is as it was, in 8.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from berth_store.headers.gguf import read_gguf

Array = NDArray[Any]

BLOCK = 32


@dataclass(frozen=True)
class Packed:
    """Numbers in blocks, `[rows, blocks, bytes]`, with what makes weights of them; without `zeros`, the middle."""

    numbers: Array
    scales: Array
    zeros: Array | None
    bits: int


class Source(Protocol):
    """Weights by GGUF's names, as the operators want them; `accuracy` is how exactly packed ones are to be computed."""

    accuracy: int

    def count(self, key: str) -> int:
        """A number of the header, without the architecture's name before it."""
        ...

    def number(self, key: str) -> float:
        """The same for one with a fraction."""
        ...

    def plain(self, name: str) -> Array:
        """A tensor of float32."""
        ...

    def matrix(self, name: str, *, rotated_heads: int = 0) -> Packed | Array:
        """A matrix, packed or `[rows, columns]`."""
        ...

    def table(self) -> Packed:
        """The embedding, in 8 bits."""
        ...


class Weights:
    """The tensors of SmolLM2's GGUF file."""

    accuracy = 4

    def __init__(self, path: Path) -> None:
        self.header = read_gguf(path)
        self._content = np.memmap(path, np.uint8, "r")
        self._tensors = {tensor.name: tensor for tensor in self.header.tensors}

    def count(self, key: str) -> int:
        """A number of the header, without the architecture's name before it."""
        return int(self.header.metadata[f"llama.{key}"])  # type: ignore[arg-type]

    def number(self, key: str) -> float:
        """The same for one with a fraction."""
        return float(self.header.metadata[f"llama.{key}"])  # type: ignore[arg-type]

    def plain(self, name: str) -> Array:
        """A tensor of float32."""
        return self._bytes(name).view("<f4")

    def matrix(self, name: str, *, rotated_heads: int = 0) -> Packed:
        """A matrix of Q4_1: each block of 32 has a scale, a smallest value and 32 numbers of 4 bits.

        GGUF keeps the rows of a head that is rotated in pairs, the builder in halves.
        """
        tensor = self._tensors[name]
        width, rows = tensor.shape
        blocks = self._bytes(name).reshape(rows, width // BLOCK, 20)
        if rotated_heads:
            blocks = blocks.reshape(rotated_heads, -1, 2, *blocks.shape[1:]).swapaxes(1, 2).reshape(blocks.shape)
        scales, least = (blocks[..., at : at + 2].copy().view("<f2").astype("<f4") for at in (0, 2))
        return pack(scales * np.concatenate([blocks[..., 4:] & 15, blocks[..., 4:] >> 4], axis=-1) + least)

    def table(self) -> Packed:
        """A matrix of Q8_0: each block of 32 has a scale and 32 numbers of 8 bits, here from 0 on."""
        width, rows = self._tensors["token_embd.weight"].shape
        blocks = self._bytes("token_embd.weight").reshape(rows, width // BLOCK, 34)
        scales = blocks[..., :2].copy().view("<f2")[..., 0].astype("<f4")
        return Packed(blocks[..., 2:] ^ 0x80, scales, None, 8)

    def _bytes(self, name: str) -> Array:
        tensor = self._tensors[name]
        start = self.header.data_offset + tensor.offset
        return np.array(self._content[start : start + tensor.length_bytes])


def pack(values: Array) -> Packed:
    """Blocks of weights in 4 bits, `[rows, blocks, 32]`: each with a scale, and the number that stands for zero."""
    least = np.minimum(values.min(axis=-1, keepdims=True), 0)
    scales = np.maximum((np.maximum(values.max(axis=-1, keepdims=True), 0) - least) / 15, 1e-8).astype("<f4")
    zeros = np.rint(-least / scales)
    numbers = np.clip(np.rint(values / scales) + zeros, 0, 15).astype(np.uint8)
    return Packed(_pairs(numbers), scales[..., 0], _pairs(zeros[..., 0].astype(np.uint8)), 4)


def _pairs(numbers: Array) -> Array:
    """Two numbers a byte, the first one below; the last alone if there is an odd one."""
    even = np.pad(numbers, [(0, 0)] * (numbers.ndim - 1) + [(0, numbers.shape[-1] % 2)])
    pairs: Array = even[..., 0::2] | even[..., 1::2] << 4
    return pairs
