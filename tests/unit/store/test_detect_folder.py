"""Content decides before names, the folder's own files before links, and what is left open is asked for."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest
from folder_builders import sentence_files, write_files
from gguf_builders import llama_gguf
from onnx_builders import encoder_onnx
from safetensors_builders import safetensors

from berth_api.artifact import Format, Task
from berth_api.errors import PickleRefused, UnsupportedModel
from berth_store.detect import detect

LLAMA_CONFIG = {"architectures": ["LlamaForCausalLM"]}


def torch_zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    return content.getvalue()


def exported_zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("m/data/weights/weight_0", bytes(24))
        archive.writestr("m/models/model.json", "{}")
    return content.getvalue()


KINDS: dict[str, tuple[bytes, str]] = {
    "a pickle": (pickle.dumps({"weight": [1, 2]}), "is a Python pickle: loading a pickle runs whatever code"),
    "a pickle of protocol 2": (pickle.dumps([1], protocol=2), "is a Python pickle"),
    "an archive of PyTorch": (torch_zip(), "is a Python pickle"),
    "an archive of torch.export": (exported_zip(), "export the model to ONNX, or bring its safetensors"),
    "an old archive of PyTorch": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "convert the weights to safetensors"),
    "GGML from before GGUF": (b"tjgg\3\0\0\0" + b"\0" * 32, "from before GGUF"),
    "the runtime's own format": (b"\x20\0\0\0ORTM" + b"\0" * 32, "private format of ONNX Runtime"),
    "Keras": (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    "a zip archive": (b"PK\3\4" + b"\0" * 40, "unpack it and name the folder"),
    "a compressed archive": (b"\x1f\x8b\x08\0\0", "unpack it and name the folder"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "run `git lfs pull`"),
    "a web page": (b"\n<!DOCTYPE html><html>", "fetch the file again, signed in"),
    "nothing": (b"", "an empty file"),
    "prose": (b"# A model\n", "begins like neither GGUF, safetensors, ONNX nor TFLite"),
}


@pytest.mark.parametrize(("content", "why"), KINDS.values(), ids=KINDS.keys())
def test_what_is_no_model_is_told_from_its_content(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(content)
    with pytest.raises(UnsupportedModel, match=r"^weights\.bin is ") as refused:
        detect(path)
    assert why in str(refused.value)


ENCODER_CONFIG = {"architectures": ["BertModel"], "model_type": "bert"}


def test_a_folder_of_pickles_is_refused_for_what_they_are(tmp_path: Path) -> None:
    write_files(tmp_path, {"pytorch_model.bin": torch_zip(), "config.json": LLAMA_CONFIG})
    with pytest.raises(PickleRefused, match=r"pytorch_model\.bin is a Python pickle"):
        detect(tmp_path)


def test_pickles_beside_safetensors_are_passed_over(tmp_path: Path) -> None:
    files = {"pytorch_model.bin": torch_zip(), "model.safetensors": safetensors(), "config.json": LLAMA_CONFIG}
    assert detect(write_files(tmp_path, files)).format is Format.SAFETENSORS


def test_pickles_that_are_trusted_are_a_model_where_there_is_no_other(tmp_path: Path) -> None:
    files = {"pytorch_model.bin": torch_zip(), "training_args.bin": torch_zip(), "config.json": ENCODER_CONFIG}
    write_files(tmp_path, {**files, "tokenizer.json": {}})
    found = detect(tmp_path, task=Task.EMBEDDING, pickles=True)
    assert (found.format, found.weights) == (Format.PYTORCH, (tmp_path / "pytorch_model.bin",))
    assert found.artifact.architecture == "bert"
    assert found.artifact.size_bytes == len(torch_zip())
    assert found.artifact.parameters is None
    assert detect(tmp_path / "pytorch_model.bin", task=Task.EMBEDDING, pickles=True) == found
    write_files(tmp_path, {"model.safetensors": safetensors()})
    assert detect(tmp_path, task=Task.EMBEDDING, pickles=True).format is Format.SAFETENSORS
    asked = detect(tmp_path, task=Task.EMBEDDING, pickles=True, formats={Format.PYTORCH})
    assert asked.format is Format.PYTORCH
    with pytest.raises(PickleRefused, match=r"spec\.trust\.pickle"):
        detect(tmp_path / "pytorch_model.bin")


def test_of_shards_in_pickles_the_index_tells_which_they_are(tmp_path: Path) -> None:
    names = [f"pytorch_model-0000{number}-of-00002.bin" for number in (1, 2)]
    index = {"weight_map": {"a": names[0], "b": names[1]}}
    files = {**dict.fromkeys(names, torch_zip()), "config.json": ENCODER_CONFIG}
    write_files(tmp_path, files)
    with pytest.raises(UnsupportedModel, match=r"none is pytorch_model\.bin.*add pytorch_model\.bin\.index\.json"):
        detect(tmp_path, task=Task.EMBEDDING, pickles=True)
    write_files(tmp_path, {"pytorch_model.bin.index.json": index})
    found = detect(tmp_path, task=Task.EMBEDDING, pickles=True)
    assert [path.name for path in found.weights] == names
    outside = {"weight_map": {"a": "../x.bin"}}
    with pytest.raises(UnsupportedModel, match="outside the model's folder"):
        detect(write_files(tmp_path, {"pytorch_model.bin.index.json": outside}), task=Task.EMBEDDING, pickles=True)


def test_a_pointer_in_place_of_weights_is_the_reason_that_is_told(tmp_path: Path) -> None:
    write_files(tmp_path, {"model.safetensors": KINDS["a pointer"][0], "config.json": LLAMA_CONFIG, "README.md": "x"})
    with pytest.raises(UnsupportedModel, match="run `git lfs pull`"):
        detect(tmp_path)


def test_a_damaged_file_with_the_name_of_weights_is_read_as_such(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(UnsupportedModel, match=r"^model\.safetensors: it claims a header"):
        detect(tmp_path)


def test_an_empty_folder_holds_no_model(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="holds no model: no file in it is GGUF"):
        detect(tmp_path)


def test_hidden_files_are_no_models(tmp_path: Path) -> None:
    (tmp_path / ".model.gguf").write_bytes(llama_gguf())
    with pytest.raises(UnsupportedModel, match="holds no model"):
        detect(tmp_path)


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="can't be read: No such file"):
        detect(tmp_path / "missing")


@pytest.mark.timeout(20)
def test_fifos_and_links_that_lead_out_are_passed_over_and_told(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_files(folder, {"model.gguf": llama_gguf()})
    write_files(tmp_path, {"other.gguf": llama_gguf()})
    os.mkfifo(folder / "pipe.gguf")
    (folder / "link.gguf").symlink_to(tmp_path / "other.gguf")
    (folder / "zero.gguf").symlink_to("/dev/zero")
    found = detect(folder)
    assert found.weights == (folder / "model.gguf",)
    (note,) = found.notes
    assert all(name in note for name in ("pipe.gguf", "link.gguf", "zero.gguf"))


@pytest.mark.timeout(20)
def test_a_folder_of_nothing_but_links_that_lead_out_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    write_files(tmp_path, {"other.gguf": llama_gguf()})
    (folder / "link.gguf").symlink_to(tmp_path / "other.gguf")
    with pytest.raises(UnsupportedModel, match=r"'link\.gguf' lead out of it"):
        detect(folder)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused(path: str) -> None:
    with pytest.raises(UnsupportedModel, match="regular files only"):
        detect(Path(path))


def test_a_link_that_the_user_names_is_followed(tmp_path: Path) -> None:
    write_files(tmp_path / "real", {"model.gguf": llama_gguf()})
    (tmp_path / "link.gguf").symlink_to(tmp_path / "real" / "model.gguf")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert detect(tmp_path / "link.gguf").task is Task.CHAT
    assert detect(tmp_path / "link").task is Task.CHAT


def test_a_name_that_cannot_be_printed_is_no_model(tmp_path: Path) -> None:
    broken = tmp_path / os.fsdecode(b"model-\xff.gguf")
    broken.write_bytes(llama_gguf())
    with pytest.raises(UnsupportedModel, match="can't be printed"):
        detect(broken)
    with pytest.raises(UnsupportedModel, match="lead out of it or are no files"):
        detect(tmp_path)


def test_an_encoder_as_onnx_and_safetensors_is_served_as_onnx(tmp_path: Path) -> None:
    files = {**sentence_files(), "model.safetensors": safetensors(), "onnx/model.onnx": encoder_onnx()}
    found = detect(write_files(tmp_path, files))
    assert found.format is Format.ONNX
    (note,) = found.notes
    assert note == "the folder also holds Safetensors: set `spec.artifact.format` to Safetensors to serve that"
    assert detect(tmp_path, formats={Format.SAFETENSORS}).format is Format.SAFETENSORS


def test_a_language_model_as_onnx_and_safetensors_is_served_as_safetensors(tmp_path: Path) -> None:
    files = {"model.safetensors": safetensors(), "onnx/model.onnx": encoder_onnx(), "config.json": LLAMA_CONFIG}
    found = detect(write_files(tmp_path, files))
    assert (found.format, found.task, len(found.notes)) == (Format.SAFETENSORS, Task.COMPLETION, 1)


def test_gguf_beside_another_format_is_asked_about(tmp_path: Path) -> None:
    files = {"model.safetensors": safetensors(), "model.gguf": llama_gguf(), "config.json": LLAMA_CONFIG}
    with pytest.raises(UnsupportedModel, match=r"models of several formats: GGUF, Safetensors; set `spec\.artifact"):
        detect(write_files(tmp_path, files))
    assert detect(tmp_path, formats={Format.GGUF}).format is Format.GGUF


def test_a_format_that_is_not_there_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path, {"model.gguf": llama_gguf()})
    for path in (tmp_path, tmp_path / "model.gguf"):
        with pytest.raises(UnsupportedModel, match="ONNX"):
            detect(path, formats={Format.ONNX})


def test_a_folder_of_thousands_of_files_is_no_models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("berth_store.detect.folder.MAX_ENTRIES", 3)
    write_files(tmp_path, {f"{number}.txt": "x" for number in range(4)})
    with pytest.raises(UnsupportedModel, match="more than 3 entries"):
        detect(tmp_path)
