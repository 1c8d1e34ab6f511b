"""Cross-encoders and classifiers: which of them ranks, and how its folder says that it wants to be run."""

from pathlib import Path
from typing import Any

import pytest
from folder_builders import SENTENCE_MODULES, write_files
from onnx_builders import onnx_value, onnx_with_outputs
from safetensors_builders import safetensors

from berth_api.artifact import Task
from berth_store.detect import ClassifierSettings, DetectedModel, Problem, detect

# The three ways in which versions of sentence-transformers mark a cross-encoder.
MARKS: tuple[dict[str, Any], ...] = (
    {"config_sentence_transformers.json": {"model_type": "CrossEncoder"}, "modules.json": SENTENCE_MODULES[:1]},
    {"config.json": {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity", "version": "4.1"}}},
    {"config.json": {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}},
)


def config(labels: int, **more: Any) -> dict[str, Any]:
    names = {str(at): f"LABEL_{at}" for at in range(labels)}
    return {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "max_position_embeddings": 512,
        "id2label": names,
        **more,
    }


@pytest.fixture(params=["ONNX", "Safetensors"])
def weights(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def found(tmp_path: Path, weights: str, settings: dict[str, Any], **more: Any) -> DetectedModel:
    logits = onnx_value("logits", ("batch", len(settings["id2label"]) or None))
    held = {"ONNX": {"model.onnx": onnx_with_outputs(logits)}, "Safetensors": {"model.safetensors": safetensors()}}
    files = {"config.json": settings, "tokenizer.json": {}, **held[weights], **more}
    return detect(write_files(tmp_path, files))


@pytest.mark.parametrize(
    ("labels", "marked", "unmarked"),
    [
        (1, Task.RERANK, Task.RERANK),
        (2, Task.RERANK, Task.TEXT_CLASSIFICATION),
        (3, Task.TEXT_CLASSIFICATION, Task.TEXT_CLASSIFICATION),
    ],
)
def test_one_label_ranks_and_two_do_where_the_folder_says_that_it_compares_pairs(
    tmp_path: Path, weights: str, labels: int, marked: Task, unmarked: Task
) -> None:
    assert found(tmp_path / "unmarked", weights, config(labels)).task is unmarked
    for at, mark in enumerate(MARKS):
        files = {name: content for name, content in mark.items() if name != "config.json"}
        settings = config(labels, **mark.get("config.json", {}))
        assert found(tmp_path / str(at), weights, settings, **files).task is marked


@pytest.mark.parametrize(
    ("stated", "problem"),
    [
        ({}, Problem.SINGLE_LABEL),
        ({"problem_type": None}, Problem.SINGLE_LABEL),
        ({"problem_type": "single_label_classification"}, Problem.SINGLE_LABEL),
        ({"problem_type": "multi_label_classification"}, Problem.MULTI_LABEL),
        ({"problem_type": "regression"}, Problem.REGRESSION),
        ({"problem_type": ["regression"]}, Problem.SINGLE_LABEL),
    ],
)
def test_how_classes_stand_to_one_another_is_read_from_the_configuration(
    tmp_path: Path, weights: str, stated: dict[str, Any], problem: Problem
) -> None:
    model = found(tmp_path, weights, config(3, **stated), **{"tokenizer_config.json": {"model_max_length": 128}})
    output = "logits" if weights == "ONNX" else None
    assert model.classifier == ClassifierSettings(problem, max_sequence_length=128, output=output)
    assert model.labels == ("LABEL_0", "LABEL_1", "LABEL_2")


def test_a_model_that_gives_no_classes_has_no_such_settings(tmp_path: Path) -> None:
    settings = config(2) | {"architectures": ["BertForCausalLM"]}
    assert found(tmp_path, "Safetensors", settings).classifier is None
