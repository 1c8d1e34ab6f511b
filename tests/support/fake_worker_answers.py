"""What the fake worker engine answers to whatever is no generation: little, and foreseeable. No model, no library.

A document's score is the share of the query's words that it has. A text or picture belongs to the class that its first
byte chooses. A word with a capital letter is an entity. Each picture shows two things, one surely; its text is its own
bytes. A picture that begins with `broken` can't be decoded.
"""

import json
import re

import numpy as np

from berth_runtime.engines.protocol import (
    ClassificationRequest,
    EmbeddingRequest,
    Failure,
    ImageRequest,
    Operation,
    RerankRequest,
    Rows,
)

LABELS = ("cat", "dog", "owl", "bat", "eel", "fox")
Answer = Rows | Failure | bytes


def answer_vectors(request: EmbeddingRequest) -> Rows:
    rows = [[len(each), index, 0.5, -1] for index, each in enumerate(request.inputs)]
    return _rows(rows, sum(len(each) for each in request.inputs))


def answer_rerank(request: RerankRequest) -> Rows:
    wanted = set(request.query.lower().split())
    shares = [len(wanted & set(document.lower().split())) / len(wanted) for document in request.documents]
    return _rows([[share] for share in shares], sum(len(document.split()) for document in request.documents))


def answer_classes(request: ClassificationRequest) -> Rows:
    return _rows([_chosen_by(text.encode()) for text in request.inputs], sum(len(t.split()) for t in request.inputs))


def answer_entities(request: ClassificationRequest) -> bytes:
    return json.dumps(
        [[_entity(found) for found in re.finditer(r"\b[A-Z]\w+", text)] for text in request.inputs]
    ).encode()


def answer_pictures(request: ImageRequest) -> Answer:
    for index, picture in enumerate(request.images):
        if picture.startswith(b"broken"):
            return Failure(400, "invalid_image", f"image[{index}] can't be decoded: it is broken.", "image")
    if request.operation is Operation.IMAGE_CLASSIFICATION:
        return _rows([_chosen_by(picture) for picture in request.images], 0)
    if request.operation is Operation.OBJECT_DETECTION:
        return json.dumps([_scene(picture, request.threshold or 0) for picture in request.images]).encode()
    return json.dumps([{"text": picture[:40].decode("latin-1"), "score": 0.75} for picture in request.images]).encode()


def _rows(rows: list[list[float]], prompt_tokens: int) -> Rows:
    matrix = np.asarray(rows, dtype="<f4")
    return Rows(matrix.tobytes(), matrix.shape[1], prompt_tokens)


def _chosen_by(data: bytes) -> list[float]:
    chosen = data[0] % len(LABELS)
    return [0.75 if index == chosen else 0.05 for index in range(len(LABELS))]


def _entity(found: re.Match[str]) -> dict[str, object]:
    return {"label": "NAME", "score": 0.9, "start": found.start(), "end": found.end(), "text": found[0]}


def _scene(picture: bytes, threshold: float) -> dict[str, object]:
    box = {"x": 1, "y": 2.5, "width": 10, "height": 20}
    seen = [{"label": label, "score": score, "box": box} for label, score in (("cat", 0.9), ("dog", 0.3))]
    found = [each for each in seen if float(str(each["score"])) >= threshold]
    return {"width": len(picture), "height": 480, "objects": found}
