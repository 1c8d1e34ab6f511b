import errno
import fcntl
import json
import os
from pathlib import Path

import numpy as np
import pytest
from folder_builders import sentence_files, write_files
from gguf_builders import llama_gguf, write_gguf_shards
from onnx_builders import encoder_onnx
from safetensors_builders import safetensors
from tflite_encoder import table_tflite
from tiny_classifier import float_tflite, quantised_tflite

from berth_api.artifact import Format, Task
from berth_api.errors import InvalidSpec, UnsupportedModel
from berth_store import ingest, mediatypes
from berth_store.detect import detect, detect_bounded
from berth_store.digest import Digest, digest_of
from berth_store.errors import DiskFull
from berth_store.integrity import find_damage
from berth_store.local import Store
from berth_store.manifest import MAX_CONFIG_BYTES
from berth_store.package import package, source_date
from berth_store.packing import Extras
from berth_store.progress import Progress, Stage
from berth_store.reference import Reference

NAME = Reference.parse("localhost/mine")
CONFIG = b'{"architectures": ["BertModel"], "model_type": "bert"}'


@pytest.fixture(autouse=True)
def _detection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detection in this process, which is quicker; the first test goes the real way."""
    monkeypatch.setattr("berth_store.package.detect_either_bounded", detect)


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.Q4_1.gguf"
    path.write_bytes(llama_gguf())
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder as it comes from a hub, with a thing or two that shall not come along."""
    root = tmp_path / "bert"
    (root / "1_Pooling").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "model.safetensors").write_bytes(safetensors())
    (root / "config.json").write_bytes(CONFIG)
    (root / "1_Pooling" / "config.json").write_bytes(
        b'{"word_embedding_dimension": 4, "pooling_mode_mean_tokens": true}'
    )
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (root / "modules.json").write_text(json.dumps(modules))
    (root / "LICENSE").write_bytes(b"free")
    (root / "empty.txt").write_bytes(b"")
    (root / ".git" / "config").write_bytes(b"secret")
    (root / ".gitattributes").write_bytes(b"*")
    return root


def config_of(store: Store, digest: Digest) -> dict[str, object]:
    config = store.manifest(digest).config
    body = json.loads(store.read_blob(config.digest, MAX_CONFIG_BYTES))
    assert isinstance(body, dict)
    return body


def layers_of(store: Store, digest: Digest) -> list[tuple[str | None, str]]:
    return [
        (layer.annotation(mediatypes.ANNOTATION_FILEPATH), layer.media_type) for layer in store.manifest(digest).layers
    ]


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_gguf_becomes_what_docker_would_make_of_it(store: Store, gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("berth_store.package.detect_either_bounded", detect_bounded)
    digest = package(store, gguf, NAME)
    manifest = store.manifest(digest)
    assert store.resolve(NAME) == digest
    assert manifest.media_type == "application/vnd.oci.image.manifest.v1+json"
    assert manifest.artifact_type is None
    assert manifest.config.media_type == "application/vnd.docker.ai.model.config.v0.1+json"
    assert layers_of(store, digest) == [("tiny.Q4_1.gguf", "application/vnd.docker.ai.gguf.v3")]
    assert manifest.layers[0].annotation("org.opencontainers.image.title") == "tiny.Q4_1.gguf"
    config = config_of(store, digest)
    assert config["rootfs"] == {"type": "rootfs", "diff_ids": [digest_of(gguf.read_bytes())]}
    assert config["descriptor"] == {}
    facts = config["config"]
    assert isinstance(facts, dict)
    assert facts["format"] == "gguf"
    assert facts["architecture"] == "llama"
    assert facts["quantization"] == "Q4_1"
    assert facts["context_size"] == 2048
    assert facts["parameters"] == "23.36 K"
    assert facts["gguf"]["llama.context_length"] == "2048"
    assert "tokenizer.ggml.tokens" not in facts["gguf"], "long arrays stay out"


def test_shards_come_along_in_order_whichever_was_named(store: Store, tmp_path: Path) -> None:
    shards = write_gguf_shards(tmp_path, "big", 3)
    (tmp_path / "unrelated.gguf").write_bytes(llama_gguf())
    digest = package(store, shards[1], NAME)
    assert [name for name, _ in layers_of(store, digest)] == [shard.name for shard in shards]
    assert package(store, shards[0], NAME) == digest


def test_a_folder_keeps_its_paths_and_leaves_hidden_files_out(store: Store, folder: Path) -> None:
    digest = package(store, folder, NAME)
    assert store.manifest(digest).config.media_type == "application/vnd.docker.ai.model.config.v0.2+json"
    assert layers_of(store, digest) == [
        ("1_Pooling/config.json", mediatypes.MODEL_FILE),
        ("LICENSE", mediatypes.LICENSE),
        ("config.json", mediatypes.MODEL_FILE),
        ("empty.txt", mediatypes.MODEL_FILE),
        ("model.safetensors", mediatypes.SAFETENSORS),
        ("modules.json", mediatypes.MODEL_FILE),
    ]
    expected = {name: content for name, content in files_in(folder).items() if not name.startswith(".")}
    assert files_in(store.view(digest)) == expected


def test_what_was_packaged_is_detected_as_what_it_was(store: Store, folder: Path, gguf: Path) -> None:
    for path in (folder, gguf):
        digest = package(store, path, NAME)
        before, after = detect(path).artifact, detect(store.view(digest)).artifact
        assert after == before


def test_an_onnx_folder_is_an_artifact_too(store: Store, tmp_path: Path) -> None:
    root = tmp_path / "onnx-model"
    root.mkdir()
    (root / "model.onnx").write_bytes(encoder_onnx())
    (root / "tokenizer.json").write_bytes(b"{}")
    digest = package(store, root, NAME, task=Task.EMBEDDING)
    assert layers_of(store, digest) == [
        ("model.onnx", mediatypes.MODEL_FILE),
        ("tokenizer.json", mediatypes.MODEL_FILE),
    ]
    (model,) = store.list()
    assert model.artifact is not None
    assert model.artifact.format is Format.ONNX


def test_a_tflite_file_brings_what_was_read_beside_it(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "stripes.tflite"
    path.write_bytes(quantised_tflite())
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    (tmp_path / "notes.txt").write_text("of no use")
    digest = package(store, path, NAME)
    assert layers_of(store, digest) == [
        ("stripes.tflite", mediatypes.MODEL_FILE),
        ("labels.txt", mediatypes.MODEL_FILE),
    ]
    before, after = detect(path), detect(store.view(digest))
    assert (after.artifact, after.labels, after.picture) == (before.artifact, before.labels, before.picture)
    (model,) = store.list()
    assert model.artifact is not None
    assert (model.artifact.format, model.artifact.parameters) == (Format.TFLITE, 253)


def test_a_tflite_file_for_texts_brings_its_tokenizer_and_its_pooling(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "texts.tflite"
    path.write_bytes(table_tflite(np.zeros((5, 8), np.float32), output="last_hidden_state"))
    write_files(tmp_path, {**sentence_files(), "labels.txt": "of no use", "vocab.txt": "of no use"})
    digest = package(store, path, NAME)
    assert [name for name, _ in layers_of(store, digest)] == ["texts.tflite", *sorted(sentence_files())]
    before, after = detect(path), detect(store.view(digest))
    assert (after.artifact, after.embedding) == (before.artifact, before.embedding)
    assert after.tokenizer is not None


def test_a_folder_with_a_tflite_model_is_an_artifact_too(store: Store, tmp_path: Path) -> None:
    root = write_files(tmp_path / "faces", {"model.tflite": float_tflite(), "README.md": "stripes"})
    digest = package(store, root, NAME)
    assert [name for name, _ in layers_of(store, digest)] == ["README.md", "model.tflite"]
    assert detect(store.view(digest)).task is Task.IMAGE_CLASSIFICATION


def test_packaging_twice_gives_one_digest_whatever_the_clock_and_the_owner(store: Store, folder: Path) -> None:
    first = package(store, folder, NAME)
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    renamed = folder.rename(folder.with_name("another-name"))
    assert package(Store(store.root / "other"), renamed, Reference.parse("localhost/other")) == first


def test_the_digest_of_a_known_model_does_not_change(store: Store, gguf: Path) -> None:
    """A change here means that every user's packages get new digests: it must be on purpose."""
    assert package(store, gguf, NAME) == "sha256:4864fba7c18d73a25b822906fe9765c7d04993ce85fb3bd2d940fa638f481f66"


def test_a_moment_of_creation_is_written_only_when_it_is_given(
    store: Store, gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    digest = package(store, gguf, NAME)
    assert config_of(store, digest)["descriptor"] == {"created": "2023-11-14T22:13:20+00:00"}
    (model,) = store.list()
    assert model.created is not None
    assert model.created.year == 2023


@pytest.mark.parametrize("text", ["yesterday", "1e9", "9" * 30])
def test_a_moment_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpec, match="SOURCE_DATE_EPOCH"):
        source_date({"SOURCE_DATE_EPOCH": text})


def test_licences_template_and_context_come_along(store: Store, gguf: Path, tmp_path: Path) -> None:
    licence, template = tmp_path / "LICENCE.md", tmp_path / "mine.jinja"
    licence.write_bytes(b"free")
    template.write_bytes(b"{{ messages }}")
    digest = package(store, gguf, NAME, extras=Extras([licence], template), context_length=512)
    assert layers_of(store, digest)[1:] == [
        ("LICENCE.md", mediatypes.LICENSE),
        ("chat_template.jinja", mediatypes.CHAT_TEMPLATE),
    ]
    assert config_of(store, digest)["config"]["context_size"] == 512  # type: ignore[index]
    assert detect(store.view(digest)).chat_template == "{{ messages }}"


def test_a_template_takes_the_place_of_the_folders_own(store: Store, folder: Path, tmp_path: Path) -> None:
    (folder / "chat_template.jinja").write_bytes(b"old")
    template = tmp_path / "new.jinja"
    template.write_bytes(b"new")
    digest = package(store, folder, NAME, extras=Extras(chat_template=template))
    assert files_in(store.view(digest))["chat_template.jinja"] == b"new"


@pytest.mark.parametrize("length", [0, -1, 2**31])
def test_a_context_that_cannot_be_is_refused(store: Store, gguf: Path, length: int) -> None:
    with pytest.raises(InvalidSpec, match="context length"):
        package(store, gguf, NAME, context_length=length)


def test_a_digest_cannot_be_chosen(store: Store, gguf: Path) -> None:
    with pytest.raises(InvalidSpec):
        package(store, gguf, NAME.with_digest(digest_of(b"")))


def test_links_inside_the_folder_are_followed_and_others_refused(store: Store, folder: Path, tmp_path: Path) -> None:
    (folder / "weights").mkdir()
    (folder / "model.safetensors").rename(folder / "weights" / "real.bin")
    (folder / "model.safetensors").symlink_to("weights/real.bin")
    digest = package(store, folder, NAME)
    assert files_in(store.view(digest))["model.safetensors"] == safetensors()
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "notes.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(UnsupportedModel, match=r"notes\.txt in .* is a link that leads out of it"):
        package(store, folder, NAME)
    (folder / "notes.txt").unlink()
    (folder / "more").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(UnsupportedModel, match="more in"):
        package(store, folder, NAME)


def test_the_cache_of_hugging_face_can_be_packaged(store: Store, folder: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "hub" / "blobs", tmp_path / "hub" / "snapshots" / "abc"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(each for each in folder.iterdir() if each.is_file())):
        path.rename(blobs / str(number))
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    (folder / "1_Pooling").rename(snapshot / "1_Pooling")
    digest = package(store, snapshot, NAME)
    assert files_in(store.view(digest))["model.safetensors"] == safetensors()


def test_a_fifo_is_refused_and_not_waited_for(store: Store, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(UnsupportedModel, match="no regular file"):
        package(store, folder, NAME)


def test_a_file_that_needs_its_folder_says_so(store: Store, folder: Path) -> None:
    with pytest.raises(UnsupportedModel, match="package its folder"):
        package(store, folder / "model.safetensors", NAME)


def test_what_is_no_model_is_not_packaged_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF but not really")
    with pytest.raises(UnsupportedModel):
        package(store, tmp_path / "x.gguf", NAME)
    assert store.list() == ()


def test_names_that_could_not_be_pulled_are_not_packaged(store: Store, folder: Path) -> None:
    (folder / "Config.json").write_bytes(b"{}")
    with pytest.raises(UnsupportedModel, match="collide"):
        package(store, folder, NAME)
    assert store.list() == ()


def test_the_users_file_is_never_the_stores_file(store: Store, gguf: Path) -> None:
    digest = package(store, gguf, NAME)
    with gguf.open("r+b") as file:
        file.write(b"edited")
    assert find_damage(store) == ()
    assert store.blob_path(store.manifest(digest).layers[0].digest).stat().st_ino != gguf.stat().st_ino


def test_a_file_that_changes_while_it_is_copied_is_refused(
    store: Store, gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = ingest._hash_and_copy

    def edit_meanwhile(reading: int, writing: int | None, advance: object) -> object:
        described = honest(reading, writing, lambda _: None)
        os.utime(gguf, (1, 1))
        return described

    monkeypatch.setattr(ingest, "_hash_and_copy", edit_meanwhile)
    with pytest.raises(UnsupportedModel, match="was changed while"):
        package(store, gguf, NAME)
    assert list(store.ingest.iterdir()) == []


def test_blocks_are_shared_where_the_file_system_can(store: Store, gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's answer is played; what must hold is that the clone is what gets hashed."""

    def clone(writing: int, request: int, reading: int) -> int:
        assert request == ingest.FICLONE
        content = os.pread(reading, 1 << 20, 0)
        assert os.pwrite(writing, content, 0) == len(content)
        return 0

    monkeypatch.setattr(fcntl, "ioctl", clone)
    monkeypatch.setattr(ingest, "write_all", None)
    package(store, gguf, NAME)
    assert find_damage(store) == ()


def test_a_disk_that_fills_up_leaves_nothing_behind(store: Store, gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ingest, "write_all", full)
    with pytest.raises(DiskFull, match="no room left"):
        package(store, gguf, NAME)
    assert list(store.ingest.iterdir()) == []
    assert store.list() == ()


def test_progress_counts_every_byte(store: Store, folder: Path) -> None:
    moments: list[Progress] = []
    package(store, folder, NAME, progress=moments.append)
    assert moments[0].stage is Stage.PACKAGING
    assert moments[-1].stage is Stage.DONE
    assert moments[-1].bytes_done == moments[-1].bytes_total > 0
