"""The engine LiteRT on texts: encoders of a few kilobytes, beside numpy and beside transformers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folder_builders import write_files
from numpy.typing import NDArray
from recorded_reply import RecordedReply
from tflite_encoder import ANY, bert_tflite, table_tflite
from tiny_encoders import (
    CONFIGS,
    HEADS,
    HIDDEN,
    LAYERS,
    MASK,
    POSITIONS,
    VOCABULARY,
    formula_values,
    input_ids,
    tiny_weights,
    write_sentence_modules,
    write_tiny_tokenizer,
)

from berth_api.artifact import Task
from berth_runtime.engines.litert import create
from berth_runtime.engines.litert_texts import padded_length
from berth_runtime.engines.protocol import EmbeddingRequest, Engine, EngineSettings, ImageRequest, LoadFailed, Operation
from berth_runtime.engines.text_shape import OutputShape
from berth_store.detect import detect

TABLE = formula_values("table", (VOCABULARY, HIDDEN))
# Each with its tokens, between the tokenizer's marks.
TEXTS = {"w7": [5, 7, 3], "w8 w9": [5, 8, 9, 3], "": [5, 3], " ".join(["w10"] * 11): [5, *[10] * 11, 3]}


def settings_of(folder: Path, content: bytes, *, pooling: str = "mean_tokens", **more: Any) -> EngineSettings:
    """What the engine is started with, for a folder of sentence-transformers with these bytes as its graph."""
    write_sentence_modules(write_tiny_tokenizer(folder).parent, pooling=pooling)
    write_files(folder, {"model.tflite": content, "config.json": {"max_position_embeddings": POSITIONS}})
    fields: dict[str, Any] = {"threads": 2, "memory_bytes": 1 << 30, **more}
    return EngineSettings(model=detect(folder), name="m", task=Task.EMBEDDING, **fields)


def serving(folder: Path, content: bytes, **more: Any) -> Engine:
    """A proven engine."""
    engine = create(settings_of(folder, content, **more))
    engine.load()
    engine.prove()
    return engine


def asked(engine: Engine, *inputs: Any) -> RecordedReply:
    reply = RecordedReply()
    engine.submit(EmbeddingRequest(inputs), reply)
    return reply.wait()


def means(table: NDArray[np.float32] = TABLE) -> NDArray[np.float32]:
    """The vectors of `TEXTS`: the mean of the rows of their tokens, of length 1."""
    found = np.stack([table[tokens].mean(axis=0) for tokens in TEXTS.values()])
    normalised: NDArray[np.float32] = found / np.linalg.norm(found, axis=1, keepdims=True)
    return normalised


GRAPHS: dict[str, dict[str, Any]] = {
    "any length": {"kind": "int64"},
    "one length": {"length": 16},
    "any length, pooled inside": {"pools": True, "kind": "int64"},
    "one length, pooled inside": {"pools": True, "length": 16, "inputs": ("attention_mask", "input_ids")},
    "any length, without a mask": {"inputs": ("input_ids",)},
}


@pytest.mark.parametrize("form", GRAPHS.values(), ids=GRAPHS)
def test_vectors_are_those_of_numpy(tmp_path: Path, form: dict[str, Any]) -> None:
    found = asked(serving(tmp_path, table_tflite(TABLE, **form)), *TEXTS)
    np.testing.assert_allclose(found.matrix(), means(), atol=1e-6)
    assert found.result is not None
    assert found.result.prompt_tokens == sum(map(len, TEXTS.values()))


def test_quantised_vectors_are_read_as_what_they_stand_for(tmp_path: Path) -> None:
    scale = float(np.abs(TABLE).max() / 127)
    found = asked(serving(tmp_path, table_tflite(TABLE, length=16, scale=scale)), *TEXTS).matrix()
    np.testing.assert_allclose(found, means(np.rint(TABLE / np.float32(scale)) * np.float32(scale)), atol=1e-5)


@pytest.mark.parametrize(("pooling", "token"), [("cls_token", 0), ("lasttoken", -1)])
def test_padding_takes_no_part_in_the_pooling(tmp_path: Path, pooling: str, token: int) -> None:
    found = asked(serving(tmp_path, table_tflite(TABLE, length=16), pooling=pooling), *TEXTS).matrix()
    rows = np.stack([TABLE[tokens[token]] for tokens in TEXTS.values()])
    np.testing.assert_allclose(found, rows / np.linalg.norm(rows, axis=1, keepdims=True), atol=1e-6)


REFERENCE = json.loads((Path(__file__).parents[3] / "reference/tiny_encoders.json").read_text())["cases"]["bert"]


@pytest.mark.parametrize("length", [ANY, 7, POSITIONS])
def test_bert_says_what_transformers_says(tmp_path: Path, length: int) -> None:
    config = CONFIGS["bert"]
    content = bert_tflite(tiny_weights(config), layers=LAYERS, heads=HEADS, length=length, epsilon=1e-5)
    engine = serving(tmp_path, content, args={"normalize": "false"})
    sequences = [tuple(row[: sum(mask)]) for row, mask in zip(input_ids(config), MASK, strict=True)]
    found = asked(engine, *sequences).matrix()
    wanted = [rows.mean(axis=0) for rows in np.split(np.array(REFERENCE), [len(sequences[0])])]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_capabilities_are_those_of_any_embedding_model(tmp_path: Path) -> None:
    capabilities = create(settings_of(tmp_path, table_tflite(TABLE, length=16))).load()
    assert dict(capabilities.parameters) == {Operation.EMBEDDING: frozenset({"encoding_format"})}
    assert (capabilities.context_length, capabilities.dimensions, capabilities.parallel_requests) == (16, HIDDEN, 128)


def test_a_text_longer_than_the_graph_is_refused_or_cut(tmp_path: Path) -> None:
    content, text = table_tflite(TABLE, length=8), " ".join(["w9"] * 20)
    failure = asked(serving(tmp_path, content), "w7", text).refused()
    assert (failure.status, failure.code, failure.param) == (400, "context_length_exceeded", "input")
    assert failure.message.startswith("input[1] has 22 tokens, but this model takes 8 at most")
    cut = asked(serving(tmp_path, content, args={"truncate": "true"}), text)
    np.testing.assert_allclose(cut.matrix(), asked(serving(tmp_path, content), " ".join(["w9"] * 6)).matrix())


def test_many_requests_at_once_get_their_own_vectors(tmp_path: Path) -> None:
    engine = serving(tmp_path, table_tflite(TABLE), threads=3)
    replies = [(at, RecordedReply()) for at in range(60)]
    texts, wanted = list(TEXTS), means()
    for at, reply in replies:
        engine.submit(EmbeddingRequest((texts[at % len(texts)],)), reply)
    for at, reply in replies:
        np.testing.assert_allclose(reply.matrix()[0], wanted[at % len(texts)], atol=1e-6)


def test_a_token_that_the_graph_lacks_fails_alone(tmp_path: Path) -> None:
    engine = serving(tmp_path, table_tflite(TABLE[:30]), threads=1)
    replies = [RecordedReply() for _ in range(2)]
    for text, reply in zip(("w39", "w7"), replies, strict=True):
        engine.submit(EmbeddingRequest((text,)), reply)
    failure = replies[0].refused()
    assert (failure.status, failure.code) == (500, "engine_error")
    assert failure.message.startswith("LiteRT could not run the model on this input: ")
    np.testing.assert_allclose(replies[1].matrix()[0], means()[0], atol=1e-6)


REFUSED: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "an output that is not there": ({}, {"output": "vector"}, r"has no output 'vector', it has output_0; name one"),
    "pooling of a pooled vector": (
        {"pools": True},
        {"pooling": "cls"},
        r"output_0 is FLOAT32 \[1, 8\], but pooling 'cls' needs",
    ),
    "an argument of another engine": ({}, {"provider": "cuda"}, "LiteRT has no argument 'provider' for the task Embed"),
    "a pooling inside that is not there": (
        {},
        {"pooling": "in-graph"},
        r"is FLOAT32 \[1, -1, 8\], but pooling 'in-graph' needs",
    ),
}


@pytest.mark.parametrize(("form", "args", "why"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_together_is_a_sentence(
    tmp_path: Path, form: dict[str, Any], args: dict[str, str], why: str
) -> None:
    with pytest.raises(LoadFailed, match=why):
        create(settings_of(tmp_path, table_tflite(TABLE, **form), args=args)).load()


def test_a_context_beyond_the_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="a context length of 17 was asked for, but this model takes 16 tokens"):
        create(settings_of(tmp_path, table_tflite(TABLE, length=16), context_length=17)).load()


def test_positions_that_the_graph_lacks_are_found_before_it_serves(tmp_path: Path) -> None:
    content = bert_tflite(tiny_weights(CONFIGS["bert"]), layers=1, heads=HEADS, epsilon=1e-5)
    settings = settings_of(tmp_path, content)
    (tmp_path / "config.json").write_text("{}")
    fields = {"model": detect(tmp_path), "name": "m", "task": Task.EMBEDDING, "threads": 1, "memory_bytes": 1 << 30}
    with pytest.raises(LoadFailed, match=r"LiteRT can't run the model on a text of 512 tokens: .*; set a context leng"):
        create(EngineSettings(**fields)).load()
    engine = create(EngineSettings(**fields, context_length=POSITIONS))
    engine.load()
    assert settings.model.artifact.context_length == POSITIONS
    assert asked(engine, " ".join(["w9"] * (POSITIONS - 2))).matrix().shape == (1, HIDDEN)


def test_a_graph_that_declares_other_vectors_than_it_gives_is_found(tmp_path: Path) -> None:
    content = table_tflite(TABLE, length=16)
    declared, lied = np.array([1, 16, HIDDEN], "<i4").tobytes(), np.array([1, 16, 9], "<i4").tobytes()
    assert declared in content
    with pytest.raises(LoadFailed, match=r"of 16 tokens the graph gives \[1, 16, 8\], and FLOAT32 \[1, 16, 9\] is dec"):
        create(settings_of(tmp_path, content.replace(declared, lied))).load()


def test_weights_that_are_no_numbers_are_found_by_the_proof(tmp_path: Path) -> None:
    engine = create(settings_of(tmp_path, table_tflite(np.full_like(TABLE, np.nan), length=16)))
    engine.load()
    with pytest.raises(LoadFailed, match="no numbers"):
        engine.prove()


def test_a_request_for_other_work_is_refused(tmp_path: Path) -> None:
    engine, reply = serving(tmp_path, table_tflite(TABLE)), RecordedReply()
    engine.submit(ImageRequest(Operation.IMAGE_CLASSIFICATION, (b"",)), reply)
    assert reply.refused().code == "unsupported_operation"


@pytest.mark.parametrize(
    ("tokens", "shape", "length"),
    [
        (3, {"fixed_length": 16}, 16),
        (16, {"fixed_length": 16}, 16),
        (3, {}, 8),
        (8, {}, 8),
        (9, {}, 16),
        (19, {}, 20),
        (3, {"masks": False}, 3),
    ],
)
def test_texts_are_made_as_long_as_the_graph_wants_them(tokens: int, shape: dict[str, Any], length: int) -> None:
    assert padded_length(tokens, OutputShape(output="o", width=8, **shape), longest=20) == length
