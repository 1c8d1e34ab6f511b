"""The engine itself on encoders of a few kilobytes: loading, proving, answering, and what it refuses to load."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from recorded_reply import RecordedReply
from tiny_encoders import CONFIGS, HIDDEN, POSITIONS, write_sentence_modules, write_tiny_encoder, write_tiny_tokenizer

from berth_api.artifact import Task
from berth_runtime.engines.onnxruntime import create
from berth_runtime.engines.protocol import ChatRequest, EmbeddingRequest, Engine, EngineSettings, LoadFailed, Operation
from berth_store.convert.encoder import convert_encoder
from berth_store.detect import DetectedModel, Pooling, detect

TEXTS = ("w7", "w8 w9", "w10 w11 w12 w13 w14", "w7 w7", "")


def folder(tmp_path: Path, *, pooling: str = "mean_tokens", normalize: bool = True) -> Path:
    """An ONNX model's folder, as packaging makes it."""
    source = write_tiny_encoder(tmp_path / "source", CONFIGS["bert"])
    write_tiny_tokenizer(source)
    write_sentence_modules(source, pooling=pooling, normalize=normalize)
    convert_encoder(source, tmp_path / "model")
    return tmp_path / "model"


def settings(model: DetectedModel, *, args: Mapping[str, str] | None = None, **changes: object) -> EngineSettings:
    started = EngineSettings(
        model=model, name="tiny", task=Task.EMBEDDING, threads=2, memory_bytes=1 << 30, args=args or {}
    )
    return replace(started, **changes)  # type: ignore[arg-type]


def loaded(model: DetectedModel, *, args: Mapping[str, str] | None = None) -> Engine:
    engine = create(settings(model, args=args))
    engine.load()
    engine.prove()
    return engine


def embed(engine: Engine, *inputs: str) -> np.ndarray:
    reply = RecordedReply()
    engine.submit(EmbeddingRequest(inputs), reply)
    return reply.matrix()


def identity_graph(
    path: Path, *, input_type: int = TensorProto.INT64, shape: tuple[str | int, ...] = ("b", "s")
) -> None:
    """A graph whose token vectors are a table's rows, with one input only."""
    table = numpy_helper.from_array(np.arange(40 * HIDDEN, dtype=np.float32).reshape(40, HIDDEN) / 100, "table")
    node = helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("input_ids", input_type, shape)],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, (*shape, HIDDEN))],
        [table],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), str(path))


def test_an_engine_says_what_it_can_do(tmp_path: Path) -> None:
    capabilities = create(settings(detect(folder(tmp_path)))).load()
    assert capabilities.parameters.keys() == {Operation.EMBEDDING}
    assert (capabilities.context_length, capabilities.dimensions) == (POSITIONS, HIDDEN)


def test_a_text_has_the_same_vector_whatever_its_companions_are(tmp_path: Path) -> None:
    engine = loaded(detect(folder(tmp_path)))
    together = embed(engine, *TEXTS)
    alone = np.concatenate([embed(engine, text) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean_tokens", "cls_token"])
def test_pooling_in_numpy_is_pooling_in_the_graph(tmp_path: Path, pooling: str) -> None:
    model = detect(folder(tmp_path, pooling=pooling))
    assert model.embedding is not None
    assert model.embedding.pooling is Pooling.IN_GRAPH
    args = {"pooling": pooling.removesuffix("_token").removesuffix("_tokens"), "output": "last_hidden_state"}
    in_numpy = embed(loaded(model, args=args), *TEXTS)
    np.testing.assert_allclose(in_numpy, embed(loaded(model), *TEXTS), atol=1e-6)


def test_vectors_are_as_long_as_the_artifact_wants_them(tmp_path: Path) -> None:
    model = detect(folder(tmp_path, normalize=False))
    assert not np.allclose(np.linalg.norm(embed(loaded(model), "w7")), 1)
    normalized = embed(loaded(model, args={"normalize": "true"}), "w7")
    np.testing.assert_allclose(np.linalg.norm(normalized), 1, rtol=1e-6)


def test_token_ids_and_text_of_the_same_tokens_are_one_vector(tmp_path: Path) -> None:
    engine = loaded(detect(folder(tmp_path)))
    reply = RecordedReply()
    engine.submit(EmbeddingRequest(((5, 7, 3),)), reply)
    np.testing.assert_allclose(reply.matrix(), embed(engine, "w7"), atol=1e-6)


def test_a_chat_is_refused_not_tried(tmp_path: Path) -> None:
    reply = RecordedReply()
    loaded(detect(folder(tmp_path))).submit(ChatRequest(b"{}", stream=False), reply)
    assert reply.refused().status == 400


def test_a_graph_without_a_mask_is_never_fed_padding(tmp_path: Path) -> None:
    model = detect(folder(tmp_path))
    identity_graph(tmp_path / "model/model.onnx")
    engine = loaded(detect(model.root), args={"pooling": "mean", "normalize": "false"})
    rows = embed(engine, "w7", "w8 w9", "w7")
    table = np.arange(40 * HIDDEN, dtype=np.float32).reshape(40, HIDDEN) / 100
    np.testing.assert_allclose(rows[0], table[[5, 7, 3]].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(rows[1], table[[5, 8, 9, 3]].mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("shape", [("b", 6), (1, "s"), (3, 6)])
def test_a_graph_of_fixed_sizes_is_filled_up_to_them(tmp_path: Path, shape: tuple[str | int, ...]) -> None:
    root = folder(tmp_path)
    identity_graph(root / "model.onnx", input_type=TensorProto.INT32, shape=shape)
    engine = loaded(detect(root), args={"pooling": "mean", "normalize": "false"})
    table = np.arange(40 * HIDDEN, dtype=np.float32).reshape(40, HIDDEN) / 100
    for row, text in zip(embed(engine, "w7", "w8", "w9", "w10"), (7, 8, 9, 10), strict=True):
        np.testing.assert_allclose(row, table[[5, text, 3]].mean(axis=0), rtol=1e-5)


def test_external_data_beside_the_graph_is_read(tmp_path: Path) -> None:
    root = folder(tmp_path)
    expected = embed(loaded(detect(root)), *TEXTS)
    onnx.save(
        onnx.load(str(root / "model.onnx")),
        str(root / "model.onnx"),
        save_as_external_data=True,
        size_threshold=100,
        location="weights.bin",
    )
    model = detect(root)
    assert [path.name for path in model.weights] == ["model.onnx", "weights.bin"]
    np.testing.assert_array_equal(embed(loaded(model), *TEXTS), expected)


@pytest.mark.parametrize(("location", "words"), [("../outside.bin", "escapes"), ("/etc/hostname", "not allowed")])
def test_external_data_outside_the_folder_is_never_opened(tmp_path: Path, location: str, words: str) -> None:
    root = folder(tmp_path)
    model = detect(root)
    graph = onnx.load(str(root / "model.onnx"))
    onnx.save(graph, str(root / "model.onnx"), save_as_external_data=True, size_threshold=100, location="weights.bin")
    (root / "weights.bin").rename(tmp_path / "outside.bin")
    moved = onnx.load(str(root / "model.onnx"), load_external_data=False)
    for tensor in moved.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    (root / "model.onnx").write_bytes(moved.SerializeToString())
    # Detection refuses the folder before; the engine must not depend on it.
    with pytest.raises(LoadFailed, match=words) as refused:
        create(settings(model)).load()
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"poolling": "mean"}, ["no argument 'poolling'", "pooling"]),
        ({"pooling": "median"}, ["pooling=median", "weighted-mean"]),
        ({"truncate": "yes"}, ["truncate=yes", "true, false"]),
        ({"output": "logits"}, ["no output 'logits'", "last_hidden_state"]),
        ({"pooling": "mean"}, ["sentence_embedding", "one vector for each token", "output=NAME"]),
    ],
)
def test_an_engine_argument_that_can_not_be_right_is_named(
    tmp_path: Path, args: dict[str, str], words: list[str]
) -> None:
    with pytest.raises(LoadFailed) as refused:
        create(settings(detect(folder(tmp_path)), args=args)).load()
    assert all(word in str(refused.value) for word in words), refused.value


@pytest.mark.parametrize(("asked", "given"), [(None, POSITIONS), (7, 7)])
def test_the_context_length_is_the_users_within_the_models(tmp_path: Path, asked: int | None, given: int) -> None:
    engine = create(settings(detect(folder(tmp_path)), context_length=asked))
    assert engine.load().context_length == given


def test_a_context_longer_than_the_model_has_positions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=f"21 was asked for, but this model takes {POSITIONS}"):
        create(settings(detect(folder(tmp_path)), context_length=POSITIONS + 1)).load()


def test_a_task_that_it_can_not_do_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="can't do the task Auto; set one of Chat, Completion, Embedding, Rerank"):
        create(settings(detect(folder(tmp_path)), task=Task.AUTO))


def test_an_encoder_writes_no_text(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"model\.onnx is no graph that writes text; set `spec\.task`"):
        create(settings(detect(folder(tmp_path)), task=Task.CHAT)).load()


def test_an_artifact_that_does_not_state_its_pooling_is_not_guessed_at(tmp_path: Path) -> None:
    model = detect(folder(tmp_path))
    assert model.embedding is not None
    silent = replace(model, embedding=replace(model.embedding, pooling=None))
    with pytest.raises(LoadFailed, match=r"does not say .* pooling="):
        create(settings(silent)).load()


@pytest.mark.parametrize("keep", [0, 100, -100])
def test_a_damaged_graph_is_a_sentence_without_paths(tmp_path: Path, keep: int) -> None:
    model = detect(folder(tmp_path))
    content = model.weights[0].read_bytes()
    model.weights[0].write_bytes(content[:keep])
    with pytest.raises(LoadFailed, match=r"can't load model\.onnx: .*; export it again") as refused:
        create(settings(model)).load()
    assert str(tmp_path) not in str(refused.value)


def test_a_graph_and_a_configuration_of_different_width_are_refused(tmp_path: Path) -> None:
    model = detect(folder(tmp_path))
    assert model.embedding is not None
    other = replace(model, embedding=replace(model.embedding, dimensions=384))
    with pytest.raises(LoadFailed, match=r"8 dimensions, .* says 384"):
        create(settings(other)).load()


def test_a_model_that_answers_with_zeros_is_not_ready(tmp_path: Path) -> None:
    model = detect(folder(tmp_path))
    graph = onnx.load(str(model.weights[0]))
    for tensor in graph.graph.initializer:
        if "LayerNorm" in tensor.name:
            tensor.raw_data = bytes(len(tensor.raw_data))
    model.weights[0].write_bytes(graph.SerializeToString())
    engine = create(settings(model))
    engine.load()
    with pytest.raises(LoadFailed, match="zeros"):
        engine.prove()
