"""Real weights as GGUF files of other sorts: MiniLM as an encoder and a reranker, SmolLM2 in shards, an adapter for it.

They are written byte by byte by `gguf_builders`, in a second or less, from the weights that the tests have anyway.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf_builders import F32, I32, U16, Numbers, Strings, Tensor, Written, gguf
from numpy.typing import NDArray
from safetensors.numpy import load_file

from berth_store.headers.gguf import read_gguf
from berth_store.headers.gguf_header import GgufTensor
from berth_store.headers.gguf_types import TENSOR_TYPES

Floats = NDArray[np.float32]
Weights = Mapping[str, Floats]

NORMAL, UNKNOWN, CONTROL = 1, 2, 3
_WORD_START = "▁"
_MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_OUTER = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm": "token_embd_norm",
}
_LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
POOLING_MEAN, POOLING_RANK = 1, 4
SPLIT_PAIRS = 3


def write_gguf(path: Path, metadata: Mapping[str, Any] | Sequence[tuple[str, Any]], weights: Weights) -> Path:
    """A file with these weights in 32 bits; a matrix has its rows as numpy has them."""
    tensors = [Tensor(name, tuple(reversed(values.shape))) for name, values in weights.items()]
    data = b"".join(_padded(np.ascontiguousarray(values, dtype="<f4").tobytes()) for values in weights.values())
    path.write_bytes(bytes(gguf(metadata, tensors, data=data).content))
    return path


def write_minilm(path: Path, folder: Path, **changes: Any) -> Path:
    """MiniLM as llama.cpp's own conversion writes it, from the folder with its safetensors."""
    metadata = {**_bert_metadata(folder, pooling=POOLING_MEAN), **_dotted(changes)}
    return write_gguf(path, metadata, _bert_weights(folder))


@dataclass(frozen=True)
class RankingHead:
    """The two layers that make a score out of the first token's vector, as RoBERTa's classifiers have them."""

    dense: Floats
    dense_bias: Floats
    out: Floats
    out_bias: Floats

    def logit(self, hidden: Floats) -> float:
        """What the head says of a first token's vector."""
        return float((self.out @ np.tanh(self.dense @ hidden + self.dense_bias) + self.out_bias)[0])


def a_head(width: int) -> RankingHead:
    """A head of which nothing is known but that its scores differ."""
    chance = np.random.RandomState(7)
    return RankingHead(
        dense=_by_chance(chance, 0.3, (width, width)),
        dense_bias=_by_chance(chance, 0.1, (width,)),
        out=_by_chance(chance, 0.2, (1, width)),
        out_bias=_by_chance(chance, 0.1, (1,)),
    )


def write_reranker(path: Path, folder: Path, head: RankingHead) -> Path:
    """MiniLM with a ranking head."""
    weights = {
        **_bert_weights(folder),
        "cls.weight": head.dense,
        "cls.bias": head.dense_bias,
        "cls.output.weight": head.out,
        "cls.output.bias": head.out_bias,
    }
    return write_gguf(path, _bert_metadata(folder, pooling=POOLING_RANK), weights)


def write_shards(whole: Path, folder: Path, count: int) -> list[Path]:
    """A model split as llama.cpp's own tool does: all metadata in the first file, the tensors in their order."""
    content, header = whole.read_bytes(), read_gguf(whole)
    pairs = content[24 : content.index(_start_of_entry(header.tensors[0]))]
    (pair_count,) = struct.unpack_from("<Q", content, 16)
    paths = []
    for number, group in enumerate(np.array_split(np.arange(len(header.tensors)), count)):
        tensors = [header.tensors[index] for index in group]
        starts = [header.data_offset + tensor.offset for tensor in tensors]
        data = [content[at : at + each.length_bytes] for at, each in zip(starts, tensors, strict=True)]
        split = _split_pairs(number, count, len(header.tensors))
        first = number == 0
        path = folder / f"{whole.stem}-{number + 1:05}-of-{count:05}.gguf"
        path.write_bytes(_shard(pairs * first + split, pair_count * first + SPLIT_PAIRS, tensors, data))
        paths.append(path)
    return paths


def write_adapter(path: Path, *, layers: int = 30, width: int = 576, inner: int = 1536, seed: int = 3) -> Path:
    """A LoRA of rank 4 for SmolLM2 that changes what its layers write, by chance and so that everybody sees it."""
    chance = np.random.RandomState(seed)
    weights = {}
    for layer in range(layers):
        weights[f"blk.{layer}.ffn_down.weight.lora_a"] = _by_chance(chance, 0.1, (4, inner))
        weights[f"blk.{layer}.ffn_down.weight.lora_b"] = _by_chance(chance, 0.1, (width, 4))
    metadata = {
        "general.architecture": "llama",
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": 4.0,
    }
    return write_gguf(path, metadata, weights)


def write_projector(path: Path, *, width: int = 32, out: int = 576, seed: int = 11) -> Path:
    """The eyes of LLaVA in small, for a model of `out` numbers a token: they see four patches, and know nothing."""
    chance = np.random.RandomState(seed)
    side, patch, inner, blocks = 28, 14, 64, 2
    weights = {
        "v.patch_embd.weight": _by_chance(chance, 0.1, (width, 3, patch, patch)),
        "v.position_embd.weight": _by_chance(chance, 0.1, ((side // patch) ** 2, width)),
        "mm.0.weight": _by_chance(chance, 0.2, (inner, width)),
        "mm.0.bias": _by_chance(chance, 0.1, (inner,)),
        "mm.2.weight": _by_chance(chance, 0.2, (out, inner)),
        "mm.2.bias": _by_chance(chance, 0.1, (out,)),
    }
    for block in range(blocks):
        start = f"v.blk.{block}"
        for name, shape in (("ffn_up", (inner, width)), ("ffn_down", (width, inner))):
            weights[f"{start}.{name}.weight"] = _by_chance(chance, 0.2, shape)
            weights[f"{start}.{name}.bias"] = _by_chance(chance, 0.1, shape[:1])
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            weights[f"{start}.{name}.weight"] = _by_chance(chance, 0.2, (width, width))
            weights[f"{start}.{name}.bias"] = _by_chance(chance, 0.1, (width,))
        for name in ("ln1", "ln2"):
            weights[f"{start}.{name}.weight"] = np.ones(width, np.float32)
            weights[f"{start}.{name}.bias"] = np.zeros(width, np.float32)
    metadata = {
        "general.architecture": "clip",
        "general.type": "mmproj",
        "clip.has_vision_encoder": True,
        "clip.projector_type": "mlp",
        "clip.use_gelu": True,
        "clip.vision.image_size": side,
        "clip.vision.patch_size": patch,
        "clip.vision.embedding_length": width,
        "clip.vision.feed_forward_length": inner,
        "clip.vision.projection_dim": out,
        "clip.vision.block_count": blocks,
        "clip.vision.attention.head_count": 2,
        "clip.vision.attention.layer_norm_epsilon": 1e-5,
        "clip.vision.image_mean": Numbers(F32, [0.5] * 3),
        "clip.vision.image_std": Numbers(F32, [0.5] * 3),
    }
    return write_gguf(path, metadata, weights)


def _split_pairs(number: int, count: int, tensors: int) -> bytes:
    """The metadata that make a file one of several."""
    out = Written()
    for key, kind, code, value in (
        ("split.no", U16, "H", number),
        ("split.count", U16, "H", count),
        ("split.tensors.count", I32, "i", tensors),
    ):
        out.text(key)
        out.add("I" + code, kind, value)
    return bytes(out.content)


def _shard(pairs: bytes, pair_count: int, tensors: Sequence[GgufTensor], data: Sequence[bytes]) -> bytes:
    """A file whose metadata are bytes already."""
    out = Written()
    out.raw(b"GGUF")
    out.add("IQQ", 3, len(tensors), pair_count)
    out.raw(pairs)
    offset = 0
    for tensor, content in zip(tensors, data, strict=True):
        out.raw(_start_of_entry(tensor))
        out.add(f"{len(tensor.shape)}QIQ", *tensor.shape, _NUMBERS[tensor.type], offset)
        offset += len(_padded(content))
    return _padded(bytes(out.content)) + b"".join(map(_padded, data))


_NUMBERS = {kind: number for number, kind in TENSOR_TYPES.items()}


def _start_of_entry(tensor: GgufTensor) -> bytes:
    name = tensor.name.encode()
    return struct.pack("<Q", len(name)) + name + struct.pack("<I", len(tensor.shape))


def _by_chance(chance: np.random.RandomState, scale: float, shape: tuple[int, ...]) -> Floats:
    # RandomState promises the same numbers in every version of numpy, default_rng does not.
    return (scale * chance.standard_normal(shape)).astype(np.float32)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 32)


def _bert_metadata(folder: Path, *, pooling: int) -> dict[str, Any]:
    config = json.loads((folder / "config.json").read_text())
    words = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    kinds = [CONTROL if word in _MARKS else NORMAL for word in words]
    kinds[words.index("[UNK]")] = UNKNOWN
    return {
        "general.architecture": "bert",
        "general.type": "model",
        "general.name": "all-MiniLM-L6-v2",
        "general.file_type": 0,
        "bert.context_length": config["max_position_embeddings"],
        "bert.embedding_length": config["hidden_size"],
        "bert.feed_forward_length": config["intermediate_size"],
        "bert.block_count": config["num_hidden_layers"],
        "bert.attention.head_count": config["num_attention_heads"],
        "bert.attention.layer_norm_epsilon": config["layer_norm_eps"],
        "bert.attention.causal": False,
        "bert.pooling_type": pooling,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.pre": "jina-v2-en",
        "tokenizer.ggml.token_type_count": config["type_vocab_size"],
        "tokenizer.ggml.tokens": Strings([_phantom_space(word) for word in words]),
        "tokenizer.ggml.token_type": Numbers(I32, kinds),
        "tokenizer.ggml.unknown_token_id": words.index("[UNK]"),
        "tokenizer.ggml.seperator_token_id": words.index("[SEP]"),  # so the format spells it
        "tokenizer.ggml.padding_token_id": words.index("[PAD]"),
        "tokenizer.ggml.cls_token_id": words.index("[CLS]"),
        "tokenizer.ggml.mask_token_id": words.index("[MASK]"),
    }


def _phantom_space(word: str) -> str:
    """Pieces are marked where they begin a word, not where they go on with one."""
    if word in _MARKS or (word.startswith("[unused") and word.endswith("]")):
        return word
    return word.removeprefix("##") if word.startswith("##") else _WORD_START + word


def _bert_weights(folder: Path) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    for name, values in load_file(folder / "model.safetensors").items():
        ours = _bert_name(name)
        if ours is not None:
            found[ours] = values.astype(np.float32)
    return found


def _bert_name(name: str) -> str | None:
    for theirs, ours in _OUTER.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    if not name.startswith("encoder.layer."):
        return None
    layer, rest = name.removeprefix("encoder.layer.").split(".", 1)
    part, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{_LAYER[part]}.{kind}"


def _dotted(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {key.replace("__", "."): value for key, value in changes.items()}
