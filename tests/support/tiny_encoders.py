"""Encoders of a few kilobytes with weights that a formula gives, so that no weights are kept in the repository.

`write_tiny_encoder` makes the folder that a real encoder would come in. The script that made
tests/reference/tiny_encoders.json reads the same folders with transformers.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

VOCABULARY, HIDDEN, INNER, LAYERS, HEADS, POSITIONS = 40, 8, 12, 2, 2, 20

_SIZES = {"vocab_size": VOCABULARY, "max_position_embeddings": POSITIONS}
_BERT_SIZES = _SIZES | {
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "layer_norm_eps": 1e-5,
}

# Configurations by the name that tiny_encoders.json uses.
CONFIGS: Mapping[str, Mapping[str, object]] = {
    "bert": _BERT_SIZES | {"model_type": "bert", "hidden_act": "gelu", "type_vocab_size": 2, "pad_token_id": 0},
    "bert-gelu-new": _BERT_SIZES | {"model_type": "bert", "hidden_act": "gelu_new", "type_vocab_size": 2},
    "bert-relu": _BERT_SIZES | {"model_type": "bert", "hidden_act": "relu", "type_vocab_size": 2},
    "bert-silu": _BERT_SIZES | {"model_type": "bert", "hidden_act": "silu", "type_vocab_size": 2},
    "roberta": _BERT_SIZES | {"model_type": "roberta", "hidden_act": "gelu", "type_vocab_size": 1, "pad_token_id": 1},
    "distilbert": _SIZES
    | {"model_type": "distilbert", "dim": HIDDEN, "hidden_dim": INNER, "n_layers": LAYERS, "n_heads": HEADS}
    | {"activation": "gelu", "pad_token_id": 0},
}

# Two sequences, the second one shorter: 0 in the mask is padding.
MASK = [[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0]]


def input_ids(config: Mapping[str, object]) -> list[list[int]]:
    """Token ids for `MASK`, with the configuration's own padding id."""
    padding = config.get("pad_token_id", 0)
    assert isinstance(padding, int)
    return [[5, 9, 2, 30, 39, 7, 3], [5, 17, 21, 3, padding, padding, padding]]


def tiny_weights(config: Mapping[str, object]) -> dict[str, NDArray[np.float32]]:
    """Every tensor that the family's model has, without the pooler, by the names of transformers."""
    distil = config["model_type"] == "distilbert"
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (VOCABULARY, HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.LayerNorm.weight": (HIDDEN,),
        "embeddings.LayerNorm.bias": (HIDDEN,),
    }
    types = config.get("type_vocab_size")
    if isinstance(types, int):
        shapes["embeddings.token_type_embeddings.weight"] = (types, HIDDEN)
    for layer in range(LAYERS):
        shapes |= _distilbert_layer(layer) if distil else _bert_layer(layer)
    return {name: formula_values(name, shape) for name, shape in shapes.items()}


def write_tiny_encoder(
    folder: Path, config: Mapping[str, object], weights: Mapping[str, NDArray[Any]] | None = None
) -> Path:
    """Write `config.json` and `model.safetensors`, with the weights of the formula unless others are given."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(dict(weights or tiny_weights(config)), folder / "model.safetensors")
    return folder


# The tokenizer's marks, by the ids that `input_ids` uses; every other id is the word "w" with its number.
MARKS = {"[PAD]": 0, "[UNK]": 1, "[SEP]": 3, "[CLS]": 5}


def write_tiny_tokenizer(folder: Path) -> Path:
    """Write a `tokenizer.json` of whole words, which stands between its marks whatever is embedded.

    As real ones do, it asks for padding and truncation, which an engine must not do for every text.
    """
    folder.mkdir(parents=True, exist_ok=True)
    words = {f"w{number}": number for number in range(VOCABULARY) if number not in MARKS.values()}
    tokenizer = Tokenizer(models.WordLevel(MARKS | words, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    marks = [(mark, MARKS[mark]) for mark in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    tokenizer.enable_padding(length=12, pad_id=MARKS["[PAD]"])
    tokenizer.enable_truncation(6)
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def write_sentence_modules(folder: Path, *, pooling: str = "mean_tokens", normalize: bool = True) -> Path:
    """Write what makes an encoder a sentence-transformers model; `pooling` is the end of the mode's name."""
    kinds = ["Transformer", "Pooling"] + ["Normalize"] * normalize
    modules = [
        {
            "idx": at,
            "name": str(at),
            "path": f"{at}_{kind}" if at else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for at, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    settings = {"word_embedding_dimension": HIDDEN, f"pooling_mode_{pooling}": True}
    (folder / "1_Pooling/config.json").write_text(json.dumps(settings))
    return folder


def _bert_layer(layer: int) -> dict[str, tuple[int, ...]]:
    start = f"encoder.layer.{layer}."
    square = [f"attention.self.{name}" for name in ("query", "key", "value")] + ["attention.output.dense"]
    return (
        _linears(start, dict.fromkeys(square, (HIDDEN, HIDDEN)))
        | _linears(start, {"intermediate.dense": (INNER, HIDDEN), "output.dense": (HIDDEN, INNER)})
        | _norms(start, "attention.output.LayerNorm", "output.LayerNorm")
    )


def _distilbert_layer(layer: int) -> dict[str, tuple[int, ...]]:
    start = f"transformer.layer.{layer}."
    square = [f"attention.{name}" for name in ("q_lin", "k_lin", "v_lin", "out_lin")]
    return (
        _linears(start, dict.fromkeys(square, (HIDDEN, HIDDEN)))
        | _linears(start, {"ffn.lin1": (INNER, HIDDEN), "ffn.lin2": (HIDDEN, INNER)})
        | _norms(start, "sa_layer_norm", "output_layer_norm")
    )


def _linears(start: str, shapes: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, ...]]:
    weights: dict[str, tuple[int, ...]] = {f"{start}{name}.weight": shape for name, shape in shapes.items()}
    return weights | {f"{start}{name}.bias": (shape[0],) for name, shape in shapes.items()}


def _norms(start: str, *names: str) -> dict[str, tuple[int, ...]]:
    return {f"{start}{name}.{part}": (HIDDEN,) for name in names for part in ("weight", "bias")}


def formula_values(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Numbers that depend on the name alone; a normalisation's weights are about 1."""
    # RandomState promises the same numbers in every version of numpy, default_rng does not.
    values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    return (values * 0.5 + (1.0 if "norm.weight" in name.lower() else 0.0)).astype(np.float32)
