"""What is written is what the two published formats say, byte for byte the same each time."""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import artifact_schemas as schemas
import jsonschema
import pytest
from folder_builders import files_in
from gguf_builders import Tensor, gguf, llama_gguf, write_gguf_shards
from oci_artifacts import Layer, make_layers
from onnx_builders import encoder_onnx
from safetensors_builders import safetensors

from berth_api.artifact import Format, Task
from berth_api.errors import InvalidSpec, UnsupportedModel
from berth_store.detect import DetectedAdapter, DetectedModel, detect
from berth_store.detect.adapter import detect_adapter
from berth_store.digest import Digest
from berth_store.local import Store
from berth_store.manifest import MAX_CONFIG_BYTES, Manifest, check_model, parse_manifest
from berth_store.package import package
from berth_store.packing import Extras, PackageFormat
from berth_store.reference import Reference
from berth_store.view import layer_names


def detect_either(path: Path, **known: Any) -> DetectedModel | DetectedAdapter:
    try:
        return detect(path, **known)
    except UnsupportedModel:
        return detect_adapter(path)


NAME = Reference.parse("localhost/mine")
FORMATS = list(PackageFormat)


@pytest.fixture(autouse=True)
def _detection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detection in this process, which is quicker."""
    monkeypatch.setattr("berth_store.package.detect_either_bounded", detect_either)


@pytest.fixture
def gguf_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.Q4_1.gguf"
    path.write_bytes(llama_gguf())
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "llama"
    root.mkdir()
    (root / "model.safetensors").write_bytes(safetensors())
    (root / "config.json").write_text('{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}')
    (root / "README.md").write_text("# Tiny")
    (root / "LICENSE").write_text("free")
    (root / "convert.py").write_text("print()")
    return root


def extras(folder: Path) -> Extras:
    """A licence, a template, a projector and an adapter."""
    paths = [folder / name for name in ("LICENSE-A", "LICENSE-B", "mine.jinja", "sight.gguf", "sql.gguf")]
    folder.mkdir(exist_ok=True)
    for path, content in zip(paths[:3], (b"a", b"b", b"{{ messages }}"), strict=True):
        path.write_bytes(content)
    one = [Tensor("a.weight", (64, 2))]
    paths[3].write_bytes(bytes(gguf({"general.architecture": "clip", "general.type": "mmproj"}, one).content))
    paths[4].write_bytes(bytes(gguf({"general.architecture": "llama", "general.type": "adapter"}, one).content))
    return Extras(paths[:2], *paths[2:])


def manifest_of(store: Store, digest: Digest) -> dict[str, object]:
    body = json.loads(store.read_blob(digest, MAX_CONFIG_BYTES))
    assert isinstance(body, dict)
    return body


def config_of(store: Store, digest: Digest) -> dict[str, dict[str, object]]:
    body = json.loads(store.read_blob(store.manifest(digest).config.digest, MAX_CONFIG_BYTES))
    assert isinstance(body, dict)
    return body


def types_of(store: Store, digest: Digest) -> dict[str, str]:
    manifest = store.manifest(digest)
    return dict(zip(layer_names(manifest), (layer.media_type for layer in manifest.layers), strict=True))


def test_a_gguf_is_what_dockers_rules_say(store: Store, gguf_file: Path, tmp_path: Path) -> None:
    digest = package(store, gguf_file, NAME, extras=extras(tmp_path / "extra"), context_length=512)
    schemas.check(manifest_of(store, digest), schemas.DOCKER_V01_MANIFEST)
    schemas.check(config_of(store, digest), schemas.DOCKER_CONFIG)


def test_a_folder_is_what_dockers_rules_say(store: Store, folder: Path) -> None:
    digest = package(store, folder, NAME)
    schemas.check(manifest_of(store, digest), schemas.DOCKER_V02_MANIFEST)
    schemas.check(config_of(store, digest), schemas.DOCKER_CONFIG)


def test_whatever_is_packaged_is_what_the_rules_of_modelpack_say(
    store: Store, folder: Path, gguf_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    (encoder / "model.onnx").write_bytes(encoder_onnx())
    (encoder / "tokenizer.json").write_bytes(b"{}")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for path, task in ((gguf_file, Task.AUTO), (folder, Task.AUTO), (encoder, Task.EMBEDDING)):
        digest = package(
            store, path, NAME, task=task, extras=extras(tmp_path / "extra"), package_format=PackageFormat.MODELPACK
        )
        schemas.check(manifest_of(store, digest), schemas.MODELPACK_MANIFEST)
        schemas.check(config_of(store, digest), schemas.MODELPACK_CONFIG)


def test_the_schemas_refuse_what_the_other_format_is(store: Store, gguf_file: Path) -> None:
    docker = package(store, gguf_file, NAME)
    modelpack = package(store, gguf_file, NAME, package_format=PackageFormat.MODELPACK)
    for digest, manifest, config in (
        (docker, schemas.MODELPACK_MANIFEST, schemas.MODELPACK_CONFIG),
        (modelpack, schemas.DOCKER_V01_MANIFEST, schemas.DOCKER_CONFIG),
    ):
        with pytest.raises(jsonschema.ValidationError):
            schemas.check(manifest_of(store, digest), manifest)
        with pytest.raises(jsonschema.ValidationError):
            schemas.check(config_of(store, digest), config)


def test_each_layer_of_modelpack_says_what_it_is_for(store: Store, folder: Path, tmp_path: Path) -> None:
    digest = package(store, folder, NAME, extras=extras(tmp_path / "e"), package_format=PackageFormat.MODELPACK)
    kinds = {name: kind.removeprefix("application/vnd.cncf.model.") for name, kind in types_of(store, digest).items()}
    assert kinds == {
        "model.safetensors": "weight.v1.raw",
        "sight.gguf": "weight.v1.raw",
        "sql.gguf": "weight.v1.raw",
        "config.json": "weight.config.v1.raw",
        "chat_template.jinja": "weight.config.v1.raw",
        "README.md": "doc.v1.raw",
        "LICENSE": "doc.v1.raw",
        "LICENSE-A": "doc.v1.raw",
        "LICENSE-B": "doc.v1.raw",
        "convert.py": "code.v1.raw",
    }


def test_projector_and_adapter_have_dockers_own_types(store: Store, gguf_file: Path, tmp_path: Path) -> None:
    digest = package(store, gguf_file, NAME, extras=extras(tmp_path / "extra"))
    types = types_of(store, digest)
    assert types["sight.gguf"] == "application/vnd.docker.ai.mmproj"
    assert types["sql.gguf"] == "application/vnd.docker.ai.gguf.v3.lora"
    found = detect(store.view(digest))
    assert found.weights[0].name == gguf_file.name
    assert found.projector is not None
    assert found.projector.name == "sight.gguf"
    assert found.chat_template == "{{ messages }}"


@pytest.mark.parametrize("package_format", FORMATS)
def test_a_file_has_both_names_that_readers_look_for(store: Store, folder: Path, package_format: PackageFormat) -> None:
    manifest = store.manifest(package(store, folder, NAME, package_format=package_format))
    for layer in manifest.layers:
        assert layer.annotation("org.cncf.model.filepath") == layer.annotation("org.opencontainers.image.title")
    assert layer_names(manifest) == ("LICENSE", "README.md", "config.json", "convert.py", "model.safetensors")


@pytest.mark.parametrize("package_format", FORMATS)
def test_what_comes_back_is_what_went_in(store: Store, folder: Path, package_format: PackageFormat) -> None:
    digest = package(store, folder, NAME, package_format=package_format)
    assert files_in(store.view(digest)) == files_in(folder)
    assert detect(store.view(digest)).artifact == detect(folder).artifact
    (model,) = store.list()
    assert model.artifact is not None
    assert (model.artifact.format, model.artifact.quantization) == (Format.SAFETENSORS, "F32")


def test_shards_are_layers_in_their_own_order(store: Store, tmp_path: Path) -> None:
    shards = write_gguf_shards(tmp_path, "big", 3)
    digest = package(store, shards[0], NAME, package_format=PackageFormat.MODELPACK)
    assert list(types_of(store, digest)) == [shard.name for shard in shards]


@pytest.mark.parametrize("package_format", FORMATS)
def test_another_clock_order_and_mask_give_the_same_bytes(
    tmp_path: Path, folder: Path, package_format: PackageFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file system's order, the order of arguments, times, modes, the mask and the time zone: nothing shows."""
    real, chance = os.scandir, random.Random(3)

    class Shuffled:
        def __init__(self, path: Path) -> None:
            self._entries = list(real(path))
            chance.shuffle(self._entries)

        def __enter__(self) -> "Shuffled":
            return self

        def __exit__(self, *_: object) -> None: ...

        def __iter__(self) -> Iterator[os.DirEntry[str]]:
            return iter(self._entries)

    def made(store: Store, added: Extras) -> dict[str, bytes]:
        digest = package(store, folder, NAME, extras=added, package_format=package_format)
        assert store.resolve(NAME) == digest
        return {path.name: path.read_bytes() for path in store.blobs.iterdir()} | {"digest": digest.encode()}

    added = extras(tmp_path / "extra")
    first = made(Store(tmp_path / "one"), added)
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    monkeypatch.setenv("TZ", "Pacific/Chatham")
    monkeypatch.setattr(os, "scandir", Shuffled)
    before = os.umask(0o077)
    try:
        turned = Extras(list(reversed(list(added.licenses))), added.chat_template, added.projector, added.adapter)
        second = made(Store(tmp_path / "two"), turned)
    finally:
        os.umask(before)
    assert first == second


def test_the_digest_of_a_known_model_in_modelpack_does_not_change(store: Store, gguf_file: Path) -> None:
    """A change here means that every user's packages get new digests: it must be on purpose."""
    digest = package(store, gguf_file, NAME, package_format=PackageFormat.MODELPACK)
    assert digest == "sha256:f5bd456a3766d27e4886010eb499a7757c270d9e41045108037e7de78ba39fc7"


def test_modelpack_has_no_place_for_a_context_length(store: Store, gguf_file: Path) -> None:
    with pytest.raises(InvalidSpec, match="ModelPack has no place for it"):
        package(store, gguf_file, NAME, context_length=512, package_format=PackageFormat.MODELPACK)


def test_a_projector_or_an_adapter_that_is_none_is_named(store: Store, gguf_file: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"tiny\.Q4_1\.gguf is no projector"):
        package(store, gguf_file, NAME, extras=Extras(projector=gguf_file))
    with pytest.raises(UnsupportedModel, match=r"tiny\.Q4_1\.gguf is no LoRA adapter"):
        package(store, gguf_file, NAME, extras=Extras(adapter=gguf_file))
    assert store.list() == ()


# What others write, by hand from the published rules.

DOCKER = "application/vnd.docker.ai."
CNCF = "application/vnd.cncf.model."
TEMPLATE = b"{% for m in messages %}{{ m.content }}{% endfor %}"


def named(name: str, key: str = "org.cncf.model.filepath") -> dict[str, str]:
    return {key: name}


AUTHORED = {
    "docker v0.1": make_layers(
        [
            Layer(llama_gguf(), f"{DOCKER}gguf.v3"),
            Layer(b"free", f"{DOCKER}license"),
            Layer(TEMPLATE, f"{DOCKER}chat.template.jinja", named("whim.txt")),
        ],
        config_type=f"{DOCKER}model.config.v0.1+json",
        config={"config": {"format": "gguf", "size": "9"}, "files": [], "descriptor": {"createdAt": "2025-01-01"}},
    ),
    "docker v0.2": make_layers(
        [
            Layer(safetensors(), f"{DOCKER}safetensors", named("model.safetensors")),
            Layer(b'{"architectures": ["LlamaForCausalLM"]}', f"{DOCKER}model.file", named("config.json")),
            Layer(TEMPLATE, f"{DOCKER}chat.template.jinja", named("chat_template.jinja")),
        ],
        config_type=f"{DOCKER}model.config.v0.2+json",
    ),
    "docker with the projector by its name in the specification": make_layers(
        [
            Layer(llama_gguf(), f"{DOCKER}gguf.v3", named("m.gguf", "org.opencontainers.image.title")),
            Layer(
                bytes(gguf({"general.architecture": "clip"}, [Tensor("a", (4, 2))]).content), f"{DOCKER}gguf.v3.mmproj"
            ),
        ],
        config_type=f"{DOCKER}model.config.v0.1+json",
    ),
    "modelpack": make_layers(
        [
            Layer(llama_gguf(), f"{CNCF}weight.v1.raw", named("m.gguf")),
            Layer(TEMPLATE, f"{CNCF}weight.config.v1.raw", named("chat_template.jinja")),
            Layer(b"# Card", f"{CNCF}doc.v1.raw", named("README.md")),
            Layer(b"print()", f"{CNCF}code.v1.raw", named("run.py")),
            Layer(b"a,b", f"{CNCF}dataset.v1.raw", named("data/train.csv")),
        ],
        artifact_type=f"{CNCF}manifest.v1+json",
    ),
    "modelpack before the CNCF": make_layers(
        [Layer(llama_gguf(), f"{CNCF}weight.v1.raw", named("m.gguf", "org.cnai.model.filepath"))],
        artifact_type="application/vnd.cnai.model.manifest.v1+json",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", AUTHORED)
def test_what_others_write_is_read(store: Store, kind: str) -> None:
    made = AUTHORED[kind]
    manifest = parse_manifest(made.manifest, origin=kind)
    assert isinstance(manifest, Manifest)
    check_model(manifest, kind)
    with store.using():
        for blob in (*made.blobs.values(), made.manifest):
            store.write_blob(blob)
        store.tag(NAME, made.digest)
    found = detect(store.view(made.digest))
    assert found.task is Task.CHAT
    assert found.chat_template
    assert (found.projector is not None) == ("projector" in kind)


LORA = {"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora"}
MATRICES = {"q.lora_A.weight": ("F32", (8, 64)), "q.lora_B.weight": ("F32", (64, 8))}


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    path = tmp_path / "sql-F16.gguf"
    tensors = [Tensor("blk.0.ffn_up.weight.lora_a", (64, 8)), Tensor("blk.0.ffn_up.weight.lora_b", (8, 64))]
    path.write_bytes(bytes(gguf(LORA, tensors).content))
    return path


@pytest.fixture
def peft(tmp_path: Path) -> Path:
    root = tmp_path / "peft"
    root.mkdir()
    (root / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 8}')
    (root / "adapter_model.safetensors").write_bytes(safetensors(MATRICES))
    (root / "README.md").write_text("# SQL")
    (root / "training_args.bin").write_bytes(b"\x80\x02}q\x00.")
    return root


@pytest.mark.parametrize("package_format", FORMATS)
@pytest.mark.parametrize("which", ["lora", "peft"])
def test_an_adapter_by_itself_is_an_artifact_from_which_it_is_known_again(
    store: Store, request: pytest.FixtureRequest, which: str, package_format: PackageFormat
) -> None:
    path: Path = request.getfixturevalue(which)
    digest = package(store, path, NAME, package_format=package_format)
    view = store.view(digest)
    names = {"lora": ["sql-F16.gguf"], "peft": ["adapter_config.json", "adapter_model.safetensors"]}[which]
    assert sorted(files_in(view)) == names
    assert detect_adapter(view).rank == 8
    check_model(store.manifest(digest), "a package of ours")


def test_a_lora_in_gguf_is_a_layer_of_dockers_type_for_it(store: Store, lora: Path) -> None:
    manifest = manifest_of(store, package(store, lora, NAME))
    (layer,) = manifest["layers"]  # type: ignore[misc]
    assert layer["mediaType"] == "application/vnd.docker.ai.gguf.v3.lora"


def test_what_belongs_to_a_model_does_not_go_with_an_adapter(store: Store, lora: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="is an adapter by itself"):
        package(store, lora, NAME, extras=extras(tmp_path / "extras"))
