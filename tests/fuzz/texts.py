"""Texts from elsewhere: chat templates, and the manifests and configs of artifacts."""

import json
from collections.abc import Iterator

import chat_templates
from hostile.case import of_image, of_tar
from oci_artifacts import make_artifact
from tests.fuzz.run import Sample

from berth_api.errors import UnsupportedModel
from berth_store import mediatypes
from berth_store.archive.kinds import archive_layers
from berth_store.detect.template import template_fault
from berth_store.digest import Digest
from berth_store.manifest import Manifest, check_model, choose_manifest, parse_manifest
from berth_store.model_config import parse_config

ATTACK = "{{ ''.__class__ }}"


def template_samples() -> list[Sample]:
    """Templates that models have; and a few that are refused, for what is wrong with them must not be hidden."""
    good = [Sample(name, text.encode(), _judge_template) for name, text in chat_templates.GOOD.items()]
    bad = [Sample(name, text.encode(), _judge_template, refusals=1) for name, text in chat_templates.BAD.items()]
    return good + bad


def _judge_template(content: bytes) -> Iterator[bool]:
    text = content.decode(errors="replace")
    assert template_fault(ATTACK + text) is not None, "what follows an attack hides it"
    yield template_fault(text) is None


def manifest_samples() -> list[Sample]:
    """Manifests of a model, of archives and of an image, an index of two, and both forms of a config."""
    model = make_artifact({"model.gguf": b"GGUF", "LICENSE": b"free"})
    manifests = {
        "a model's manifest": model.manifest,
        "a manifest of archives": of_tar(b"", "+gzip").manifest,
        "an image's manifest": of_image(b"", b"").manifest,
        "an index": json.dumps({"schemaVersion": 2, "manifests": [described("amd64"), described("arm64")]}).encode(),
    }
    configs = {
        "Docker's config": {
            "config": {"format": "gguf", "parameters": "134.52 M", "quantization": "Q4_1", "context_size": 8192},
            "descriptor": {"created": "2026-01-01T00:00:00Z"},
        },
        "ModelPack's config": {
            "config": {"format": "gguf", "paramSize": "8b", "architecture": "llama", "precision": "float16"},
            "descriptor": {"createdAt": "2026-01-01T00:00:00Z"},
        },
    }
    read_configs = [Sample(name, json.dumps(body).encode(), _read_config) for name, body in configs.items()]
    return [*(Sample(name, content, _read_manifest) for name, content in manifests.items()), *read_configs]


def described(architecture: str) -> dict[str, object]:
    """An entry of an index."""
    platform = {"os": "linux", "architecture": architecture}
    digest = "sha256:" + architecture.encode().hex().ljust(64, "0")
    return {"mediaType": mediatypes.OCI_MANIFEST, "digest": digest, "size": 100, "platform": platform}


def _read_manifest(content: bytes) -> Iterator[bool]:
    try:
        read = parse_manifest(content, origin="here")
        if isinstance(read, Manifest):
            check_model(read, "here")
            assert read.layers
            assert all(0 <= each.number < len(read.layers) for each in archive_layers(read))
        else:
            assert choose_manifest(read, "here") in read.manifests
    except UnsupportedModel as error:
        str(error).encode()
        yield False
    else:
        yield True


def _read_config(content: bytes) -> Iterator[bool]:
    """A config is a claim, so an odd one is no error: what it does not say in a known form counts as unsaid."""
    facts = parse_config(content, digest=Digest("sha256:" + "0" * 64), size_bytes=1)
    if facts.artifact is not None:
        facts.artifact.model_dump_json()
    yield True
