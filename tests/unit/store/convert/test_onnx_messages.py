"""The graphs that we write without the package `onnx`, in that package's opinion."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tiny_classifiers import CLASSIFIERS, write_tiny_classifier
from tiny_encoders import CONFIGS, tiny_weights, write_tiny_encoder, write_tiny_tokenizer

from berth_api.artifact import Format, Task
from berth_runtime.engines.onnx_session import open_session
from berth_store.convert.encoder import convert_encoder
from berth_store.convert.onnx_messages import (
    Attribute,
    ElementType,
    StoredTensor,
    node_message,
    stored_message,
    tensor_message,
    value_message,
)
from berth_store.convert.served import build_served_graph
from berth_store.convert.tensors import MOST, quantize_rows
from berth_store.detect import Pooling, detect


def folder_of(tmp_path: Path, name: str) -> Path:
    if name in CLASSIFIERS:
        return write_tiny_classifier(tmp_path / name, name)
    folder = write_tiny_encoder(tmp_path / name, CONFIGS[name])
    write_tiny_tokenizer(folder)
    return folder


@pytest.mark.parametrize("name", [*CONFIGS, *CLASSIFIERS])
def test_a_packaged_graph_is_whole_and_written_as_the_package_would_write_it(tmp_path: Path, name: str) -> None:
    content = convert_encoder(folder_of(tmp_path, name), tmp_path / "out").read_bytes()
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert model.SerializeToString(deterministic=True) == content


@pytest.mark.parametrize("name", [*CONFIGS, *CLASSIFIERS])
def test_a_served_graph_is_whole_once_its_weights_are_read(tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path, name)
    task = Task.EMBEDDING if name in CONFIGS else Task.AUTO
    found = detect(folder, task=task, formats={Format.SAFETENSORS})
    graph = build_served_graph(found, found.task, pooling=Pooling.MEAN, normalize=True)
    model = onnx.load_model_from_string(graph.content)
    onnx.external_data_helper.load_external_data_for_model(model, str(graph.folder))
    onnx.checker.check_model(model, full_check=True)


def test_a_served_graph_names_its_weights_and_holds_none(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "bert")
    found = detect(folder, task=Task.EMBEDDING)
    graph = build_served_graph(found, Task.EMBEDDING, pooling=None, normalize=False)
    model = onnx.load_model_from_string(graph.content)
    outside = {each.name for each in model.graph.initializer if each.data_location == TensorProto.EXTERNAL}
    assert outside == set(tiny_weights(CONFIGS["bert"]))
    assert {
        entry.value for each in model.graph.initializer for entry in each.external_data if entry.key == "location"
    } == {"model.safetensors"}
    assert max(len(each.raw_data) for each in model.graph.initializer) < 100


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.5, 0.5), (1e-12, 1e-12), (-1, -1), (1 << 40, 1 << 40), ("tanh", b"tanh"), ((0, 2, -1), [0, 2, -1])],
)
def test_an_attribute_is_what_was_written(value: Attribute, expected: object) -> None:
    node = onnx.NodeProto.FromString(b"".join(node_message("Op", "name", ["a", "b"], "c", {"key": value})))
    assert (node.op_type, node.name, list(node.input), list(node.output)) == ("Op", "name", ["a", "b"], ["c"])
    assert helper.get_attribute_value(node.attribute[0]) == pytest.approx(expected)


def test_values_and_tensors_are_what_was_written() -> None:
    value = onnx.ValueInfoProto.FromString(b"".join(value_message("x", ElementType.INT64, ("batch", 300))))
    assert value == helper.make_tensor_value_info("x", TensorProto.INT64, ("batch", 300))
    tensor = onnx.TensorProto.FromString(b"".join(tensor_message("t", ElementType.FLOAT, (2, 1), b"\0" * 8)))
    assert onnx.numpy_helper.to_array(tensor).tolist() == [[0.0], [0.0]]
    stored = StoredTensor(ElementType.BFLOAT16, (3, 4), "shard", offset=1 << 33, length=24)
    outside = onnx.TensorProto.FromString(b"".join(stored_message("w", stored)))
    assert (outside.name, list(outside.dims), outside.data_type) == ("w", [3, 4], TensorProto.BFLOAT16)
    assert {entry.key: entry.value for entry in outside.external_data} == {
        "location": "shard",
        "offset": str(1 << 33),
        "length": "24",
    }


def test_a_graph_in_int8_holds_the_matrices_in_a_quarter_of_their_bytes(tmp_path: Path) -> None:
    found = detect(folder_of(tmp_path, "bert"), task=Task.EMBEDDING)
    graph = build_served_graph(found, Task.EMBEDDING, pooling=None, normalize=False, int8=True)
    model = onnx.load_model_from_string(graph.content)
    assert {(each.domain, each.version) for each in model.opset_import} == {("", 20), ("com.microsoft", 1)}
    inside = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer if not each.external_data}
    weights = tiny_weights(CONFIGS["bert"])
    quantized = {name.removesuffix("/int8"): codes for name, codes in inside.items() if name.endswith("/int8")}
    products = [node for node in model.graph.node if node.op_type == "DynamicQuantizeMatMul"]
    assert len(quantized) == len(products) == 6 * CONFIGS["bert"]["num_hidden_layers"]
    for name, codes in quantized.items():
        matrix, scales = weights[name], inside[f"{name}/scales"]
        assert codes.dtype == np.int8
        assert np.abs(codes.astype(int)).max() <= MOST
        assert np.abs(codes.T * scales[:, None] - matrix).max() <= scales.max() / 2 + 1e-6
    outside = {each.name for each in model.graph.initializer if each.data_location == TensorProto.EXTERNAL}
    assert outside == set(weights) - set(quantized), "the rest stays in its files"


def test_a_row_of_noughts_stays_one() -> None:
    codes, scales = quantize_rows(np.array([[0, 0], [1, -3]], np.float32))
    assert codes.tolist() == [[0, 0], [21, -MOST]]
    assert scales[0] == 1


@pytest.mark.parametrize("name", [*CONFIGS, *CLASSIFIERS])
def test_every_family_says_in_int8_nearly_what_it_says_in_float(tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path, name)
    task = Task.EMBEDDING if name in CONFIGS else Task.AUTO
    found = detect(folder, task=task, formats={Format.SAFETENSORS})
    said = []
    for int8 in (False, True):
        graph = build_served_graph(found, found.task, pooling=Pooling.MEAN, normalize=False, int8=int8)
        session = open_session(graph)
        ids = np.array([[5, 6, 7, 8], [9, 6, 5, 4]], np.int64)
        feed = {one.name: ids if one.name == "input_ids" else np.ones_like(ids) for one in session.get_inputs()}
        feed |= {one.name: np.zeros_like(ids) for one in session.get_inputs() if one.name == "token_type_ids"}
        said.append(session.run(None, feed)[0].ravel())
    assert np.abs(said[0] - said[1]).max() < 0.2 * np.abs(said[0]).max()
    assert not np.array_equal(*said)
