"""A reranker of Qwen3's kind in 100 kB, with weights by chance: it says yes or no to a document, and knows neither."""

from pathlib import Path

import numpy as np
from gguf_builders import F32, I32, Numbers, Strings
from real_gguf import CONTROL, NORMAL, Floats, write_gguf

WIDTH, INNER, HEADS, HEAD = 32, 64, 2, 16
PROMPT = "Query: {query} Document: {document} Answer:"


def write_tiny_qwen3(path: Path, *, labels: tuple[str, ...] = ("yes", "no"), turned: bool = False) -> Path:
    """The same model, with the two rows of its head changed if `turned`."""
    chance = np.random.RandomState(19)
    tokens = [*_byte_tokens(), "ab", "<|endoftext|>"]

    def values(scale: float, *shape: int) -> Floats:
        return (scale * chance.standard_normal(shape)).astype(np.float32)

    weights = {"token_embd.weight": values(1.0, len(tokens), WIDTH), "output_norm.weight": np.ones(WIDTH, np.float32)}
    for name in ("attn_norm", "ffn_norm"):
        weights[f"blk.0.{name}.weight"] = np.ones(WIDTH, np.float32)
    for name in ("attn_q_norm", "attn_k_norm"):
        weights[f"blk.0.{name}.weight"] = np.ones(HEAD, np.float32)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        weights[f"blk.0.{name}.weight"] = values(0.2, WIDTH, WIDTH)
    weights["blk.0.ffn_gate.weight"] = values(0.2, INNER, WIDTH)
    weights["blk.0.ffn_up.weight"] = values(0.2, INNER, WIDTH)
    weights["blk.0.ffn_down.weight"] = values(0.2, WIDTH, INNER)
    head = values(0.3, len(labels), WIDTH)
    weights["cls.output.weight"] = head[::-1] if turned else head
    metadata = {
        "general.architecture": "qwen3",
        "general.type": "model",
        "qwen3.context_length": 256,
        "qwen3.embedding_length": WIDTH,
        "qwen3.feed_forward_length": INNER,
        "qwen3.block_count": 1,
        "qwen3.attention.head_count": HEADS,
        "qwen3.attention.head_count_kv": HEADS,
        "qwen3.attention.key_length": HEAD,
        "qwen3.attention.value_length": HEAD,
        "qwen3.attention.layer_norm_rms_epsilon": 1e-6,
        "qwen3.rope.freq_base": 10000.0,
        "qwen3.pooling_type": 4,
        "qwen3.classifier.output_labels": Strings(labels),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": Strings(tokens),
        "tokenizer.ggml.token_type": Numbers(I32, [*[NORMAL] * (len(tokens) - 1), CONTROL]),
        "tokenizer.ggml.scores": Numbers(F32, [0.0] * len(tokens)),
        "tokenizer.ggml.merges": Strings(["a b"]),
        "tokenizer.ggml.eos_token_id": len(tokens) - 1,
        "tokenizer.chat_template.rerank": PROMPT,
    }
    return write_gguf(path, metadata, weights)


def _byte_tokens() -> list[str]:
    """Each byte as the letter that GPT-2's vocabulary writes for it."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]
