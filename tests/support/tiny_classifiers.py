"""Cross-encoders and classifiers of a few kilobytes: the encoders of `tiny_encoders` with heads that a formula gives.

The script that made tests/reference/tiny_classifiers.json reads the same folders with transformers.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tiny_encoders import CONFIGS, HIDDEN, VOCABULARY, formula_values, tiny_weights
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

SENTIMENTS = ("negative", "neutral", "positive")
ENTITY_LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def _config(family: str, head: str, labels: tuple[str, ...], **more: object) -> Mapping[str, object]:
    prefix = {"bert": "Bert", "roberta": "Roberta", "distilbert": "DistilBert", "xlm-roberta": "XLMRoberta"}[family]
    encoder = CONFIGS["roberta" if family == "xlm-roberta" else family]
    names = {"id2label": {str(at): label for at, label in enumerate(labels)}}
    ids = {"label2id": {label: at for at, label in enumerate(labels)}}
    return {**encoder, "model_type": family, "architectures": [f"{prefix}For{head}"], **names, **ids, **more}


_SEQUENCE, _TOKEN = "SequenceClassification", "TokenClassification"
CLASSIFIERS: Mapping[str, Mapping[str, object]] = {
    "bert-rerank": _config("bert", _SEQUENCE, ("LABEL_0",)),
    "roberta-rerank": _config("roberta", _SEQUENCE, ("LABEL_0",)),
    "xlm-roberta-rerank": _config("xlm-roberta", _SEQUENCE, ("LABEL_0",)),
    "distilbert-rerank": _config("distilbert", _SEQUENCE, ("LABEL_0",)),
    "bert-rerank-no-yes": _config(
        "bert", _SEQUENCE, ("no", "yes"), sentence_transformers={"activation_fn": "torch.nn.modules.linear.Identity"}
    ),
    "bert-sentiment": _config("bert", _SEQUENCE, SENTIMENTS),
    "roberta-sentiment": _config("roberta", _SEQUENCE, SENTIMENTS),
    "distilbert-sentiment": _config("distilbert", _SEQUENCE, SENTIMENTS, problem_type="single_label_classification"),
    "bert-topics": _config("bert", _SEQUENCE, SENTIMENTS, problem_type="multi_label_classification"),
    "bert-entities": _config("bert", _TOKEN, ENTITY_LABELS),
    "roberta-entities": _config("roberta", _TOKEN, ENTITY_LABELS),
    "distilbert-entities": _config("distilbert", _TOKEN, ENTITY_LABELS),
}

QUERY = "w7 w8w31"
# The third is cut: with the query it has more than the longest sequence.
DOCUMENTS = ("w9", "w10 w11w32w33 w12", "w13 " * 40, "", "w7 w8w31")
LONG_QUERY = "w14 " * 60
# White space, punctuation, an unknown word, letters that take several code units, capitals: all move offsets.
TEXTS = (
    "w7 w8w31 w9",
    "W10w32  w11, w12w33w34!",
    "\U0001f6a2 w13 zz w14w35 \u00e9 w15",
    "w16 w17 w18w36 w19 w20w37w38 w21",
    "w22",
)


def head_weights(config: Mapping[str, object]) -> dict[str, NDArray[np.float32]]:
    """Every tensor above the encoder, by the names of transformers."""
    labels = config["label2id"]
    assert isinstance(labels, Mapping)
    architecture = str(config["architectures"])
    shapes: dict[str, tuple[int, int]] = {"classifier": (len(labels), HIDDEN)}
    if _SEQUENCE in architecture:
        square = (HIDDEN, HIDDEN)
        match config["model_type"]:
            case "bert":
                shapes["bert.pooler.dense"] = square
            case "distilbert":
                shapes["pre_classifier"] = square
            case _:
                shapes = {"classifier.dense": square, "classifier.out_proj": shapes["classifier"]}
    weights = {f"{name}.weight": formula_values(f"{name}.weight", shape) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": formula_values(f"{name}.bias", shape[:1]) for name, shape in shapes.items()}
    # Larger than those of the encoder, so that the classes come out far from one another.
    weights = {name: array * 2 for name, array in weights.items()}
    if _TOKEN in architecture:
        # What all tokens have in common must not decide, else all are of one class.
        distil = config["model_type"] == "distilbert"
        last = "transformer.layer.1.output_layer_norm" if distil else "encoder.layer.1.output.LayerNorm"
        weights["classifier.bias"] = -weights["classifier.weight"] @ formula_values(f"{last}.bias", (HIDDEN,))
    return weights


def write_tiny_classifier(folder: Path, name: str, **changes: object) -> Path:
    """The folder that such a model would come in: `config.json`, `model.safetensors`, `tokenizer.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {**CLASSIFIERS[name], **changes}
    (folder / "config.json").write_text(json.dumps(config))
    model_type = str(config["model_type"])
    prefix = "roberta." if model_type == "xlm-roberta" else f"{model_type}."
    encoder = {f"{prefix}{tensor}": array for tensor, array in tiny_weights(config).items()}
    save_file(encoder | head_weights(config), folder / "model.safetensors")
    write_pair_tokenizer(folder, model_type)
    return folder


def write_pair_tokenizer(folder: Path, model_type: str) -> None:
    """A `tokenizer.json` that takes pairs.

    That of BERT has pieces of words, as `##w31`, and tells the texts of a pair apart; that of RoBERTa has neither.
    """
    tokenizer = _roberta_tokenizer() if "roberta" in model_type else _bert_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    inputs = (
        ["input_ids", "token_type_ids", "attention_mask"] if model_type == "bert" else ["input_ids", "attention_mask"]
    )
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 16,
        "model_input_names": inputs,
        **marks,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _bert_tokenizer() -> Tokenizer:
    marks = {"[PAD]": 0, "[UNK]": 1, "[SEP]": 3, "[CLS]": 5}
    words = {f"w{number}": number for number in range(31) if number not in marks.values()}
    pieces = {f"##w{number}": number for number in range(31, VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(marks | words | pieces, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 5), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens(list(marks))
    return tokenizer


def _roberta_tokenizer() -> Tokenizer:
    marks = {"[UNK]": 0, "[PAD]": 1, "[SEP]": 3, "[CLS]": 5}
    words = {f"w{number}": number for number in range(VOCABULARY) if number not in marks.values()}
    tokenizer = Tokenizer(models.WordLevel(marks | words, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    parts = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(r"w\d+"), "isolated")]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 5), ("[SEP]", 3)],
    )
    tokenizer.add_special_tokens(list(marks))
    return tokenizer
