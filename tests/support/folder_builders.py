"""Writes folders as models come in: files under their names, and the settings of sentence-transformers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SENTENCE_MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]


def write_files(folder: Path, files: Mapping[str, Any]) -> Path:
    """Write texts, bytes and JSON values under their names."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def as_bytes(files: Mapping[str, Any]) -> dict[str, bytes]:
    """The same files as what they hold on disk."""
    return {
        name: content
        if isinstance(content, bytes)
        else (content if isinstance(content, str) else json.dumps(content)).encode()
        for name, content in files.items()
    }


def files_in(folder: Path, pattern: str = "*") -> dict[str, bytes]:
    """The files of a folder, and of those below, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob(pattern) if path.is_file()}


def sentence_files(**pooling: bool) -> dict[str, Any]:
    """The settings of a sentence-transformers model; without `pooling`, the mean."""
    return {
        "config.json": {"architectures": ["BertModel"], "model_type": "bert", "max_position_embeddings": 512},
        "modules.json": SENTENCE_MODULES,
        "1_Pooling/config.json": {
            "word_embedding_dimension": 8,
            **(pooling or {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}),
        },
        "sentence_bert_config.json": {"max_seq_length": 256, "do_lower_case": False},
        "tokenizer.json": {},
    }
