"""A safetensors folder becomes a model whose task the class in `config.json` states."""

from pathlib import Path
from typing import Any

import pytest
from folder_builders import sentence_files, write_files
from safetensors_builders import Shapes, safetensors

from berth_api.artifact import Artifact, Format, Task
from berth_api.errors import UnsupportedModel
from berth_store.detect import Pooling, detect

LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": 4096}
FIRST: Shapes = {"a": ("F16", (4, 4))}
SECOND: Shapes = {"b": ("F16", (2, 4)), "c": ("F32", (2,))}


def folder(tmp_path: Path, **files: Any) -> Path:
    named = {name.replace("__", "."): content for name, content in files.items()}
    return write_files(tmp_path, {"model.safetensors": safetensors(), "config.json": LLAMA, **named})


def sharded(tmp_path: Path, weight_map: dict[str, str], **files: Any) -> Path:
    shards = {"m-00001-of-00002.safetensors": safetensors(FIRST), "m-00002-of-00002.safetensors": safetensors(SECOND)}
    index = {"metadata": {"total_size": 56}, "weight_map": weight_map}
    return write_files(tmp_path, {**shards, "model.safetensors.index.json": index, "config.json": LLAMA, **files})


WHOLE_MAP = {
    "a": "m-00001-of-00002.safetensors",
    "b": "m-00002-of-00002.safetensors",
    "c": "m-00002-of-00002.safetensors",
}


def test_a_language_model_without_a_template_completes(tmp_path: Path) -> None:
    found = detect(folder(tmp_path))
    assert found.artifact == Artifact(
        format=Format.SAFETENSORS,
        task=Task.COMPLETION,
        architecture="llama",
        parameters=60,
        quantization="F32",
        context_length=4096,
        size_bytes=len(safetensors()),
    )
    assert found.weights == (tmp_path / "model.safetensors",)


NAMED_TEMPLATES = [{"name": "rag", "template": "r"}, {"name": "default", "template": "t"}]


@pytest.mark.parametrize(
    "files",
    [
        {"chat_template__jinja": "t"},
        {"chat_template__json": {"chat_template": "t"}},
        {"tokenizer_config__json": {"chat_template": "t"}},
        {"tokenizer_config__json": {"chat_template": NAMED_TEMPLATES}},
    ],
)
def test_a_language_model_with_a_template_chats_wherever_it_lies(tmp_path: Path, files: dict[str, Any]) -> None:
    found = detect(folder(tmp_path, **files))
    assert (found.task, found.chat_template) == (Task.CHAT, "t")


@pytest.mark.parametrize(
    ("settings", "task"),
    [
        ({"architectures": ["BertForSequenceClassification"]}, Task.TEXT_CLASSIFICATION),
        ({"architectures": ["BertForSequenceClassification"], "num_labels": 1}, Task.RERANK),
        ({"architectures": ["BertForSequenceClassification"], "id2label": {"0": "L"}}, Task.RERANK),
        ({"architectures": ["BertForTokenClassification"]}, Task.TOKEN_CLASSIFICATION),
        ({"architectures": ["ViTForImageClassification"]}, Task.IMAGE_CLASSIFICATION),
        ({"architectures": ["DetrForObjectDetection"]}, Task.OBJECT_DETECTION),
        ({"architectures": ["GPT2LMHeadModel"]}, Task.COMPLETION),
    ],
)
def test_the_class_states_the_task(tmp_path: Path, settings: dict[str, Any], task: Task) -> None:
    beside = {"preprocessor_config__json": {"size": {"height": 8, "width": 8}}}
    assert detect(folder(tmp_path, config__json=settings, **beside)).task is task


@pytest.mark.parametrize("architecture", ["BertModel", "BertForMaskedLM", "T5ForConditionalGeneration"])
def test_a_class_that_can_do_several_things_is_asked_about(tmp_path: Path, architecture: str) -> None:
    folder(tmp_path, config__json={"architectures": [architecture]})
    with pytest.raises(UnsupportedModel, match=rf"config\.json names {architecture}.*set `spec\.task`"):
        detect(tmp_path)
    assert detect(tmp_path, task=Task.COMPLETION).task is Task.COMPLETION


def test_a_sentence_model_embeds_whatever_its_class(tmp_path: Path) -> None:
    found = detect(write_files(tmp_path, {**sentence_files(), "model.safetensors": safetensors()}))
    assert found.task is Task.EMBEDDING
    assert found.embedding is not None
    assert (found.embedding.pooling, found.embedding.normalize) == (Pooling.MEAN, True)


def test_a_cross_encoder_is_no_sentence_model(tmp_path: Path) -> None:
    files = {
        **sentence_files(),
        "model.safetensors": safetensors(),
        "config.json": {"architectures": ["BertForSequenceClassification"], "num_labels": 1},
        "config_sentence_transformers.json": {"model_type": "CrossEncoder"},
    }
    assert detect(write_files(tmp_path, files)).task is Task.RERANK


def test_the_quantization_is_that_of_the_settings(tmp_path: Path) -> None:
    settings = {**LLAMA, "quantization_config": {"quant_method": "gptq"}}
    assert detect(folder(tmp_path, config__json=settings)).artifact.quantization == "gptq"


def test_the_context_of_a_vision_model_is_that_of_its_text(tmp_path: Path) -> None:
    settings = {"architectures": ["LlavaForCausalLM"], "text_config": {"max_position_embeddings": 8192}}
    assert detect(folder(tmp_path, config__json=settings)).artifact.context_length == 8192


def test_shards_are_one_model(tmp_path: Path) -> None:
    found = detect(sharded(tmp_path, WHOLE_MAP))
    assert found.artifact.parameters == 16 + 8 + 2
    assert [path.name for path in found.weights] == sorted(set(WHOLE_MAP.values()))
    assert detect(tmp_path / "m-00001-of-00002.safetensors").weights == found.weights


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    sharded(tmp_path, WHOLE_MAP)
    (tmp_path / "m-00002-of-00002.safetensors").unlink()
    with pytest.raises(UnsupportedModel, match=r"names 'm-00002-of-00002\.safetensors'"):
        detect(tmp_path)


def test_shards_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("berth_store.detect.safetensors.MAX_TENSORS", 2)
    with pytest.raises(UnsupportedModel, match="hold more than 2 tensors"):
        detect(sharded(tmp_path, WHOLE_MAP))


def test_an_index_that_disagrees_with_its_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"tensor 'a' is in m-00002-of-00002\.safetensors, and it is not"):
        detect(sharded(tmp_path, {**WHOLE_MAP, "a": "m-00002-of-00002.safetensors"}))


def test_several_files_without_an_index_are_asked_about(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.safetensors": safetensors(), "b.safetensors": safetensors(), "config.json": LLAMA})
    with pytest.raises(UnsupportedModel, match=r"several safetensors files and no index: a\.safetensors, b\.safetens"):
        detect(tmp_path)
    assert detect(tmp_path / "b.safetensors").weights == (tmp_path / "b.safetensors",)


@pytest.mark.parametrize(
    ("name", "why"), [("adapter_config__json", "an adapter"), ("model_index__json", "a pipeline of several models")]
)
def test_a_part_of_a_model_is_no_model(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(UnsupportedModel, match=why):
        detect(folder(tmp_path, **{name: {}}))


def test_python_that_the_model_asks_for_is_noticed(tmp_path: Path) -> None:
    settings = {**LLAMA, "auto_map": {"AutoModel": "modeling_x.X", "AutoConfig": "configuration_x.C"}}
    found = detect(folder(tmp_path, config__json=settings, modeling_x__py="raise SystemExit"))
    assert found.remote_code == ("configuration_x.C", "modeling_x.X")


def test_python_that_only_lies_there_is_noticed_too(tmp_path: Path) -> None:
    assert detect(folder(tmp_path, modeling_x__py="raise SystemExit")).remote_code == ("modeling_x.py",)


def test_a_damaged_shard_is_refused_with_its_name(tmp_path: Path) -> None:
    sharded(tmp_path, WHOLE_MAP)
    (tmp_path / "m-00002-of-00002.safetensors").write_bytes(safetensors(SECOND)[:-1])
    with pytest.raises(UnsupportedModel, match=r"m-00002-of-00002\.safetensors: the data of the tensors end at byte"):
        detect(tmp_path)
