"""Rerank and classification on models of a few kilobytes, from ONNX and from safetensors: what transformers says."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from recorded_reply import RecordedReply
from safetensors.numpy import load_file, save_file
from tiny_classifiers import (
    CLASSIFIERS,
    DOCUMENTS,
    ENTITY_LABELS,
    LONG_QUERY,
    QUERY,
    SENTIMENTS,
    TEXTS,
    write_tiny_classifier,
)
from tiny_encoders import CONFIGS, write_sentence_modules, write_tiny_encoder, write_tiny_tokenizer

from berth_api.artifact import Format, Task
from berth_runtime.engines.onnxruntime import create
from berth_runtime.engines.protocol import (
    Capabilities,
    ChatRequest,
    ClassificationRequest,
    EmbeddingRequest,
    Engine,
    EngineSettings,
    LoadFailed,
    Operation,
    Request,
    RerankRequest,
)
from berth_store.convert.encoder import convert_encoder
from berth_store.detect import DetectedModel, Pooling, Problem, detect

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parents[3] / "reference/tiny_classifiers.json").read_text())
CASES: dict[str, Any] = REFERENCE["cases"]
TOLERANCE = 1e-5
RERANKERS = [name for name in CLASSIFIERS if "rerank" in name]
FINDERS = [name for name in CLASSIFIERS if name.endswith("entities")]
WHOLE_TEXTS = [name for name in CLASSIFIERS if name not in RERANKERS + FINDERS]


@pytest.fixture(params=[Format.ONNX, Format.SAFETENSORS])
def form(request: pytest.FixtureRequest) -> Format:
    form: Format = request.param
    return form


def model_of(tmp_path: Path, name: str, form: Format = Format.SAFETENSORS, **changes: object) -> DetectedModel:
    source = write_tiny_classifier(tmp_path / "source", name, **changes)
    if form is Format.SAFETENSORS:
        return detect(source)
    convert_encoder(source, tmp_path / "onnx")
    return detect(tmp_path / "onnx")


def settings_of(
    model: DetectedModel, *, task: Task | None = None, args: Mapping[str, str] | None = None, **more: Any
) -> EngineSettings:
    return EngineSettings(
        model=model, name="tiny", task=task or model.task, threads=2, memory_bytes=1 << 30, args=args or {}, **more
    )


def load(model: DetectedModel, **more: Any) -> tuple[Engine, Capabilities]:
    engine = create(settings_of(model, **more))
    capabilities = engine.load()
    engine.prove()
    return engine, capabilities


def ask(engine: Engine, request: Request) -> RecordedReply:
    reply = RecordedReply()
    engine.submit(request, reply)
    return reply.wait()


@pytest.mark.parametrize("name", RERANKERS)
def test_a_score_is_the_one_of_the_reference_also_where_texts_are_cut(tmp_path: Path, name: str, form: Format) -> None:
    model = model_of(tmp_path, name, form)
    assert (model.task, model.format) == (Task.RERANK, form)
    engine, capabilities = load(model)
    assert capabilities.parameters.keys() == {Operation.RERANK}
    for query, key in ((QUERY, "scores"), (LONG_QUERY, "of the long query")):
        scores = ask(engine, RerankRequest(query, DOCUMENTS)).matrix()
        np.testing.assert_allclose(scores[:, 0], CASES[name][key], atol=TOLERANCE)


@pytest.mark.parametrize("name", WHOLE_TEXTS)
def test_probabilities_are_those_of_the_reference(tmp_path: Path, name: str, form: Format) -> None:
    model = model_of(tmp_path, name, form)
    assert (model.task, model.format) == (Task.TEXT_CLASSIFICATION, form)
    engine, capabilities = load(model)
    assert capabilities.labels == SENTIMENTS
    found = ask(engine, ClassificationRequest(TEXTS)).matrix()
    np.testing.assert_allclose(found, CASES[name]["probabilities"], atol=TOLERANCE)


@pytest.mark.parametrize("aggregation", ["first", "simple"])
@pytest.mark.parametrize("name", FINDERS)
def test_entities_are_those_of_the_reference(tmp_path: Path, name: str, aggregation: str, form: Format) -> None:
    model = model_of(tmp_path, name, form)
    assert (model.task, model.format) == (Task.TOKEN_CLASSIFICATION, form)
    engine, capabilities = load(model, args={"aggregation": aggregation})
    assert capabilities.labels == ENTITY_LABELS
    reply = ask(engine, ClassificationRequest(TEXTS))
    answer = json.loads(reply.chunks[0])
    assert len(reply.chunks) == 1
    for text, found, expected in zip(TEXTS, answer, CASES[name][aggregation], strict=True):
        assert [each["text"] for each in found] == [text[each["start"] : each["end"]] for each in expected]
        places = [(each["label"], each["start"], each["end"]) for each in expected]
        assert [(each["label"], each["start"], each["end"]) for each in found] == places
        np.testing.assert_allclose(
            [each["score"] for each in found], [each["score"] for each in expected], atol=TOLERANCE
        )


def test_entities_of_whole_words_are_found_unless_told_otherwise(tmp_path: Path) -> None:
    engine, _ = load(model_of(tmp_path, "bert-entities"))
    found = json.loads(ask(engine, ClassificationRequest(TEXTS)).chunks[0])
    ends = [[each["end"] for each in text] for text in found]
    assert ends == [[each["end"] for each in text] for text in CASES["bert-entities"]["first"]]


def test_batch_mates_change_nothing(tmp_path: Path) -> None:
    engine, _ = load(model_of(tmp_path, "bert-rerank"))
    alone = [ask(engine, RerankRequest(QUERY, (document,))).matrix()[0, 0] for document in DOCUMENTS]
    together = ask(engine, RerankRequest(QUERY, DOCUMENTS * 20)).matrix()[:, 0]
    np.testing.assert_allclose(together, alone * 20, atol=TOLERANCE)


def test_all_tokens_are_counted_those_of_the_query_with_each_document(tmp_path: Path) -> None:
    engine, _ = load(model_of(tmp_path, "bert-rerank"))
    result = ask(engine, RerankRequest("w7 w8", ("w9", "w9 w10"))).result
    assert result is not None
    assert result.prompt_tokens == (3 + 2 + 1) + (3 + 2 + 2)
    finder, _ = load(model_of(tmp_path, "bert-entities"))
    usage = ask(finder, ClassificationRequest(("w9", "w9 w10"))).usage
    assert usage is not None
    assert usage.prompt_tokens == 3 + 4


def test_a_pair_that_is_too_long_is_refused_by_its_index_where_truncation_is_switched_off(tmp_path: Path) -> None:
    engine, _ = load(model_of(tmp_path, "bert-rerank"), args={"truncate": "false"})
    failure = ask(engine, RerankRequest(QUERY, DOCUMENTS)).refused()
    assert (failure.status, failure.code, failure.param) == (400, "context_length_exceeded", "documents")
    assert failure.message.startswith("documents[2] with the query has 46 tokens, but this model takes 16 at most")


def test_a_text_to_be_classified_is_never_cut_unless_it_was_asked_for(tmp_path: Path) -> None:
    model = model_of(tmp_path, "bert-sentiment")
    failure = ask(load(model)[0], ClassificationRequest(("w7", "w8 " * 20))).refused()
    assert (failure.code, failure.param) == ("context_length_exceeded", "input")
    assert failure.message.startswith("input[1] has 22 tokens, but this model takes 16 at most")
    cutting, _ = load(model, args={"truncate": "true"})
    assert ask(cutting, ClassificationRequest(("w7", "w8 " * 20))).matrix().shape == (2, 3)


@pytest.mark.parametrize(
    ("query", "documents", "where"),
    [("\ud800", ("w7",), "query holds"), ("w7", ("w8", "w9\udfff"), r"documents\[1\] holds")],
)
def test_text_that_is_no_unicode_is_refused_by_its_field(
    tmp_path: Path, query: str, documents: tuple[str, ...], where: str
) -> None:
    engine, _ = load(model_of(tmp_path, "bert-rerank"))
    failure = ask(engine, RerankRequest(query, documents)).refused()
    assert (failure.status, failure.code) == (400, "invalid_value")
    assert failure.param == where.split("[", maxsplit=1)[0].split(" ", maxsplit=1)[0].rstrip("\\")


@pytest.mark.parametrize("request_of_another", [EmbeddingRequest(("w7",)), ChatRequest(b"{}", stream=False)])
@pytest.mark.parametrize("name", ["bert-rerank", "bert-sentiment", "bert-entities"])
def test_a_request_of_another_operation_is_refused(tmp_path: Path, name: str, request_of_another: Request) -> None:
    engine, _ = load(model_of(tmp_path, name))
    assert ask(engine, request_of_another).refused().code == "unsupported_operation"


def test_classes_are_counted_where_the_graph_gives_their_number_a_name(tmp_path: Path) -> None:
    model = model_of(tmp_path, "bert-sentiment", Format.ONNX)
    graph = onnx.load(str(model.weights[0]))
    graph.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "Addlogits_dim_1"
    model.weights[0].write_bytes(graph.SerializeToString())
    assert load(detect(model.root))[1].labels == SENTIMENTS
    with pytest.raises(LoadFailed, match="has 3 classes, but config.json names 1"):  # noqa: RUF043
        load(replace(model, labels=("one",)))


def test_classes_without_names_are_numbered(tmp_path: Path) -> None:
    _, capabilities = load(model_of(tmp_path, "bert-sentiment", id2label={}))
    assert capabilities.labels == ("LABEL_0", "LABEL_1", "LABEL_2")


def test_names_that_are_not_as_many_as_the_classes_are_refused(tmp_path: Path) -> None:
    model = model_of(tmp_path, "bert-sentiment")
    with pytest.raises(LoadFailed, match=r"has 3 classes, but config\.json names 2"):
        load(replace(model, labels=("no", "yes")))


def test_a_classifier_of_three_classes_is_no_reranker(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="negative, neutral, positive, and a reranker has one, or no and yes"):
        load(model_of(tmp_path, "bert-sentiment"), task=Task.RERANK)


def test_two_classes_rank_where_the_user_says_so(tmp_path: Path) -> None:
    model = model_of(tmp_path, "bert-rerank-no-yes", sentence_transformers={})
    assert model.task is Task.TEXT_CLASSIFICATION
    engine, _ = load(model, task=Task.RERANK)
    scores = ask(engine, RerankRequest(QUERY, DOCUMENTS)).matrix()
    np.testing.assert_allclose(scores[:, 0], CASES["bert-rerank-no-yes"]["scores"], atol=TOLERANCE)


def test_a_regression_is_not_passed_off_as_probabilities(tmp_path: Path) -> None:
    model = model_of(tmp_path, "bert-sentiment", problem_type="regression")
    assert model.classifier is not None
    assert model.classifier.problem is Problem.REGRESSION
    with pytest.raises(LoadFailed, match="'regression': the model gives numbers and no classes"):
        load(model)


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("bert-rerank", {"pooling": "mean"}, "no argument 'pooling' for the task Rerank; it has output, provider"),
        ("bert-entities", {"aggregation": "max"}, "aggregation=max is not known; it may be first, simple"),
        ("bert-sentiment", {"output": "logitz"}, "no output 'logitz', it has logits"),
        ("bert-sentiment", {"provider": "cuda"}, "provider=cuda asks for what this build of ONNX Runtime lacks"),
        ("bert-sentiment", {"provider": "abacus"}, "provider=abacus is not known; it may be gpu, cpu, cuda"),
    ],
)
def test_an_engine_argument_that_can_not_be_right_is_named(
    tmp_path: Path, name: str, args: dict[str, str], words: str
) -> None:
    with pytest.raises(LoadFailed, match=words):
        load(model_of(tmp_path, name), args=args)


def test_the_context_length_is_the_tokenizers_within_the_models_positions(tmp_path: Path) -> None:
    model = model_of(tmp_path, "bert-rerank")
    assert load(model)[1].context_length == 16
    assert load(model, context_length=9)[1].context_length == 9
    with pytest.raises(LoadFailed, match="21 was asked for, but this model takes 20"):
        load(model, context_length=21)


def test_a_head_of_another_task_is_named_with_the_tensor_that_is_missing(tmp_path: Path) -> None:
    model = model_of(tmp_path, "bert-entities")
    with pytest.raises(LoadFailed, match=r"lack the tensor pooler.dense.weight"):
        load(model, task=Task.TEXT_CLASSIFICATION)


def test_a_model_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"no tokenizer\.json beside the weights"):
        load(replace(model_of(tmp_path, "bert-rerank"), tokenizer=None))


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    folder = write_tiny_encoder(tmp_path / "encoder", CONFIGS["bert"])
    write_tiny_tokenizer(folder)
    return write_sentence_modules(folder)


def embed(folder: Path, **args: str) -> Any:
    engine, _ = load(detect(folder), args=args)
    return ask(engine, EmbeddingRequest(("w7", "w8 w9 w10", "w7 w7"))).matrix()


@pytest.mark.parametrize("pooling", [each for each in Pooling if each is not Pooling.IN_GRAPH])
def test_vectors_from_safetensors_are_those_of_the_converted_graph(
    tmp_path: Path, encoder: Path, pooling: Pooling
) -> None:
    convert_encoder(encoder, tmp_path / "onnx")
    expected = embed(tmp_path / "onnx", pooling=pooling, output="last_hidden_state")
    np.testing.assert_allclose(embed(encoder, pooling=pooling), expected, atol=1e-6)


def test_nothing_is_written_to_serve_safetensors(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "no such folder"))
    before = sorted(encoder.rglob("*"))
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)
    encoder.chmod(0o555)
    embed(encoder)
    assert sorted(encoder.rglob("*")) == before


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_weights_of_another_precision_are_served(encoder: Path, dtype: type[np.floating]) -> None:
    expected = embed(encoder)
    weights = load_file(encoder / "model.safetensors")
    save_file({name: array.astype(dtype) for name, array in weights.items()}, encoder / "model.safetensors")
    np.testing.assert_allclose(embed(encoder), expected, atol=5e-3)


def test_shards_and_links_into_a_store_are_served(tmp_path: Path, encoder: Path) -> None:
    expected = embed(encoder)
    weights = load_file(encoder / "model.safetensors")
    (encoder / "model.safetensors").unlink()
    blobs = tmp_path / "store/blobs/sha256"
    blobs.mkdir(parents=True)
    names = sorted(weights)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for part, held in parts.items():
        save_file({name: weights[name] for name in held}, blobs / part.removesuffix(".safetensors"))
    index = {"weight_map": {name: part for part, held in parts.items() for name in held}}
    (encoder / "model.safetensors.index.json").write_text(json.dumps(index))
    view = tmp_path / "store/views/minilm"
    view.parent.mkdir()
    encoder.rename(view)
    for part in parts:
        (view / part).symlink_to(f"../../blobs/sha256/{part.removesuffix('.safetensors')}")
    np.testing.assert_array_equal(embed(view), expected)


def test_a_module_after_the_encoder_is_never_left_out_silently(encoder: Path) -> None:
    modules = json.loads((encoder / "modules.json").read_text())
    modules.append({"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"})
    (encoder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(LoadFailed, match=r"Dense of modules\.json, which no engine here runs"):
        load(detect(encoder))


def test_an_architecture_that_can_not_be_converted_is_named(encoder: Path) -> None:
    config = json.loads((encoder / "config.json").read_text())
    (encoder / "config.json").write_text(json.dumps(config | {"model_type": "qwen3"}))
    with pytest.raises(LoadFailed, match="model_type 'qwen3', which can't be converted to ONNX; convert one of bert"):
        load(detect(encoder))
