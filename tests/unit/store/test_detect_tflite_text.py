"""What is known of a TFLite graph for texts: inputs and outputs by their names, the task by what lies beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folder_builders import sentence_files, write_files
from tflite_builders import Graph, flat_table
from tflite_encoder import ANY, table_tflite

from berth_api.artifact import EngineType, Format, Task
from berth_api.engines import choose_engine
from berth_api.errors import UnsupportedModel
from berth_store.detect import DetectedModel, EmbeddingSettings, Pooling, detect
from berth_store.detect.tflite_text import text_inputs, why_no_vectors
from berth_store.headers.tflite import TfliteHeader, read_tflite

TABLE = np.zeros((5, 8), np.float32)
IDS, MASK, TYPES, PLACES = "input_ids", "attention_mask", "token_type_ids", "position_ids"
End = tuple[str, tuple[int, ...], str]


def found(tmp_path: Path, content: bytes, *, task: Task = Task.AUTO, **beside: Any) -> DetectedModel:
    """The model of a folder with the files of sentence-transformers; `beside` replaces them, None takes away."""
    files = {**sentence_files(), **{name.replace("__", "."): each for name, each in beside.items()}}
    files = {name: each for name, each in files.items() if each is not None}
    return detect(write_files(tmp_path, {"model.tflite": content, **files}), task=task)


def header_of(
    tmp_path: Path,
    inputs: Mapping[str, End] | list[End],
    outputs: list[End] | None = None,
    *,
    key: str | None = None,
    **more: Any,
) -> TfliteHeader:
    """A graph of ends alone: (name, shape, type) each, by the names of a signature where `inputs` has some."""
    graph = Graph()
    called = inputs if isinstance(inputs, Mapping) else {}
    ends = list(called.values()) if isinstance(inputs, Mapping) else inputs
    places = [graph.tensor(name, shape, kind) for name, shape, kind in ends]
    said = [graph.tensor(name, shape, kind) for name, shape, kind in outputs or [("out", (1, 8), "float32")]]
    names = dict(zip(places, called, strict=False))
    path = tmp_path / "ends.tflite"
    path.write_bytes(graph.build(places, said, signature=key, names=names, **more))
    return read_tflite(path)


def words(header: TfliteHeader) -> list[str]:
    """What the graph's inputs are, in its order."""
    inputs = text_inputs(header)
    assert inputs is not None, why_no_vectors(header)
    by_index = {tensor.index: word for word, tensor in inputs.tensors.items()}
    return [by_index[tensor.index] for tensor in header.inputs]


def test_the_vectors_of_tokens_are_pooled_as_the_folder_says(tmp_path: Path) -> None:
    model = found(tmp_path, table_tflite(TABLE, output="last_hidden_state"))
    assert (model.format, model.task, model.artifact.context_length) == (Format.TFLITE, Task.EMBEDDING, 512)
    assert (model.artifact.architecture, model.artifact.parameters) == ("bert", 40)
    assert model.tokenizer == tmp_path / "tokenizer.json"
    assert model.picture is None
    assert model.embedding == EmbeddingSettings(
        Pooling.MEAN, normalize=True, max_sequence_length=256, dimensions=8, output="last_hidden_state"
    )
    assert choose_engine(model.artifact) is EngineType.LITERT


def test_a_vector_of_the_text_is_taken_as_it_is(tmp_path: Path) -> None:
    model = found(tmp_path, table_tflite(TABLE, pools=True, length=16))
    assert (model.task, model.artifact.context_length) == (Task.EMBEDDING, 16)
    assert model.embedding is not None
    assert (model.embedding.pooling, model.embedding.output) == (Pooling.IN_GRAPH, "output_0")


NO_SENTENCE = {"modules__json": None, "1_Pooling/config.json": None}


def test_a_name_for_the_texts_vector_says_the_task_without_files(tmp_path: Path) -> None:
    content = table_tflite(TABLE, pools=True, output="sentence_embedding")
    assert found(tmp_path, content, **NO_SENTENCE).task is Task.EMBEDDING


@pytest.mark.parametrize("pools", [True, False], ids=["a row", "a row for each token"])
def test_a_graph_that_may_as_well_classify_is_asked_about(tmp_path: Path, pools: bool) -> None:
    content = table_tflite(TABLE, pools=pools)
    with pytest.raises(UnsupportedModel, match=r"nor the files beside it tell it; set `spec\.task` .*, Embedding"):
        found(tmp_path, content, **NO_SENTENCE)
    model = found(tmp_path, content, task=Task.EMBEDDING, **NO_SENTENCE)
    assert model.embedding is not None
    assert model.embedding.pooling is (Pooling.IN_GRAPH if pools else None)


def test_what_compares_pairs_makes_no_vectors_unasked(tmp_path: Path) -> None:
    settings = {"config_sentence_transformers__json": {"model_type": "CrossEncoder"}}
    with pytest.raises(UnsupportedModel, match="its task is open"):
        found(tmp_path, table_tflite(TABLE, pools=True), **settings)


def test_without_a_tokenizer_it_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(
        UnsupportedModel, match=r"has no tokenizer\.json, and model\.tflite works on token numbers; put"
    ):
        found(tmp_path, table_tflite(TABLE, pools=True), tokenizer__json=None)


def test_modules_after_the_graph_that_nobody_runs_are_named(tmp_path: Path) -> None:
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": ""} for kind in ("Transformer", "Dense")]
    with pytest.raises(UnsupportedModel, match=r"model\.tflite ends before the modules Dense"):
        found(tmp_path, table_tflite(TABLE, output="last_hidden_state"), modules__json=modules)


NAMED: dict[str, tuple[Any, str | None, list[str]]] = {
    "by a signature, in another order": (
        {MASK: ("b:0", (1, 16), "int64"), TYPES: ("c:0", (1, 16), "int64"), IDS: ("a:0", (1, 16), "int64")},
        "run",
        [MASK, TYPES, IDS],
    ),
    "by tensors of TensorFlow's converter": (
        [(f"serving_default_{name}:0", (1, 16), "int32") for name in (MASK, IDS, PLACES)],
        None,
        [MASK, IDS, PLACES],
    ),
    "by the key of another signature": (
        {"x": ("model_input_ids:0", (1, 16), "int64"), "y": ("model_attention_mask:0", (1, 16), "int64")},
        "model",
        [IDS, MASK],
    ),
    "in TensorFlow's own words": (
        [
            (f"serving_default_{name}:0", (1, 16), "int32")
            for name in ("input_word_ids", "input_mask", "input_type_ids")
        ],
        None,
        [IDS, MASK, TYPES],
    ),
    "in those of the library for tasks": (
        [(name, (1, 16), "int32") for name in ("ids", "mask", "segment_ids")],
        None,
        [IDS, MASK, TYPES],
    ),
    "as the only one": ({"args_0": ("serving_default_args_0:0", (1, 16), "int32")}, "serving_default", [IDS]),
    "as the only one without a name": ([("x", (1, 16), "int32"), (MASK, (1, 16), "int32")], None, [IDS, MASK]),
}


@pytest.mark.parametrize(("inputs", "key", "wanted"), NAMED.values(), ids=NAMED)
def test_inputs_are_told_apart(tmp_path: Path, inputs: Any, key: str | None, wanted: list[str]) -> None:
    assert words(header_of(tmp_path, inputs, key=key)) == wanted


def test_names_of_the_metadata_tell_inputs_apart(tmp_path: Path) -> None:
    described = flat_table({0: "texts", 3: [{2: [{0: "mask"}, {0: "ids"}], 3: [{0: "vector"}]}]})
    ends = [(name, (1, 16), "int32") for name in ("a", "b")]
    assert words(header_of(tmp_path, ends, metadata=described)) == [MASK, IDS]


def test_the_signature_of_another_subgraph_says_nothing(tmp_path: Path) -> None:
    ends = {IDS: ("a", (1, 16), "int32"), MASK: ("b", (1, 16), "int32")}
    assert words(header_of(tmp_path, ends, key="run")) == [IDS, MASK]
    other = header_of(tmp_path, ends, key="run", described=1)
    assert other.signatures[0].subgraph == 1
    assert text_inputs(other) is None


TEXT: list[End] = [(IDS, (1, 16), "int32"), (MASK, (1, 16), "int32")]
WRONG: dict[str, tuple[list[End], list[End] | None, str]] = {
    "names of nothing": (
        [(f"serving_default_args_{number}:0", (1, 16), "int32") for number in range(2)],
        None,
        r"args_1:0 INT32 \[1, 16\], of which it can't be told which are input_ids, .*; export it so, or set `spec",
    ),
    "the same twice": ([*TEXT, ("serving_default_input_mask:0", (1, 16), "int32")], None, "can't be told which"),
    "a mask alone": ([(MASK, (1, 16), "int32")], None, "can't be told which"),
    "texts themselves": (
        [("text", (1,), 5)],
        None,
        r"takes text STRING \[1\], and not the numbers of one text's tokens",
    ),
    "a mask of floats": ([TEXT[0], (MASK, (1, 16), "float32")], None, "and not the numbers of one text's tokens"),
    "eight texts at once": ([(IDS, (8, 16), "int32")], None, r"INT32 \[8, 16\], and not the numbers"),
    "no length": ([(IDS, (1, 0), "int32")], None, "and not the numbers"),
    "a length below nothing": ([(IDS, (1, -7), "int32")], None, "and not the numbers"),
    "a length beyond all measure": ([(IDS, (1, 2**31 - 1), "int32")], None, "and not the numbers"),
    "five inputs": ([(f"x{number}", (1, 16), "int32") for number in range(5)], None, "x4 INT32 .*and not the numbers"),
    "two lengths": ([TEXT[0], (MASK, (1, 32), "int32")], None, "and texts have one length in all inputs"),
    "no vectors": (
        TEXT,
        [("out", (1, 1, 4, 8), "float32")],
        r"gives out FLOAT32 \[1, 1, 4, 8\], of which none is known",
    ),
    "an open choice": (
        TEXT,
        [("a", (1, 16, 8), "float32"), ("b", (1, 16, 8), "float32")],
        r"a vector of the text \(sentence_embedding, .*\) or of its tokens \(last_hidden_state, \[1, length, width\]\)",
    ),
    "scores": (TEXT, [("logits", (1, 8), "float32")], "none is known as"),
    "the pooler of BERT": (TEXT, [("pooler_output", (1, 8), "float32")], "none is known as"),
    "steps of no size": (TEXT, [("out", (1, 8), "int8")], "none is known as"),
    "vectors beyond all measure": (TEXT, [("out", (1, 2**31 - 1), "float32")], "none is known as"),
    "vectors of nothing": (TEXT, [("out", (1, 0), "float32")], "none is known as"),
}


@pytest.mark.parametrize(("inputs", "outputs", "why"), WRONG.values(), ids=WRONG)
def test_a_graph_that_does_not_do_it_is_refused_with_what_it_has(
    tmp_path: Path, inputs: list[End], outputs: list[End] | None, why: str
) -> None:
    header_of(tmp_path, inputs, outputs)
    write_files(tmp_path, sentence_files())
    with pytest.raises(UnsupportedModel, match=rf"^ends\.tflite can't do the task Embedding: it .*{why}"):
        detect(tmp_path, task=Task.EMBEDDING)
    with pytest.raises(UnsupportedModel, match=r"ends\.tflite: its task is open"):
        detect(tmp_path)


def outputs_of(tmp_path: Path, *outputs: End) -> EmbeddingSettings:
    """How the vectors are made by a graph with these outputs."""
    header_of(tmp_path, TEXT, list(outputs))
    write_files(tmp_path, sentence_files())
    model = detect(tmp_path)
    assert model.embedding is not None
    return model.embedding


def test_of_several_outputs_the_one_with_the_name_is_taken(tmp_path: Path) -> None:
    tokens, whole = (("token_embeddings", (1, 16, 8), "float32"), ("sentence_embedding", (1, 8), "float32"))
    settings = outputs_of(tmp_path, tokens, whole)
    assert (settings.pooling, settings.output) == (Pooling.IN_GRAPH, "sentence_embedding")


def test_the_pooler_of_bert_is_passed_over(tmp_path: Path) -> None:
    outputs = [("pooler_output", (1, 8), "float32"), ("last_hidden_state", (1, 16, 8), "float32")]
    settings = outputs_of(tmp_path, *outputs)
    assert (settings.pooling, settings.output) == (Pooling.MEAN, "last_hidden_state")
    nameless = [(f"StatefulPartitionedCall:{number}", shape, kind) for number, (_, shape, kind) in enumerate(outputs)]
    settings = outputs_of(tmp_path, *nameless)
    assert (settings.pooling, settings.output) == (Pooling.MEAN, "StatefulPartitionedCall:1")


def test_a_graph_for_any_length_is_bounded_by_the_models_positions(tmp_path: Path) -> None:
    positions = {"architectures": ["BertModel"], "max_position_embeddings": 32}
    assert found(tmp_path, table_tflite(TABLE, length=64), config__json=positions).artifact.context_length == 32
    assert found(tmp_path, table_tflite(TABLE, length=ANY), config__json={}).artifact.context_length is None
