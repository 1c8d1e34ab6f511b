"""JSON schemas of the two published formats, written from their rules, to hold what Berth writes against.

Docker: docker/model-spec (spec.md, config.md), and where its tools differ from it, what docker/model-runner writes:
`descriptor.created`, `rootfs.diff_ids`, and no `files`. ModelPack: modelpack/model-spec v1 (spec.md, config.md,
config-schema.json, annotations.md). Members that neither names are errors here, so that nothing of ours slips in.
"""

from typing import Any

import jsonschema

Schema = dict[str, Any]

_DIGEST = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
_TEXT = {"type": "string", "minLength": 1}
_TIME = {"type": "string", "format": "date-time"}
_TEXTS = {"type": "array", "items": _TEXT}


def closed(required: list[str], **members: Schema) -> Schema:
    """An object of these members and no others."""
    return {"type": "object", "properties": members, "required": required, "additionalProperties": False}


_ANNOTATIONS: dict[str, Schema] = {
    "org.cncf.model.filepath": _TEXT,
    "org.cncf.model.file.metadata+json": _TEXT,
    "org.cncf.model.file.mediatype.untested": {"enum": ["true", "false"]},
    "org.opencontainers.image.title": _TEXT,
}
_FILE_ANNOTATIONS = closed(["org.cncf.model.filepath"], **_ANNOTATIONS)


def _manifest(config_types: list[str], layer_types: Schema, **more: Schema) -> Schema:
    size = {"type": "integer", "minimum": 0}
    layer = closed(
        ["mediaType", "digest", "size", "annotations"],
        mediaType=layer_types,
        digest=_DIGEST,
        size=size,
        annotations=_FILE_ANNOTATIONS,
    )
    return closed(
        ["schemaVersion", "mediaType", "config", "layers", *more],
        schemaVersion={"const": 2},
        mediaType={"const": "application/vnd.oci.image.manifest.v1+json"},
        config=closed(["mediaType", "digest", "size"], mediaType={"enum": config_types}, digest=_DIGEST, size=size),
        layers={"type": "array", "items": layer, "minItems": 1},
        **more,
    )


_DOCKER_V01 = ["gguf.v3", "gguf.v3.lora", "gguf.v3.mmproj", "mmproj", "safetensors", "dduf", "license"]
_DOCKER_V01 += ["chat.template.jinja", "vllm.config.tar", "dir.tar"]
DOCKER_V01_MANIFEST = _manifest(
    ["application/vnd.docker.ai.model.config.v0.1+json"],
    {"enum": [f"application/vnd.docker.ai.{each}" for each in _DOCKER_V01]},
)
DOCKER_V02_MANIFEST = _manifest(
    ["application/vnd.docker.ai.model.config.v0.2+json"],
    {"enum": [f"application/vnd.docker.ai.{each}" for each in [*_DOCKER_V01, "model.file"]]},
)
_MAP = {"type": "object", "additionalProperties": {"type": "string"}}
DOCKER_CONFIG = closed(
    ["config", "descriptor", "rootfs"],
    config=closed(
        ["format", "size"],
        format={"enum": ["gguf", "safetensors", "diffusers"]},
        format_version=_TEXT,
        quantization=_TEXT,
        parameters=_TEXT,
        architecture=_TEXT,
        size={"type": "string", "pattern": r"^\d+(\.\d+)?[kMGT]?B?$"},
        gguf=_MAP,
        safetensors=_MAP,
        diffusers=_MAP,
        context_size={"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
    ),
    descriptor=closed([], created=_TIME),
    rootfs=closed(
        ["type", "diff_ids"], type={"const": "rootfs"}, diff_ids={"type": "array", "items": _DIGEST, "minItems": 1}
    ),
)

_KINDS = "|".join(("weight", r"weight\.config", "doc", "code", "dataset"))
MODELPACK_MANIFEST = _manifest(
    ["application/vnd.cncf.model.config.v1+json"],
    {"type": "string", "pattern": rf"^application/vnd\.cncf\.model\.({_KINDS})\.v1\.(raw|tar|tar\+gzip|tar\+zstd)$"},
    artifactType={"const": "application/vnd.cncf.model.manifest.v1+json"},
)
_MODALITIES = {"type": "array", "items": {"enum": ["text", "image", "audio", "video", "embedding", "other"]}}
_FLAG = {"type": "boolean"}
MODELPACK_CONFIG = closed(
    ["descriptor", "config", "modelfs"],
    descriptor=closed(
        [],
        createdAt=_TIME,
        authors=_TEXTS,
        datasetsURL=_TEXTS,
        licenses=_TEXTS,
        **dict.fromkeys(
            ("family", "name", "docURL", "sourceURL", "version", "revision", "vendor", "title", "description"), _TEXT
        ),
    ),
    config=closed(
        [],
        architecture=_TEXT,
        format=_TEXT,
        paramSize=_TEXT,
        precision=_TEXT,
        quantization=_TEXT,
        capabilities=closed(
            [],
            inputTypes=_MODALITIES,
            outputTypes=_MODALITIES,
            knowledgeCutoff=_TIME,
            reasoning=_FLAG,
            toolUsage=_FLAG,
            reward=_FLAG,
            languages={"type": "array", "items": {"type": "string", "pattern": "^[a-z]{2}$"}},
        ),
    ),
    modelfs=closed(
        ["type", "diffIds"], type={"const": "layers"}, diffIds={"type": "array", "items": _DIGEST, "minItems": 1}
    ),
)


def check(value: object, schema: Schema) -> None:
    """Raise `jsonschema.ValidationError` unless the value is what the schema says."""
    jsonschema.validate(value, schema, format_checker=jsonschema.FormatChecker())
