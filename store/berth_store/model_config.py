"""The config blob of a model artifact, which tells of the weights: written and read in Docker's form and ModelPack's.

Pure. `berth_store.package` builds one; `Store.list` and `berth_store.inspection` read them. What is read here is for
people only: an engine is chosen by what detection finds in the files themselves.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from berth_api.artifact import Artifact, Format, Task
from berth_store.digest import Digest
from berth_store.manifest import canonical_json
from berth_store.mediatypes import ANNOTATION_LICENSES

# Docker's names for the formats; it knows neither ONNX nor TFLite, whose names here are ours.
_FORMAT_NAMES = {
    Format.GGUF: "gguf",
    Format.SAFETENSORS: "safetensors",
    Format.ONNX: "onnx",
    Format.PYTORCH: "pytorch",
    Format.TFLITE: "tflite",
}
# What a GGUF may hold without being quantized.
_PRECISIONS = frozenset({"F64", "F32", "F16", "BF16"})
_MODALITIES = {
    Task.EMBEDDING: (["text"], ["embedding"]),
    Task.RERANK: (["text"], ["other"]),
    Task.TEXT_CLASSIFICATION: (["text"], ["other"]),
    Task.TOKEN_CLASSIFICATION: (["text"], ["other"]),
    Task.IMAGE_CLASSIFICATION: (["image"], ["other"]),
    Task.OBJECT_DETECTION: (["image"], ["other"]),
    Task.TEXT_RECOGNITION: (["image"], ["text"]),
}
_MAX_LICENSES = 16
_FORMATS = {name: known for known, name in _FORMAT_NAMES.items()}
_COUNT = re.compile(r"\s*(\d{1,12}(?:\.\d{1,6})?)\s*([KMBT]?)\s*", re.IGNORECASE)
_MAGNITUDES = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


@dataclass(frozen=True)
class ConfigFacts:
    """What a config blob says: the artifact as far as it is understood, when it was made, and under which licences."""

    artifact: Artifact | None
    created: datetime | None
    licenses: tuple[str, ...] = ()


def build_config(
    artifact: Artifact,
    *,
    layers: Sequence[Digest],
    context_length: int | None,
    gguf: Mapping[str, str],
    created: datetime | None,
) -> bytes:
    """The config of an artifact whose files have the digests `layers`, in manifest order.

    Without `created` the bytes depend on the model alone, so that packaging twice gives one digest.
    """
    facts: dict[str, object] = {
        "format": _FORMAT_NAMES.get(artifact.format, artifact.format.value.lower()),
        "quantization": artifact.quantization,
        "parameters": None if artifact.parameters is None else format_count(artifact.parameters),
        "architecture": artifact.architecture,
        "size": None if artifact.size_bytes is None else format_size(artifact.size_bytes),
        "context_size": context_length,
        "gguf": dict(gguf) or None,
    }
    return canonical_json(
        {
            "config": {name: value for name, value in facts.items() if value is not None},
            "descriptor": {"created": created.isoformat()} if created else {},
            "rootfs": {"type": "rootfs", "diff_ids": list(layers)},
        }
    )


def build_modelpack_config(artifact: Artifact, *, layers: Sequence[Digest], created: datetime | None) -> bytes:
    """The same in ModelPack's form (its specification v1, config.md)."""
    stated = artifact.quantization
    quantized = artifact.format is Format.GGUF and stated is not None and stated not in _PRECISIONS
    reads, writes = _MODALITIES.get(artifact.task, (["text"], ["text"]))
    facts: dict[str, object] = {
        "architecture": artifact.architecture,
        "format": _FORMAT_NAMES.get(artifact.format, artifact.format.value.lower()),
        "paramSize": None
        if artifact.parameters is None
        else format_count(artifact.parameters).replace(" ", "").lower(),
        "precision": None if quantized else stated,
        "quantization": stated if quantized else None,
        "capabilities": {"inputTypes": reads, "outputTypes": writes},
    }
    return canonical_json(
        {
            "descriptor": {"createdAt": created.isoformat()} if created else {},
            "config": {name: value for name, value in facts.items() if value is not None},
            "modelfs": {"type": "layers", "diffIds": list(layers)},
        }
    )


def parse_config(content: bytes, *, digest: Digest, size_bytes: int) -> ConfigFacts:
    """What the config blob `content` says of the artifact with the manifest `digest`; what is odd counts as unsaid."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return ConfigFacts(None, None)
    config = _member(body, "config")
    known = _FORMATS.get(str(config.get("format", "")).lower())
    created, licenses = _moment(_member(body, "descriptor")) or _moment(body), _licenses(body)
    if known is None:
        return ConfigFacts(None, created, licenses)
    context = config.get("context_size")
    artifact = Artifact(
        format=known,
        task=Task.AUTO,
        digest=digest,
        architecture=_text(config, "architecture"),
        parameters=parse_count(_text(config, "parameters") or _text(config, "paramSize") or ""),
        quantization=_text(config, "quantization") or _text(config, "precision"),
        context_length=context if isinstance(context, int) and context > 0 else None,
        size_bytes=size_bytes,
    )
    return ConfigFacts(artifact, created, licenses)


def format_count(count: int) -> str:
    """As Docker writes numbers of weights: `134.52 M`."""
    unit, divisor = next(((u, d) for u, d in reversed(_MAGNITUDES.items()) if count >= d), ("", 1))
    return f"{count / divisor:.2f} {unit}".rstrip()


def parse_count(text: str) -> int | None:
    """The number in `134.52 M`, `8B` or `1000`; None if it is none."""
    match = _COUNT.fullmatch(text)
    return round(float(match[1]) * _MAGNITUDES[match[2].upper()]) if match else None


def format_size(count_bytes: int) -> str:
    """As Docker writes sizes: `91.73MB`, in steps of a thousand."""
    size, unit = float(count_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.2f}{unit}"


def _member(body: object, name: str) -> Mapping[str, object]:
    value = body.get(name) if isinstance(body, dict) else None
    return value if isinstance(value, dict) else {}


def _text(config: Mapping[str, object], name: str) -> str | None:
    value = config.get(name)
    return value[:200] if isinstance(value, str) and value else None


def _licenses(body: object) -> tuple[str, ...]:
    """ModelPack lists them; Docker repeats what a GGUF says; a Kitfile has one for the kit and one for its model; an
    image's label is that of the OCI specification.
    """
    config = _member(body, "config")
    listed = _member(body, "descriptor").get("licenses")
    single = (
        _text(_member(config, "gguf"), "general.license"),
        *(_text(_member(body, part), "license") for part in ("package", "model")),
        _text(_member(config, "Labels"), ANNOTATION_LICENSES),
    )
    named = [each[:200] for each in listed if isinstance(each, str)] if isinstance(listed, list) else []
    return tuple(dict.fromkeys(filter(None, (*named[:_MAX_LICENSES], *single))))


def _moment(part: object) -> datetime | None:
    """Docker writes `created`, also into an image's config, the CNCF `createdAt`; without a zone it is not believed."""
    if not isinstance(part, dict):
        return None
    text = part.get("created") or part.get("createdAt")
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    # Go, in which most of these tools are written, writes the year 1 for a time that nobody has set.
    return moment if moment and moment.tzinfo and moment.year > 1 else None
