"""MiniLM's real weights under heads that a formula gives: a cross-encoder, a classifier and a finder of entities.

The heads are a second shard beside the encoder's own file, which stays as it is. The script that made
tests/reference/minilm_heads.json gives the same weights to transformers.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tiny_classifiers import ENTITY_LABELS, SENTIMENTS
from tiny_encoders import formula_values

HIDDEN = 384
ENCODER, HEAD = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
HEADS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "rerank": ("BertForSequenceClassification", ("LABEL_0",)),
    "sentiment": ("BertForSequenceClassification", SENTIMENTS),
    "entities": ("BertForTokenClassification", ENTITY_LABELS),
}

QUERY = "How many ships came into the harbour?"
DOCUMENTS = (
    "Twelve ships came in on Monday.",
    "Bread is baked from flour, water and salt.",
    "The harbour master wrote down every ship that came in, its cargo and its crew. " * 40,
    "",
    "船は港に入りました。",
)
TEXTS = (
    "Ada Lovelace met Charles Babbage in London.",
    "\U0001f6a2 Jürgen-Uwe sailed from Saint-Malo   to Żabno, didn't he?",
    "antidisestablishmentarianism",
)


def config_of(name: str, source: Path) -> dict[str, object]:
    """MiniLM's own configuration, with the head's class and labels."""
    architecture, labels = HEADS[name]
    config = json.loads((source / "config.json").read_text())
    names = {"id2label": {str(at): label for at, label in enumerate(labels)}}
    ids = {"label2id": {label: at for at, label in enumerate(labels)}}
    return {**config, "architectures": [architecture], **names, **ids}


def head_of(name: str) -> dict[str, NDArray[np.float32]]:
    """The classifier. What all texts have in common must not decide, so there is no bias."""
    labels = len(HEADS[name][1])
    weight = formula_values(f"{name}.classifier.weight", (labels, HIDDEN))
    return {"classifier.weight": weight, "classifier.bias": np.zeros(labels, np.float32)}


def write_minilm_head(folder: Path, name: str, source: Path) -> Path:
    """The folder that such a model would come in; `source` is that of MiniLM."""
    folder.mkdir(parents=True, exist_ok=True)
    for kept in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(source / kept, folder / kept)
    shutil.copyfile(source / "model.safetensors", folder / ENCODER)
    save_file(head_of(name), folder / HEAD)
    (folder / "config.json").write_text(json.dumps(config_of(name, source)))
    shards = dict.fromkeys(load_file(source / "model.safetensors"), ENCODER) | dict.fromkeys(head_of(name), HEAD)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    return folder
