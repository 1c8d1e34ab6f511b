"""Make minilm_heads.json: what transformers with torch says about the models of tests/support/minilm_heads.py.

Run once in tests/reference, in an environment of its own that has torch, transformers and safetensors, with the folder
of MiniLM's weights:

    PYTHONPATH=../support python make_minilm_heads_reference.py FOLDER > minilm_heads.json
"""

import hashlib
import importlib.metadata
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from make_classifier_reference import entities_in, scores_of
from minilm_heads import DOCUMENTS, HEADS, QUERY, TEXTS, config_of, head_of
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer, pipeline


def main() -> None:
    source = Path(sys.argv[1])
    cases = {name: answers_of(name, source) for name in HEADS}
    made_with = {name: importlib.metadata.version(name) for name in ("transformers", "torch")}
    digest = hashlib.sha256((source / "model.safetensors").read_bytes()).hexdigest()
    json.dump({"made_with": made_with, "model_safetensors_sha256": digest, "cases": cases}, sys.stdout, indent=1)
    print()


def answers_of(name: str, source: Path) -> Any:
    kind = AutoModelForTokenClassification if name == "entities" else AutoModelForSequenceClassification
    with tempfile.TemporaryDirectory() as folder:
        write_as_transformers_does(Path(folder), name, source)
        model, loading = kind.from_pretrained(folder, attn_implementation="eager", output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    if loading["missing_keys"]:
        sys.exit(f"{name}: {loading}")
    model.eval()
    if name == "entities":
        return {way: entities_in(TEXTS, model, tokenizer, way) for way in ("simple", "first")}
    if name == "rerank":
        return scores_of(QUERY, DOCUMENTS, model, tokenizer, max_length=512)
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)
    answers = [{each["label"]: each["score"] for each in answer} for answer in classify(list(TEXTS))]
    return [[answer[model.config.id2label[at]] for at in range(model.config.num_labels)] for answer in answers]


def write_as_transformers_does(folder: Path, name: str, source: Path) -> None:
    """All tensors in one file, those of the encoder with the prefix that the class round it has."""
    for kept in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(source / kept, folder / kept)
    (folder / "config.json").write_text(json.dumps(config_of(name, source)))
    encoder = {f"bert.{tensor}": array for tensor, array in load_file(source / "model.safetensors").items()}
    save_file(encoder | head_of(name), folder / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
