"""A model of each format that the cpu image serves, as folders and files that users have, and what is known of it.

Weights are real where a package carries some (MiniLM, PP-OCR, BlazeFace, SmolLM2), and the scores of the heads beside
MiniLM are those of transformers (tests/reference).
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import tools
from minilm_heads import write_minilm_head
from onnx_decoder import smollm2_onnx
from tiny_classifier import float_tflite
from vision_models import write_orientation_classifier, write_recogniser

from berth_store.convert.encoder import convert_encoder


@dataclass(frozen=True)
class Sample:
    """One model: how its folder or file is made below a folder, and what its status must say."""

    write: Callable[[Path], Path]
    engine: str
    format: str
    task: str


def minilm() -> Path:
    """The folder with MiniLM's weights."""
    found = tools.find("minilm")
    assert found is not None, tools.why_missing("minilm")
    return found.parent


def _encoder(folder: Path) -> Path:
    """MiniLM as it was published: safetensors, its pooling beside them."""
    return Path(shutil.copytree(minilm(), folder))


def _ranker(folder: Path) -> Path:
    source = write_minilm_head(folder / "source", "rerank", minilm())
    return convert_encoder(source, folder / "onnx").parent


def _stripes(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "stripes.tflite").write_bytes(float_tflite())
    return folder / "stripes.tflite"


def _faces(folder: Path) -> Path:
    found = tools.find("blazeface")
    assert found is not None, tools.why_missing("blazeface")
    folder.mkdir(parents=True)
    return Path(shutil.copy(found, folder / "faces.tflite"))


SAMPLES: Mapping[str, Sample] = {
    "encoder": Sample(_encoder, "OnnxRuntime", "Safetensors", "Embedding"),
    "ranker": Sample(_ranker, "OnnxRuntime", "ONNX", "Rerank"),
    "moods": Sample(
        lambda folder: write_minilm_head(folder, "sentiment", minilm()),
        "OnnxRuntime",
        "Safetensors",
        "TextClassification",
    ),
    "reader": Sample(write_recogniser, "OnnxRuntime", "ONNX", "TextRecognition"),
    "upright": Sample(write_orientation_classifier, "OnnxRuntime", "ONNX", "ImageClassification"),
    "counter": Sample(lambda _: smollm2_onnx(), "OnnxRuntime", "ONNX", "Chat"),
    "stripes": Sample(_stripes, "LiteRT", "TFLite", "ImageClassification"),
    "faces": Sample(_faces, "LiteRT", "TFLite", "ObjectDetection"),
}
