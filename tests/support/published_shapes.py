"""Artifacts in every published shape, and what an inspection says of each."""

from datetime import UTC, datetime
from typing import Any

import tar_builders as t
from folder_builders import as_bytes, sentence_files
from gguf_builders import Tensor, gguf, llama_gguf
from oci_artifacts import Layer, MadeArtifact, make_artifact, make_layers
from onnx_builders import encoder_onnx
from safetensors_builders import safetensors

from berth_api.artifact import Format, Task
from berth_store import mediatypes
from berth_store.inspection.description import PublishedFormat

FILEPATH = "org.cncf.model.filepath"
IMAGE = "application/vnd.oci.image.config.v1+json"
LORA_PAIR = [Tensor("blk.0.attn_q.weight.lora_a", (64, 4)), Tensor("blk.0.attn_q.weight.lora_b", (4, 64))]
LORA = bytes(
    gguf(
        {"general.type": "adapter", "general.architecture": "llama", "adapter.type": "lora", "adapter.lora.alpha": 8.0},
        LORA_PAIR,
    ).content
)
PROJECTOR = bytes(
    gguf({"general.type": "mmproj", "general.architecture": "clip"}, [Tensor("a.weight", (64, 2))]).content
)
ENCODER = {**as_bytes(sentence_files()), "model.onnx": encoder_onnx()}
LLAMA = {
    "model.safetensors": safetensors({"a": ("F16", (512, 64))}),
    "config.json": b'{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": 4096}',
    "LICENSE": b"free",
}


def named(content: bytes, kind: str, name: str) -> Layer:
    return Layer(content, kind, {FILEPATH: name})


DOCKER_CONFIG = {
    "config": {"format": "gguf", "architecture": "llama", "context_size": 512, "gguf": {"general.license": "mit"}},
    "descriptor": {"created": "2025-03-24T16:23:01Z"},
}
SHAPES: dict[str, tuple[MadeArtifact, dict[str, Any]]] = {
    "docker v0.1": (
        make_layers(
            [
                Layer(llama_gguf(), mediatypes.GGUF),
                Layer(PROJECTOR, mediatypes.PROJECTOR),
                named(LORA, mediatypes.ADAPTER, "sql.gguf"),
                Layer(b"{{ messages }}", mediatypes.CHAT_TEMPLATE),
                named(b"free", mediatypes.LICENSE, "LICENSE"),
            ],
            config_type=mediatypes.CONFIG_V01,
            config=DOCKER_CONFIG,
        ),
        {
            "published_format": PublishedFormat.DOCKER_V01,
            "format": Format.GGUF,
            "task": Task.CHAT,
            "created": datetime(2025, 3, 24, 16, 23, 1, tzinfo=UTC),
            "weights": ("model.gguf",),
            "projector": "model.mmproj",
            "adapters": ("sql.gguf",),
            "chat_template": True,
            "licenses": ("mit",),
            "license_files": ("LICENSE",),
        },
    ),
    "docker v0.2": (
        make_artifact(LLAMA, config={"config": {"format": "safetensors"}}),
        {
            "published_format": PublishedFormat.DOCKER_V02,
            "format": Format.SAFETENSORS,
            "task": Task.COMPLETION,
            "weights": ("model.safetensors",),
            "chat_template": False,
            "license_files": ("LICENSE",),
        },
    ),
    "modelpack": (
        make_layers(
            [
                named(llama_gguf(), mediatypes.MODELPACK_WEIGHT, "m.gguf"),
                named(b"free", mediatypes.MODELPACK_DOC, "docs/LICENSE.txt"),
            ],
            config={"descriptor": {"licenses": ["Apache-2.0", "MIT"], "createdAt": "2026-01-02T03:04:05+01:00"}},
            artifact_type=mediatypes.MODELPACK_MANIFEST,
        ),
        {
            "published_format": PublishedFormat.MODELPACK,
            "artifact_type": mediatypes.MODELPACK_MANIFEST,
            "created": datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC),
            "licenses": ("Apache-2.0", "MIT"),
            "license_files": ("docs/LICENSE.txt",),
        },
    ),
    "kitops": (
        make_layers(
            [Layer(t.tar_of(ENCODER), "application/vnd.kitops.modelkit.model.v1.tar")],
            config_type=mediatypes.CONFIG_KITOPS,
            config={"package": {"license": "Apache-2.0"}, "model": {"license": "MIT"}},
        ),
        {
            "published_format": PublishedFormat.KITOPS,
            "format": Format.ONNX,
            "task": Task.EMBEDDING,
            "licenses": ("Apache-2.0", "MIT"),
        },
    ),
    "oras": (
        make_layers(
            [Layer(llama_gguf(), mediatypes.IMAGE_LAYER, {mediatypes.ANNOTATION_TITLE: "m.gguf"})],
            config_type="application/vnd.unknown.config.v1+json",
        ),
        {"published_format": PublishedFormat.FILES, "task": Task.CHAT, "weights": ("m.gguf",)},
    ),
    "an image": (
        make_layers(
            [Layer(t.gzipped(t.tar_of({"models/m.gguf": llama_gguf()})), f"{mediatypes.IMAGE_LAYER}+gzip")],
            config_type=IMAGE,
            config={
                "created": "2025-01-01T00:00:00Z",
                "config": {"Labels": {"org.opencontainers.image.licenses": "Apache-2.0"}},
            },
        ),
        {
            "published_format": PublishedFormat.IMAGE,
            "created": datetime(2025, 1, 1, tzinfo=UTC),
            "licenses": ("Apache-2.0",),
            "weights": ("m.gguf",),
        },
    ),
    "an adapter": (
        make_layers([named(LORA, mediatypes.ADAPTER, "sql.gguf")], config_type=mediatypes.CONFIG_V01),
        {"adapter_rank": 4, "task": Task.AUTO, "adapters": ("sql.gguf",), "chat_template": False},
    ),
}
