"""A decoder of a few thousand weights by chance, as a graph, and what numpy computes of the same weights."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from folder_builders import write_files
from llama_graph import build_graph
from llama_weights import Packed
from numpy.typing import NDArray

Array = NDArray[Any]

WIDTH, LAYERS, HEADS, KV_HEADS, HEAD_SIZE, INNER, VOCABULARY, CONTEXT = 64, 2, 4, 2, 16, 96, 90, 48
EPSILON, BASE = 1e-5, 1000.0
_COUNTS = {
    "block_count": LAYERS,
    "attention.head_count": HEADS,
    "attention.head_count_kv": KV_HEADS,
    "embedding_length": WIDTH,
    "rope.dimension_count": HEAD_SIZE,
    "context_length": CONTEXT,
}
_SHAPES = {
    "attn_q": (HEADS * HEAD_SIZE, WIDTH),
    "attn_k": (KV_HEADS * HEAD_SIZE, WIDTH),
    "attn_v": (KV_HEADS * HEAD_SIZE, WIDTH),
    "attn_output": (WIDTH, HEADS * HEAD_SIZE),
    "ffn_gate": (INNER, WIDTH),
    "ffn_up": (INNER, WIDTH),
    "ffn_down": (WIDTH, INNER),
}


class TinyWeights:
    """Weights by GGUF's names, as `llama_weights.Source` has them."""

    accuracy = 0

    def __init__(self, seed: int = 5) -> None:
        # RandomState promises the same numbers in every version of numpy, default_rng does not.
        chance = np.random.RandomState(seed)
        self._matrices = {
            f"blk.{layer}.{name}.weight": (chance.standard_normal(shape) * 0.2).astype(np.float32)
            for layer in range(LAYERS)
            for name, shape in _SHAPES.items()
        }
        numbers = chance.randint(0, 256, (VOCABULARY, WIDTH // 32, 32)).astype(np.uint8)
        self._table = Packed(numbers, np.full((VOCABULARY, WIDTH // 32), 0.01, np.float32), None, 8)
        self._norms = (1 + 0.2 * chance.standard_normal(WIDTH)).astype(np.float32)

    def count(self, key: str) -> int:
        return _COUNTS[key]

    def number(self, key: str) -> float:
        return {"attention.layer_norm_rms_epsilon": EPSILON, "rope.freq_base": BASE}[key]

    def plain(self, name: str) -> Array:
        return self._norms

    def matrix(self, name: str, *, rotated_heads: int = 0) -> Array:
        return self._matrices[name]

    def table(self) -> Packed:
        return self._table

    def logits(self, tokens: list[int]) -> Array:
        """What follows after each of the tokens, by plain matrices."""
        table = ((self._table.numbers.astype(np.float64) - 128) * 0.01).reshape(VOCABULARY, WIDTH)
        hidden = table[tokens]
        for layer in range(LAYERS):
            parts = {name: self._matrices[f"blk.{layer}.{name}.weight"].astype(np.float64) for name in _SHAPES}
            normed = self._normed(hidden)
            query, key = (_turned(_heads(normed @ parts[name].T)) for name in ("attn_q", "attn_k"))
            mixed = _attended(query, key, _heads(normed @ parts["attn_v"].T))
            hidden = hidden + mixed @ parts["attn_output"].T
            normed = self._normed(hidden)
            gate = normed @ parts["ffn_gate"].T
            hidden = hidden + (gate / (1 + np.exp(-gate)) * (normed @ parts["ffn_up"].T)) @ parts["ffn_down"].T
        found: Array = self._normed(hidden) @ table.T
        return found

    def _normed(self, hidden: Array) -> Array:
        normed: Array = hidden / np.sqrt((hidden**2).mean(axis=-1, keepdims=True) + EPSILON) * self._norms
        return normed


def _heads(values: Array) -> Array:
    return values.reshape(len(values), -1, HEAD_SIZE).swapaxes(0, 1)


def _turned(values: Array) -> Array:
    """Each half of a head is turned with the other, by an angle for each position."""
    angles = np.outer(np.arange(values.shape[1]), BASE ** -(np.arange(0, HEAD_SIZE, 2) / HEAD_SIZE))
    first, second = np.split(values, 2, axis=-1)
    cos, sin = np.cos(angles), np.sin(angles)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def _attended(query: Array, key: Array, value: Array) -> Array:
    shared = HEADS // KV_HEADS
    scores = query @ np.repeat(key, shared, axis=0).swapaxes(1, 2) * HEAD_SIZE**-0.5
    length = scores.shape[-1]
    scores = np.where(np.tril(np.ones((length, length), bool)), scores, -np.inf)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = shares / shares.sum(axis=-1, keepdims=True) @ np.repeat(value, shared, axis=0)
    joined: Array = mixed.swapaxes(0, 1).reshape(length, -1)
    return joined


def write_tiny_decoder(folder: Path, weights: TinyWeights, *, tokenizer: Any = None) -> Path:
    """The model's folder, without a chat template."""
    settings = {
        "model": {
            "context_length": CONTEXT,
            "decoder": {"filename": "model.onnx", "num_attention_heads": HEADS},
            "eos_token_id": VOCABULARY - 1,
            "type": "llama",
            "vocab_size": VOCABULARY,
        }
    }
    write_files(folder, {"genai_config.json": settings, "tokenizer.json": tokenizer or {}})
    onnx.save_model(build_graph(weights), folder / "model.onnx")
    return folder
