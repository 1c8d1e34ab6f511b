"""What an adapter's file or folder is known by."""

from pathlib import Path
from typing import Any

import pytest
from folder_builders import as_bytes, write_files
from gguf_builders import Tensor, gguf, llama_gguf
from safetensors_builders import safetensors

from berth_api.artifact import Format, Task
from berth_api.errors import UnsupportedModel
from berth_store.detect import detect, detect_adapter_bounded, detect_either_bounded
from berth_store.detect.adapter import MAX_RANK, detect_adapter
from berth_store.detect.model import DetectedAdapter, DetectedModel

LORA: dict[str, Any] = {"general.type": "adapter", "general.architecture": "llama", "adapter.type": "lora"}
PAIR = (Tensor("blk.0.attn_q.weight.lora_a", (64, 4)), Tensor("blk.0.attn_q.weight.lora_b", (4, 64)))
WIDE = (Tensor("blk.0.ffn_up.weight.lora_a", (64, 8)), Tensor("blk.0.ffn_up.weight.lora_b", (8, 64)))
PEFT = {"peft_type": "LORA", "r": 16, "bias": "none", "base_model_name_or_path": "org/model"}
MATRICES = {"base_model.model.q.lora_A.weight": ("F32", (8, 64)), "base_model.model.q.lora_B.weight": ("F32", (64, 8))}


def a_lora(metadata: dict[str, Any] = LORA, tensors: tuple[Tensor, ...] = (*PAIR, *WIDE)) -> bytes:
    return bytes(gguf(metadata, tensors).content)


def a_peft_folder(folder: Path, settings: dict[str, Any] = PEFT, **files: Any) -> Path:
    weights = {"adapter_model.safetensors": safetensors(MATRICES)}
    return write_files(folder, as_bytes({"adapter_config.json": settings, **weights, **files}))


def test_a_lora_in_gguf_is_known_with_its_rank_and_its_models_architecture(tmp_path: Path) -> None:
    (tmp_path / "sql.gguf").write_bytes(a_lora())
    for path in (tmp_path / "sql.gguf", tmp_path):
        found = detect_adapter(path)
        assert (found.artifact.format, found.artifact.task) == (Format.GGUF, Task.AUTO)
        assert found.artifact.architecture == "llama"
        assert found.artifact.size_bytes == (tmp_path / "sql.gguf").stat().st_size
        assert (found.rank, found.path) == (8, tmp_path / "sql.gguf")


def test_a_lora_of_peft_is_known_by_its_settings_and_given_to_an_engine_as_a_folder(tmp_path: Path) -> None:
    a_peft_folder(tmp_path)
    for path in (tmp_path, tmp_path / "adapter_model.safetensors"):
        found = detect_adapter(path)
        assert (found.artifact.format, found.artifact.architecture) == (Format.SAFETENSORS, None)
        assert (found.rank, found.path) == (16, tmp_path)


def test_the_rank_is_that_of_the_largest_matrix(tmp_path: Path) -> None:
    """`rank_pattern` gives some layers more than `r` says."""
    assert detect_adapter(a_peft_folder(tmp_path, PEFT | {"r": 2})).rank == 8


def test_beside_a_model_the_one_adapter_is_meant(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(llama_gguf())
    (tmp_path / "sql.gguf").write_bytes(a_lora())
    assert detect_adapter(tmp_path).path.name == "sql.gguf"
    model = detect(tmp_path)
    assert model.weights[0].name == "model.gguf"
    assert model.notes == ("the adapter sql.gguf is served where spec.adapters names it",)


def test_of_two_adapters_one_has_to_be_named(tmp_path: Path) -> None:
    for name in ("sql.gguf", "poem.gguf"):
        (tmp_path / name).write_bytes(a_lora())
    with pytest.raises(UnsupportedModel, match=r"several adapters: poem\.gguf, sql\.gguf"):
        detect_adapter(tmp_path)
    a_peft_folder(tmp_path / "both")
    (tmp_path / "both" / "sql.gguf").write_bytes(a_lora())
    with pytest.raises(UnsupportedModel, match=r"several adapters: sql\.gguf, adapter_config\.json"):
        detect_adapter(tmp_path / "both")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (llama_gguf(), "no LoRA in GGUF"),
        (a_lora(LORA | {"adapter.type": "control"}), "no LoRA in GGUF"),
        (a_lora(tensors=PAIR[:1]), "not both matrices"),
        (a_lora(tensors=()), "not both matrices"),
        (a_lora(tensors=(Tensor("a.lora_a", (8, MAX_RANK + 1)), Tensor("a.lora_b", (MAX_RANK + 1, 8)))), "rank 513"),
        (b"<html>please log in</html>", "a web page"),
    ],
)
def test_a_file_that_is_no_adapter_is_told_so(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "a.gguf").write_bytes(content)
    with pytest.raises(UnsupportedModel, match=why):
        detect_adapter(tmp_path / "a.gguf")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"peft_type": "IA3"}, "says that it is IA3, and only LORA"),
        ({"r": 4}, "says that it is of no kind"),
        (PEFT | {"use_dora": True}, "sets use_dora, which no engine here serves"),
        (PEFT | {"modules_to_save": ["lm_head"]}, "sets modules_to_save"),
        (PEFT | {"bias": "all", "use_dora": True}, "sets use_dora, bias"),
        (PEFT | {"r": 513}, "has the rank 513"),
    ],
)
def test_settings_that_no_engine_serves_are_named(tmp_path: Path, settings: dict[str, Any], why: str) -> None:
    with pytest.raises(UnsupportedModel, match=why):
        detect_adapter(a_peft_folder(tmp_path, settings))


def test_a_folder_of_peft_without_its_weights_says_what_lacks(tmp_path: Path) -> None:
    write_files(tmp_path, as_bytes({"adapter_config.json": PEFT}))
    with pytest.raises(UnsupportedModel, match=r"no adapter_model\.safetensors"):
        detect_adapter(tmp_path)
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(UnsupportedModel, match="is a Python pickle"):
        detect_adapter(tmp_path)


def test_weights_that_are_no_lora_are_told_from_one(tmp_path: Path) -> None:
    a_peft_folder(tmp_path, **{"adapter_model.safetensors": safetensors({"model.embed.weight": ("F32", (4, 4))})})
    with pytest.raises(UnsupportedModel, match="holds no matrices of a LoRA"):
        detect_adapter(tmp_path)
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "x.safetensors").write_bytes(safetensors(MATRICES))
    with pytest.raises(UnsupportedModel, match=r"no adapter_config\.json"):
        detect_adapter(tmp_path / "alone" / "x.safetensors")


def test_a_folder_without_any_is_told_what_would_be_one(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(llama_gguf())
    with pytest.raises(UnsupportedModel, match="holds no adapter"):
        detect_adapter(tmp_path)


def test_the_bounded_child_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "sql.gguf").write_bytes(a_lora())
    assert detect_adapter_bounded(tmp_path) == detect_adapter(tmp_path)
    assert isinstance(detect_either_bounded(tmp_path / "sql.gguf"), DetectedAdapter)
    (tmp_path / "model.gguf").write_bytes(llama_gguf())
    assert isinstance(detect_either_bounded(tmp_path), DetectedModel)
    with pytest.raises(UnsupportedModel, match="no LoRA in GGUF"):
        detect_adapter_bounded(tmp_path / "model.gguf")
