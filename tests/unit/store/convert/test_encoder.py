"""The conversion of encoders: what comes out equals transformers, byte for byte the same each time."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from tiny_encoders import (
    CONFIGS,
    HIDDEN,
    MASK,
    input_ids,
    tiny_weights,
    write_sentence_modules,
    write_tiny_encoder,
    write_tiny_tokenizer,
)

from berth_api.errors import UnsupportedModel
from berth_store.convert import tensors
from berth_store.convert.encoder import convert_encoder
from berth_store.detect import Pooling, detect

REFERENCE = json.loads((Path(__file__).parents[3] / "reference/tiny_encoders.json").read_text())["cases"]
BERT = CONFIGS["bert"]


def source(tmp_path: Path, name: str = "bert", **changes: object) -> Path:
    folder = write_tiny_encoder(tmp_path / "source", dict(CONFIGS[name]) | changes)
    write_tiny_tokenizer(folder)
    return folder


def run(graph: Path, name: str = "bert") -> dict[str, NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    ids = np.array(input_ids(CONFIGS[name]))
    values = {"input_ids": ids, "attention_mask": np.array(MASK), "token_type_ids": np.zeros_like(ids)}
    feed = {value.name: values[value.name] for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def real_tokens(outputs: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    return outputs["last_hidden_state"][np.array(MASK, dtype=bool)]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_converted_encoder_says_what_transformers_says(tmp_path: Path, name: str) -> None:
    graph = convert_encoder(source(tmp_path, name), tmp_path / "out")
    np.testing.assert_allclose(real_tokens(run(graph, name)), REFERENCE[name], atol=1e-5)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = source(tmp_path)
    digests = {
        hashlib.sha256(convert_encoder(folder, tmp_path / out).read_bytes()).hexdigest() for out in ("a", "b", "a")
    }
    assert len(digests) == 1


def test_an_encoder_alone_gives_only_the_vectors_of_its_tokens(tmp_path: Path) -> None:
    assert run(convert_encoder(source(tmp_path), tmp_path / "out")).keys() == {"last_hidden_state"}


@pytest.mark.parametrize(("mode", "index"), [("mean_tokens", slice(None)), ("cls_token", slice(0, 1))])
@pytest.mark.parametrize("normalize", [True, False])
def test_pooling_and_normalisation_of_the_folder_go_into_the_graph(
    tmp_path: Path, mode: str, index: slice, normalize: bool
) -> None:
    folder = write_sentence_modules(source(tmp_path), pooling=mode, normalize=normalize)
    outputs = run(convert_encoder(folder, tmp_path / "out"))
    for row, mask in enumerate(np.array(MASK, dtype=bool)):
        expected = outputs["last_hidden_state"][row][mask][index].mean(axis=0)
        expected = expected / np.linalg.norm(expected) if normalize else expected
        np.testing.assert_allclose(outputs["sentence_embedding"][row], expected, rtol=1e-5)


def test_a_pooling_that_is_not_in_the_graph_is_left_to_the_engine(tmp_path: Path) -> None:
    folder = write_sentence_modules(source(tmp_path), pooling="max_tokens")
    graph = convert_encoder(folder, tmp_path / "out")
    found = detect(tmp_path / "out").embedding
    assert run(graph).keys() == {"last_hidden_state"}
    assert found is not None
    assert (found.pooling, found.normalize, found.output) == (Pooling.MAX, True, "last_hidden_state")


def test_the_folder_that_comes_out_is_detected_as_an_embedding_model(tmp_path: Path) -> None:
    folder = write_sentence_modules(source(tmp_path))
    convert_encoder(folder, tmp_path / "out")
    found = detect(tmp_path / "out")
    assert found.tokenizer is not None
    assert found.embedding is not None
    assert (found.embedding.pooling, found.embedding.dimensions) == (Pooling.IN_GRAPH, HIDDEN)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_weights_of_another_precision_become_float32(tmp_path: Path, dtype: type[np.floating]) -> None:
    weights = {name: array.astype(dtype) for name, array in tiny_weights(BERT).items()}
    folder = write_tiny_encoder(tmp_path / "source", BERT, weights)
    write_tiny_tokenizer(folder)
    np.testing.assert_allclose(
        real_tokens(run(convert_encoder(folder, tmp_path / "out"))), REFERENCE["bert"], atol=0.02
    )


def test_bfloat16_is_the_upper_half_of_float32(tmp_path: Path) -> None:
    exact = {name: _rounded_to_bfloat16(array) for name, array in tiny_weights(BERT).items()}
    as_float = write_tiny_encoder(tmp_path / "float32", BERT, exact)
    as_bfloat = write_tiny_encoder(tmp_path / "bfloat16", BERT, exact)
    _relabel_as_bfloat16(as_bfloat / "model.safetensors", exact)
    for folder in (as_float, as_bfloat):
        write_tiny_tokenizer(folder)
    graphs = [convert_encoder(folder, tmp_path / f"out-{folder.name}") for folder in (as_float, as_bfloat)]
    assert graphs[0].read_bytes() == graphs[1].read_bytes()


@pytest.mark.parametrize(("old", "new"), [("", "bert."), ("LayerNorm.weight", "LayerNorm.gamma")])
def test_names_that_older_checkpoints_use_are_understood(tmp_path: Path, old: str, new: str) -> None:
    renamed = {name.replace(old, new, 1): array for name, array in tiny_weights(BERT).items()}
    folder = write_tiny_encoder(tmp_path / "renamed", BERT, renamed)
    write_tiny_tokenizer(folder)
    usual = convert_encoder(source(tmp_path), tmp_path / "a").read_bytes()
    assert convert_encoder(folder, tmp_path / "b").read_bytes() == usual


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_act": "laplace"}, ["hidden_act 'laplace'", "gelu_new"]),
        ({"position_embedding_type": "relative_key"}, ["position_embedding_type 'relative_key'", "'absolute'"]),
        ({"model_type": "deberta"}, ["model_type 'deberta'", "roberta"]),
        ({"is_decoder": True}, ["is_decoder", "only encoders"]),
        ({"num_attention_heads": 3}, ["3 attention heads", "do not divide 8"]),
        ({"num_hidden_layers": 0}, ["num_hidden_layers 0", "at least 1"]),
        ({"layer_norm_eps": "small"}, ["layer_norm_eps 'small'"]),
        ({"num_hidden_layers": 3}, ["encoder.layer.2.attention.self.query.weight", "config.json asks for"]),
        ({"max_position_embeddings": 21}, ["embeddings.position_embeddings.weight", "[20, 8]", "[21, 8]"]),
    ],
)
def test_what_can_not_be_converted_is_refused_by_name(
    tmp_path: Path, changes: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(UnsupportedModel) as refused:
        convert_encoder(source(tmp_path, **changes), tmp_path / "out")
    assert all(word in str(refused.value) for word in words), refused.value
    assert not (tmp_path / "out").exists()


def test_a_module_after_the_encoder_is_never_left_out_silently(tmp_path: Path) -> None:
    folder = write_sentence_modules(source(tmp_path))
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(UnsupportedModel, match="Dense"):
        convert_encoder(folder, tmp_path / "out")


def test_integer_weights_are_refused(tmp_path: Path) -> None:
    name = "encoder.layer.1.output.dense.weight"
    weights = tiny_weights(BERT) | {name: np.zeros((8, 12), np.int8)}
    folder = write_tiny_encoder(tmp_path / "source", BERT, weights)
    write_tiny_tokenizer(folder)
    with pytest.raises(UnsupportedModel, match=rf"{name} is I8"):
        convert_encoder(folder, tmp_path / "out")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_encoder(tmp_path / "source", BERT)
    with pytest.raises(UnsupportedModel, match=r"tokenizer\.json"):
        convert_encoder(folder, tmp_path / "out")


def test_weights_that_one_file_can_not_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "MAX_EMBEDDED_BYTES", 1000)
    with pytest.raises(UnsupportedModel, match="2 GiB"):
        convert_encoder(source(tmp_path), tmp_path / "out")


def _rounded_to_bfloat16(array: NDArray[np.float32]) -> NDArray[np.float32]:
    return (array.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def _relabel_as_bfloat16(path: Path, weights: dict[str, NDArray[np.float32]]) -> None:
    """Write the safetensors file by hand, because numpy has no bfloat16 of its own."""
    header: dict[str, object] = {}
    data = b""
    for name, array in weights.items():
        content = (array.view(np.uint32) >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": array.shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
