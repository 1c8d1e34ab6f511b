"""A model of each format that the cpu image serves, as folders and files that users have, and what is known of it.

Weights are real where a package carries some (MiniLM, PP-OCR, BlazeFace, SmolLM2), and the scores of the heads beside
MiniLM are those of transformers (tests/reference).
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tools
from minilm_heads import write_minilm_head
from onnx_decoder import smollm2_onnx
from real_gguf import write_adapter
from tiny_classifier import float_tflite
from vision_models import write_orientation_classifier, write_recogniser

from berth_store.convert.encoder import convert_encoder
from e2e.support.manifests import a_model, a_namespace, apply
from e2e.support.programs import berth, berth_environment

FORMATS_NAMESPACE = "formats"


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


def begin_formats(registry: str, gguf: str, home: Path) -> None:
    """Package all of them, push them and apply their Models; and `writer`, the GGUF of that uri with an adapter."""
    environment = berth_environment(home / "berth", registry)
    apply(a_namespace(FORMATS_NAMESPACE))
    for name, sample in SAMPLES.items():
        artifact = f"{registry}/formats/{name}:1"
        berth("package", str(sample.write(home / name)), "--tag", artifact, "--push", environment=environment)
        apply(_small_model(name, f"oci://{artifact}", memory="200Mi"))
    red = f"{registry}/formats/red:1"
    berth("package", str(write_adapter(home / "red.gguf")), "--tag", red, "--push", environment=environment)
    adapters = [{"name": "red", "source": {"uri": f"oci://{red}"}}]
    apply(_small_model("writer", gguf, memory="400Mi", adapters=adapters))


def _small_model(name: str, uri: str, *, memory: str, **spec: Any) -> dict[str, Any]:
    # As users with one small model do: what a pod asks for is said, for nine stand beside the quick start.
    resources = {"requests": {"cpu": "20m", "memory": memory}}
    return a_model(name, FORMATS_NAMESPACE, source={"uri": uri}, resources=resources, **spec)
