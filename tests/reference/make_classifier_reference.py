"""Make tiny_classifiers.json: what transformers with torch says about the models of tests/support/tiny_classifiers.py.

Run once, in an environment of its own that has torch, transformers and safetensors:

    PYTHONPATH=tests/support python tests/reference/make_classifier_reference.py > tests/reference/tiny_classifiers.json
"""

import importlib.metadata
import json
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tiny_classifiers import CLASSIFIERS, DOCUMENTS, LONG_QUERY, QUERY, TEXTS, write_tiny_classifier
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer, pipeline


def main() -> None:
    cases = {}
    for name in CLASSIFIERS:
        with tempfile.TemporaryDirectory() as folder:
            write_tiny_classifier(Path(folder), name)
            cases[name] = answers_of(name, folder)
    made_with = {name: importlib.metadata.version(name) for name in ("transformers", "torch")}
    rows = ",\n".join(f'  "{name}": {json.dumps(rows)}' for name, rows in cases.items())
    print(f'{{"made_with": {json.dumps(made_with)},\n"cases": {{\n{rows}\n}}}}')


def answers_of(name: str, folder: str) -> Any:
    kind = AutoModelForTokenClassification if name.endswith("entities") else AutoModelForSequenceClassification
    model, loading = kind.from_pretrained(
        folder, attn_implementation="eager", output_loading_info=True, dtype=torch.float32
    )
    if loading["missing_keys"] or loading["unexpected_keys"]:
        sys.exit(f"{name}: {loading}")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model.eval()
    if name.endswith("entities"):
        return {way: entities_in(TEXTS, model, tokenizer, way) for way in ("simple", "first")}
    if "rerank" in name:
        queries = {"scores": QUERY, "of the long query": LONG_QUERY}
        return {key: scores_of(query, DOCUMENTS, model, tokenizer, max_length=16) for key, query in queries.items()}
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)
    order = [model.config.id2label[at] for at in range(model.config.num_labels)]
    answers = [{each["label"]: each["score"] for each in answer} for answer in classify(list(TEXTS))]
    return {"probabilities": [[answer[label] for label in order] for answer in answers]}


def scores_of(query: str, documents: Sequence[str], model: Any, tokenizer: Any, *, max_length: int) -> list[float]:
    """As the CrossEncoder of sentence-transformers asks: pairs, padded, the longest first truncated; then 0 to 1."""
    pairs = [(query, document) for document in documents]
    features = tokenizer(pairs, padding=True, truncation=True, max_length=max_length, return_tensors="pt")
    with torch.no_grad():
        logits = model(**features).logits
    found = torch.sigmoid(logits[:, 0]) if logits.shape[1] == 1 else torch.softmax(logits, dim=1)[:, 1]
    return [float(value) for value in found]


def entities_in(texts: Sequence[str], model: Any, tokenizer: Any, way: str) -> list[list[dict[str, Any]]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        find = pipeline("token-classification", model=model, tokenizer=tokenizer, aggregation_strategy=way)
        found = [find(text) for text in texts]
    return [
        [
            {
                "label": each["entity_group"],
                "score": float(each["score"]),
                "start": int(each["start"]),
                "end": int(each["end"]),
            }
            for each in text
        ]
        for text in found
    ]


if __name__ == "__main__":
    main()
