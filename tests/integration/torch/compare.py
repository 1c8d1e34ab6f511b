"""The engine Torch beside transformers itself, in one process: `TORCH_PYTHON compare.py FOLDER` reports on stdout.

It runs in an environment with PyTorch. Of each architecture that `berth_api.engines` names a tiny model is made with
weights by a fixed seed, saved, detected, loaded by the engine and asked; the same files are asked by transformers' own
classes, one text or picture at a time. What is reported is the largest difference, or what went wrong.
"""

import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import tiny_checkpoints as tiny
from PIL import Image
from recorded_reply import RecordedReply

from berth_api.artifact import Task
from berth_runtime.engines import torch as engine_module
from berth_runtime.engines.pictures import Picture, prepare_picture
from berth_runtime.engines.protocol import (
    ClassificationRequest,
    EmbeddingRequest,
    EngineSettings,
    ImageRequest,
    Operation,
    Request,
    RerankRequest,
)
from berth_store.detect import DetectedModel, detect

TEXTS = ("w7", "w8 w9", "w10 w11 w12 w13 w14", "w7 w7 w20 w21 w22 w23 w24 w25 w26 w27")
QUERY, DOCUMENTS = "w9 w8", ("w10", "w11 w12 w13", "w14 w15 w16 w17 w18 w19")


@dataclass(frozen=True)
class Case:
    """One model, the task that it is loaded for, and what transformers' own class says of what the engine is asked."""

    name: str
    task: Task
    build: Callable[[Path], Any]


def cases() -> Iterator[Case]:
    """Each architecture with the tasks that it has classes for."""
    for name in tiny.TEXTS:
        for task in tiny.TEXT_CLASSES:
            yield Case(name, task, lambda folder, name=name, task=task: tiny.write_text_model(folder, name, task))
    for name in tiny.PICTURES:
        yield Case(name, Task.IMAGE_CLASSIFICATION, lambda folder, name=name: tiny.write_picture_model(folder, name))
    for name in tiny.DETECTORS:
        yield Case(name, Task.OBJECT_DETECTION, lambda folder, name=name: tiny.write_detector(folder, name))


def main() -> None:
    """Compare all, and report."""
    root, report = Path(sys.argv[1]), []
    for case in cases():
        begun = time.monotonic()
        folder = root / f"{case.name}-{case.task}"
        line: dict[str, Any] = {"architecture": case.name, "task": case.task}
        try:
            reference = case.build(folder)
            line["difference"] = compare(folder, case.task, reference)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the test is to show
            line["error"] = f"{type(error).__name__}: {error}"
            line["trace"] = traceback.format_exc()[-2000:]
        line["seconds"] = round(time.monotonic() - begun, 2)
        report.append(line)
    json.dump(report, sys.stdout)


def compare(folder: Path, task: Task, reference: Any) -> float:
    """The largest difference between the engine's answers and those of transformers' own model."""
    model = detect(folder, task=task)
    engine = engine_module.create(
        EngineSettings(
            model=model,
            name="tiny",
            task=task,
            threads=2,
            memory_bytes=1 << 30,
            args={"pooling": "mean"} if task is Task.EMBEDDING else {},
        )
    )
    engine.load()
    engine.prove()

    def ask(request: Request) -> RecordedReply:
        reply = RecordedReply()
        engine.submit(request, reply)
        return reply.wait()

    return _COMPARE[task](ask, model, reference)


Ask = Callable[[Request], RecordedReply]


def _embeddings(ask: Ask, model: DetectedModel, reference: Any) -> float:
    found = ask(EmbeddingRequest(TEXTS)).matrix()
    return _worst(found, np.stack([tiny.mean_vector(reference, model.root, text) for text in TEXTS]))


def _ranks(ask: Ask, model: DetectedModel, reference: Any) -> float:
    found = ask(RerankRequest(QUERY, DOCUMENTS)).matrix()
    logits = [tiny.logits(reference, model.root, QUERY, text) for text in DOCUMENTS]
    return _worst(found, 1 / (1 + np.exp(-np.stack(logits))))


def _classes(ask: Ask, model: DetectedModel, reference: Any) -> float:
    found = ask(ClassificationRequest(TEXTS)).matrix()
    return _worst(found, np.stack([_softmax(tiny.logits(reference, model.root, text)) for text in TEXTS]))


def _entities(ask: Ask, model: DetectedModel, reference: Any) -> float:
    (chunk,) = ask(ClassificationRequest(TEXTS)).chunks
    worst = 0.0
    for text, found in zip(TEXTS, json.loads(chunk), strict=True):
        wanted = tiny.entities(reference, model.root, text)
        assert [each["label"] for each in found] == [label for label, _ in wanted], text
        worst = max([worst, *(abs(each["score"] - score) for each, (_, score) in zip(found, wanted, strict=True))])
    return worst


def _picture_classes(ask: Ask, model: DetectedModel, reference: Any) -> float:
    """What transformers says, and of what, is left beside the model: `test_served` asks the same over HTTP."""
    pngs = tuple(map(_png, tiny.pictures()))
    wanted = np.stack([_softmax(_outputs(model, reference, each)["logits"]) for each in tiny.pictures()])
    np.save(model.root / "reference.npy", wanted)
    for number, png in enumerate(pngs):
        (model.root / f"picture-{number}.png").write_bytes(png)
    return _worst(ask(ImageRequest(Operation.IMAGE_CLASSIFICATION, pngs)).matrix(), wanted)


def _objects(ask: Ask, model: DetectedModel, reference: Any) -> float:
    (chunk,) = ask(ImageRequest(Operation.OBJECT_DETECTION, tuple(map(_png, tiny.pictures())), 0.0)).chunks
    worst = 0.0
    for picture, found in zip(tiny.pictures(), json.loads(chunk), strict=True):
        outputs = _outputs(model, reference, picture)
        wanted = tiny.objects(outputs, len(model.labels), picture.size)
        assert len(found["objects"]) == len(wanted), (len(found["objects"]), len(wanted))
        scores = [each["score"] for each in found["objects"]]
        worst = max(worst, _worst(np.array(scores), np.array([score for score, _ in wanted])))
        for each, (_, box) in zip(found["objects"], wanted, strict=True):
            rounded = [each["box"][side] for side in ("x", "y", "width", "height")]
            assert np.abs(np.array(rounded) - box).max() < 0.02, "boxes are rounded to hundredths of a pixel"
    return worst


def _outputs(model: DetectedModel, reference: Any, picture: Image.Image) -> dict[str, Any]:
    assert model.picture is not None
    return tiny.outputs(reference, prepare_picture(Picture(picture), model.picture).tensor)


def _png(picture: Image.Image) -> bytes:
    content = BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def _softmax(logits: Any) -> Any:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def _worst(found: Any, wanted: Any) -> float:
    assert found.shape == wanted.shape, (found.shape, wanted.shape)
    return float(np.abs(found - wanted).max())


_COMPARE = {
    Task.EMBEDDING: _embeddings,
    Task.RERANK: _ranks,
    Task.TEXT_CLASSIFICATION: _classes,
    Task.TOKEN_CLASSIFICATION: _entities,
    Task.IMAGE_CLASSIFICATION: _picture_classes,
    Task.OBJECT_DETECTION: _objects,
}

if __name__ == "__main__":
    main()
