"""The ONNX reader says what a graph's outside says, and follows no file name out of the folder."""

import os
from pathlib import Path

import onnx_builders as build
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_builders import FLOAT, INT64, UINT8, block, number, onnx, onnx_graph, onnx_node, onnx_tensor, onnx_value

from berth_api.errors import UnsupportedModel
from berth_store.headers.onnx import OnnxHeader, OnnxValue, read_onnx
from berth_store.headers.onnx_header import PackedWeights

WHOLE = onnx(
    onnx_graph(
        nodes=[onnx_node("MatMul"), onnx_node("FusedMatMul", domain="com.microsoft")],
        inputs=[*build.TOKEN_INPUTS, onnx_value("scalar", ()), onnx_value("anything", None)],
        outputs=[onnx_value("last_hidden_state", ("batch", None, 8))],
        initializers=[onnx_tensor("weight", (4, 8)), onnx_tensor("shape", (2,), element_type=INT64)],
    ),
    opsets={"": 17, "com.microsoft": 1},
    metadata={"character": "abc"},
)


def read(tmp_path: Path, content: bytes) -> OnnxHeader:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    return read_onnx(path)


def with_tensor(tensor: bytes) -> bytes:
    return onnx(onnx_graph(initializers=[tensor]))


def outside(location: str, **more: str) -> bytes:
    """A model with a tensor of 32 bytes in the file called `location`."""
    return with_tensor(onnx_tensor("w", (2, 4), external={"location": location, **more}))


def packed_node(operator: str = "MatMulNBits", **said: int) -> bytes:
    attributes = [block(1, name) + number(3, value) + number(20, 2) for name, value in said.items()]
    return onnx_node(operator, domain="com.microsoft", attributes=attributes)


def test_packed_matrices_are_summed_by_their_width(tmp_path: Path) -> None:
    nodes = [
        packed_node(K=64, N=8, bits=4, block_size=32),
        packed_node(K=40, N=2, block_size=32),  # four bits where none are said, and a block for the rest
        packed_node(K=32, N=16, bits=8, block_size=32),
        packed_node(K=32, bits=8, block_size=32),
        packed_node("QMoE", K=32, N=16, bits=8, block_size=32),
    ]
    header = read(tmp_path, onnx(onnx_graph(nodes=nodes)))
    assert header.packed == (PackedWeights(4, 592, 20), PackedWeights(8, 512, 16))
    assert header.operators == ("MatMulNBits", "QMoE")


def test_a_graph_says_what_was_written(tmp_path: Path) -> None:
    header = read(tmp_path, WHOLE)
    assert header.inputs == (
        OnnxValue("input_ids", "I64", ("batch", "sequence")),
        OnnxValue("attention_mask", "I64", ("batch", "sequence")),
        OnnxValue("scalar", "F32", ()),
        OnnxValue("anything", "F32", None),
    )
    assert header.output("last_hidden_state") == OnnxValue("last_hidden_state", "F32", ("batch", None, 8))
    assert (header.ir_version, header.producer, header.node_count) == (8, "berth-tests", 2)
    assert header.opsets == (("", 17), ("com.microsoft", 1))
    assert header.custom_domains == ("com.microsoft",)
    assert header.metadata == {"character": "abc"}
    assert header.file_bytes == len(WHOLE)


def test_weights_are_counted_and_shapes_are_not(tmp_path: Path) -> None:
    header = read(tmp_path, WHOLE)
    assert header.tensor_bytes == 4 * 8 * 4 + 2 * 8
    assert (header.parameters, header.quantization) == (32, "F32")


def test_an_input_with_an_initializer_is_no_input(tmp_path: Path) -> None:
    graph = onnx_graph(inputs=[onnx_value("weight", (4, 8)), *build.TOKEN_INPUTS], initializers=[build.WEIGHT])
    assert [value.name for value in read(tmp_path, onnx(graph)).inputs] == ["input_ids", "attention_mask"]


def test_weights_that_are_constants_of_nodes_count_too(tmp_path: Path) -> None:
    constant = onnx_node("Constant", attributes=[block(5, onnx_tensor("w", (4, 8)))])
    header = read(tmp_path, onnx(onnx_graph(nodes=[constant])))
    assert (header.parameters, header.tensor_bytes) == (32, 128)


def test_a_negative_size_says_nothing(tmp_path: Path) -> None:
    header = read(tmp_path, onnx(onnx_graph(inputs=[onnx_value("x", (-1, 3))])))
    assert header.inputs[0].dims == (None, 3)


def test_dimensions_may_be_packed(tmp_path: Path) -> None:
    assert read(tmp_path, with_tensor(onnx_tensor("w", (3, 5), packed_dims=True))).parameters == 15


def test_a_domain_that_only_a_node_names_is_told(tmp_path: Path) -> None:
    graph = onnx_graph(nodes=[onnx_node("Evil", domain="my.ops")])
    assert read(tmp_path, onnx(graph)).custom_domains == ("my.ops",)


def test_unknown_fields_are_passed_over(tmp_path: Path) -> None:
    more = number(99, 2**64 - 1) + block(100, "x") + build.varint(101 << 3 | 1) + b"\0" * 8
    assert read(tmp_path, WHOLE + more + build.varint(102 << 3 | 5) + b"\0" * 4).ir_version == 8


def test_an_input_that_is_no_tensor_has_no_element_type(tmp_path: Path) -> None:
    sequence = block(1, "many") + block(2, block(4, block(1, number(1, FLOAT))))
    assert read(tmp_path, onnx(onnx_graph(inputs=[sequence]))).inputs == (OnnxValue("many", None, None),)


def test_weights_outside_lie_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "model.onnx_data").write_bytes(b"\0" * 100)
    header = read(tmp_path, outside("model.onnx_data", offset="64", length="32"))
    (file,) = header.external
    assert (file.location, file.path, file.needed_bytes, file.file_bytes) == (
        "model.onnx_data",
        tmp_path / "model.onnx_data",
        96,
        100,
    )
    assert header.tensor_bytes == 32


def test_a_length_that_is_not_stated_is_the_rest_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"\0" * 32)
    assert read(tmp_path, outside("w.bin")).external[0].needed_bytes == 32


@pytest.mark.parametrize(
    "location",
    ["../w.bin", "/etc/hostname", "sub/../../w.bin", "missing.bin", "", "*/_ORT_MEM_ADDR_/*", "a\\b", "folder", "C:/w"],
)
def test_weights_outside_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "w.bin").write_bytes(b"\0" * 64)
    with pytest.raises(UnsupportedModel, match=r"model\.onnx: the tensor 'w' names "):
        read(folder, outside(location))


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 64)
    (folder / "w.bin").symlink_to(tmp_path / "secret")
    with pytest.raises(UnsupportedModel, match="no file of the model's folder"):
        read(folder, outside("w.bin"))


def test_a_fifo_outside_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.bin")
    with pytest.raises(UnsupportedModel, match="no file of the model's folder"):
        read(tmp_path, outside("w.bin"))


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"offset": "40"}, "needs 32 bytes, and 24 are set aside"),
        ({"offset": "65"}, "needs 32 bytes, and 0 are set aside"),
        ({"offset": "0", "length": "16"}, "needs 32 bytes, and 16 are set aside"),
        ({"offset": "16", "length": "64"}, "ends at byte 80 of 'w.bin', and that file has 64 bytes"),
        ({"offset": str(2**63), "length": "32"}, "and that file has 64 bytes"),
        ({"offset": "-1"}, "the offset '-1' outside"),
        ({"offset": "1e3"}, "the offset '1e3' outside"),
        ({"length": "9" * 30}, "no whole number"),
        ({"offset": "٣"}, "no whole number"),
    ],
)
def test_a_lying_range_outside_is_refused(tmp_path: Path, more: dict[str, str], why: str) -> None:
    (tmp_path / "w.bin").write_bytes(b"\0" * 64)
    with pytest.raises(UnsupportedModel) as refused:
        read(tmp_path, outside("w.bin", **more))
    assert why in str(refused.value)


SECRET = onnx_tensor("w", (1,), external={"location": "../secret"})
BRANCH = onnx_graph(initializers=[SECRET])
HIDDEN = {
    "an attribute's tensor": onnx_graph(nodes=[onnx_node("Constant", attributes=[block(5, SECRET)])]),
    "an attribute's list of tensors": onnx_graph(nodes=[onnx_node("Constant", attributes=[block(10, SECRET)])]),
    "a subgraph": onnx_graph(nodes=[onnx_node("If", attributes=[block(6, BRANCH)])]),
    "a list of subgraphs": onnx_graph(nodes=[onnx_node("If", attributes=[block(11, BRANCH)])]),
    "a sparse initializer": block(15, block(1, SECRET)),
    "a sparse initializer's indices": block(15, block(2, SECRET)),
    "a sparse attribute": onnx_graph(nodes=[onnx_node("Constant", attributes=[block(22, block(1, SECRET))])]),
}


@pytest.mark.parametrize("graph", HIDDEN.values(), ids=HIDDEN.keys())
def test_a_name_that_leads_out_is_found_wherever_it_hides(tmp_path: Path, graph: bytes) -> None:
    with pytest.raises(UnsupportedModel, match="outside the model's folder"):
        read(tmp_path, onnx(graph))


def test_a_name_that_leads_out_is_found_in_functions_and_training(tmp_path: Path) -> None:
    node = onnx_node("Constant", attributes=[block(5, SECRET)])
    for part in (block(25, block(7, node)), block(20, block(1, onnx_graph(nodes=[node])))):
        with pytest.raises(UnsupportedModel, match="outside the model's folder"):
            read(tmp_path, onnx(onnx_graph()) + part)


def test_a_location_is_checked_even_where_the_tensor_does_not_say_external(tmp_path: Path) -> None:
    tensor = onnx_tensor("w", (1,)) + block(13, block(1, "location") + block(2, "../secret"))
    with pytest.raises(UnsupportedModel, match="outside the model's folder"):
        read(tmp_path, with_tensor(tensor))


def nested(depth: int) -> bytes:
    graph = onnx_graph()
    for _ in range(depth):
        graph = onnx_graph(nodes=[onnx_node("If", attributes=[block(6, graph)])])
    return onnx(graph)


REFUSED = {
    "no fields": (b"", "has no ir_version"),
    "no graph": (number(1, 8) + block(8, number(2, 17)), "has 0 graphs"),
    "no opset": (number(1, 8) + block(7, onnx_graph()), "has no opset"),
    "two graphs": (WHOLE + block(7, onnx_graph()), "has 2 graphs"),
    "no ir_version": (block(7, onnx_graph()), "has no ir_version"),
    "a graph that is a number": (number(1, 8) + number(7, 1), "field 7 of a MODEL is a number"),
    "a group": (number(1, 8) + b"\x3b\x3c", "wire type 3"),
    "field number 0": (number(1, 8) + b"\x00\x00", "with number 0"),
    "a number without end": (number(1, 8) + b"\xff" * 9, "ends beyond byte"),
    "a number of 11 bytes": (number(1, 8) + b"\xff" * 10 + b"\1", "more than 10 bytes"),
    "a number over 64 bits": (b"\x08" + b"\xff" * 9 + b"\x7f", "more than 64 bits"),
    "a length beyond the end": (number(1, 8) + block(7, b"", length=10**9), "cut off or lies"),
    "a length of 2^63": (number(1, 8) + block(7, b"", length=2**63), "cut off or lies"),
    "a field beyond its message": (onnx(block(1, b"", length=50) + b"\0" * 9), "beyond the end"),
    "a fixed number beyond the end": (number(1, 8) + build.varint(9 << 3 | 1) + b"\0", "cut off or lies"),
    "nested too deep": (nested(40), "nested more than 64 messages deep"),
    "a negative shape": (with_tensor(onnx_tensor("w", (-4,), raw=b"")), "impossible shape [-4]"),
    "a shape that overflows": (with_tensor(onnx_tensor("w", (2**40, 2**40), raw=b"")), "impossible shape"),
    "too many dimensions": (with_tensor(onnx_tensor("w", [1] * 65, raw=b"")), "more than 64 dimensions"),
    "data that do not fit the shape": (with_tensor(onnx_tensor("w", (4,), raw=b"\0" * 15)), "needs 16 bytes, and 15"),
    "an unknown element type": (with_tensor(onnx_tensor("w", (4,), element_type=77)), "unknown element type 77"),
    "a name that is not UTF-8": (with_tensor(block(8, b"\xff")), "is not UTF-8"),
    "a long name": (with_tensor(block(8, "x" * 5000)), "has 5,000 bytes, and at most 4,096"),
    "two inputs of a name": (onnx(onnx_graph(inputs=[onnx_value("a", ()), onnx_value("a", ())])), "two inputs"),
    "external without a location": (with_tensor(onnx_tensor("w", (1,), external={})), "empty, overlong or broken name"),
}


@pytest.mark.parametrize(("content", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_a_lie_is_refused_with_its_name(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(UnsupportedModel) as refused:
        read(tmp_path, content)
    assert why in str(refused.value)
    assert "model.onnx" in str(refused.value)
    assert "; " in str(refused.value), "a refusal says what to do"


def test_steps_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("berth_store.headers.onnx.MAX_FIELDS", 10)
    with pytest.raises(UnsupportedModel, match="more than 10 fields"):
        read(tmp_path, WHOLE)


def test_large_weights_are_passed_over_unread(tmp_path: Path) -> None:
    size = 300 << 20
    tensor = number(1, size) + number(2, UINT8) + block(8, "w") + build.varint(9 << 3 | 2) + build.varint(size)
    graph = build.varint(5 << 3 | 2) + build.varint(len(tensor) + size) + tensor
    opset = block(8, number(2, 17))
    head = number(1, 8) + opset + build.varint(7 << 3 | 2) + build.varint(len(graph) + size) + graph
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
    assert read_onnx(path).tensor_bytes == size


def test_a_file_cut_before_its_graph_and_opset_are_whole_is_refused(tmp_path: Path) -> None:
    opset = block(8, block(1, "") + number(2, 17))
    needed = WHOLE.index(opset) + len(opset)
    for length in range(needed):
        with pytest.raises(UnsupportedModel):
            read(tmp_path, WHOLE[:length])
    assert read(tmp_path, WHOLE[:needed]).opsets == (("", 17),)


@given(flips=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_flipped_bytes_leave_a_header_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]]
) -> None:
    content = bytearray(WHOLE)
    for at, value in flips:
        content[at] = value
    try:
        header = read(tmp_path_factory.getbasetemp(), bytes(content))
    except UnsupportedModel:
        return
    assert header.ir_version > 0
    assert not header.external
