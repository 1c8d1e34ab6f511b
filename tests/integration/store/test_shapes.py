"""Every shape of a model goes through a real registry: written by us and by oras, read by us and by oras."""

import asyncio
from pathlib import Path

import oras.client
import pytest
import tar_builders as t
from folder_builders import as_bytes, files_in, sentence_files, write_files
from gguf_builders import llama_gguf
from oci_artifacts import Layer, MadeArtifact, make_layers
from onnx_builders import encoder_onnx
from pushed import push_artifact
from registry import RunningRegistry

from berth_api.artifact import Format, Task
from berth_store import mediatypes
from berth_store.detect import detect_bounded
from berth_store.integrity import find_damage
from berth_store.local import Store
from berth_store.package import package
from berth_store.packing import PackageFormat
from berth_store.pull import pull
from berth_store.push import push
from berth_store.registries import RegistryConfig
from berth_store.resolver.resolve import resolve

pytestmark = pytest.mark.needs("registry")
FILES = {**as_bytes(sentence_files()), "model.onnx": encoder_onnx(), "LICENSE": b"free"}
IMAGE = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
PACKED = "application/vnd.cncf.model.weight.v1.tar"


def in_models(files: dict[str, bytes]) -> bytes:
    return t.tar_of({f"models/{name}": content for name, content in files.items()})


SHAPES = {
    "modelpack in a tar": make_layers([Layer(t.tar_of(FILES), PACKED)], artifact_type=mediatypes.MODELPACK_MANIFEST),
    "modelpack with gzip and zstd": make_layers(
        [
            Layer(t.gzipped(t.tar_of({"model.onnx": FILES["model.onnx"]})), f"{PACKED}+gzip"),
            Layer(
                t.zstandard_of(t.tar_of({name: content for name, content in FILES.items() if name != "model.onnx"})),
                "application/vnd.cncf.model.weight.config.v1.tar+zstd",
            ),
        ],
        artifact_type=mediatypes.MODELPACK_MANIFEST,
    ),
    "an image": make_layers(
        [
            Layer(t.gzipped(t.tar(t.entry("bin/sh", kind=t.SYMLINK, target="x"))), f"{LAYER}+gzip"),
            Layer(in_models(FILES), LAYER),
        ],
        config_type=IMAGE,
    ),
    "an image of the model alone": make_layers([Layer(t.tar_of(FILES), LAYER)], config_type=IMAGE),
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_each_shape_is_resolved_pulled_and_detected(
    store: Store, real_registry: RunningRegistry, tmp_path: Path, shape: str
) -> None:
    artifact: MadeArtifact = SHAPES[shape]
    await push_artifact(real_registry, "team/shape:1", artifact, tmp_path / "origin")
    reference = real_registry.reference("team/shape:1")
    (tmp_path / "scratch").mkdir()
    found = await resolve(reference, registries=RegistryConfig(), scratch=tmp_path / "scratch")
    digest = await pull(store, reference)
    assert files_in(store.view(digest)) == FILES
    model = detect_bounded(store.view(digest))
    assert (model.format, model.task) == (found.artifact.format, found.artifact.task) == (Format.ONNX, Task.EMBEDDING)
    assert found.artifact.digest == digest
    assert find_damage(store) == ()
    store.remove(reference)
    assert list(store.blobs.iterdir()) == []


@pytest.mark.parametrize("package_format", list(PackageFormat))
async def test_what_we_push_is_read_by_oras(
    store: Store, real_registry: RunningRegistry, tmp_path: Path, package_format: PackageFormat
) -> None:
    source = write_files(tmp_path / "model", {"model.gguf": llama_gguf(), "LICENSE": "free", "README.md": "# Tiny"})
    reference = real_registry.reference(f"team/{package_format}:1")
    digest = await asyncio.to_thread(package, store, source, reference, package_format=package_format)
    assert await push(store, reference) == digest
    client = oras.client.OrasClient(hostname=real_registry.address, insecure=True)
    manifest = await asyncio.to_thread(client.get_manifest, f"{real_registry.address}/team/{package_format}:1")
    assert manifest.get("artifactType") == (
        mediatypes.MODELPACK_MANIFEST if package_format is PackageFormat.MODELPACK else None
    )
    target = tmp_path / "by-oras"
    await asyncio.to_thread(client.pull, target=str(reference), outdir=str(target))
    assert files_in(target) == files_in(source)


async def test_what_oras_pushes_is_read_by_us(
    store: Store, real_registry: RunningRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_files(tmp_path / "model", {"model.gguf": llama_gguf(), "extra/LICENSE": "free"})
    monkeypatch.chdir(source)
    client = oras.client.OrasClient(hostname=real_registry.address, insecure=True)
    target = f"{real_registry.address}/by-oras/model:1"
    await asyncio.to_thread(client.push, target=target, files=["model.gguf", "extra"])
    reference = real_registry.reference("by-oras/model:1")
    digest = await pull(store, reference)
    assert files_in(store.view(digest)) == files_in(source)
    (tmp_path / "scratch").mkdir()
    found = await resolve(reference, registries=RegistryConfig(), scratch=tmp_path / "scratch")
    assert (found.artifact.task, found.weights) == (Task.CHAT, "model.gguf")
