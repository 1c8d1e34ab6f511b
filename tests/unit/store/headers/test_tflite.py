"""The TFLite reader says what the schema's own writer wrote, and refuses every file that lies."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tflite_builders import OPERATORS, Graph, archive, flat_table, metadata, picture_graph, picture_tflite, ssd_tflite
from tiny_classifier import quantised_tflite

from berth_api.errors import UnsupportedModel
from berth_store.headers.tflite import TfliteHeader, TfliteSignature, TfliteTensor, read_tflite

LABELS = ("red", "green", "blue")
Built = tuple[Graph, int, int]


def read(tmp_path: Path, content: bytes) -> TfliteHeader:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    return read_tflite(path)


def test_a_header_says_what_was_written(tmp_path: Path) -> None:
    graph, place, scores = picture_graph(shape=(1, 8, 6, 3), signature=(-1, 8, 6, 3))
    content = graph.build([place], [scores], signature="serving_default", description="colours")
    header = read(tmp_path, content)
    assert header.inputs == (TfliteTensor(place, "image", (1, 8, 6, 3), (-1, 8, 6, 3), "FLOAT32"),)
    assert header.outputs == (TfliteTensor(scores, "scores", (1, 3), (1, 3), "FLOAT32", made_by="SOFTMAX"),)
    assert (header.version, header.description, header.subgraphs) == (3, "colours", 1)
    (signature,) = header.signatures
    assert (signature.key, signature.inputs, signature.outputs) == (
        "serving_default",
        ((f"in_{place}", place),),
        ((f"out_{scores}", scores),),
    )
    assert header.weight_types == (("FLOAT32", 9), ("INT32", 2))
    assert (header.parameters, header.quantization, header.file_bytes) == (11, "FLOAT32", len(content))
    assert (header.custom_ops, header.files, header.metadata) == ((), (), None)


def test_a_signature_says_what_it_calls(tmp_path: Path) -> None:
    graph, place, scores = picture_graph()
    names = {place: "picture", scores: "chances"}
    header = read(tmp_path, graph.build([place], [scores], signature="look", names=names, described=3))
    assert header.signatures == (TfliteSignature("look", (("picture", place),), (("chances", scores),), subgraph=3),)


def test_metadata_normalisation_and_labels_come_along(tmp_path: Path) -> None:
    header = read(tmp_path, picture_tflite(labels=LABELS))
    assert header.files == ("labels.txt",)
    assert header.metadata is not None
    assert header.metadata.name == "a model"
    (picture,), (scores,) = header.metadata.inputs, header.metadata.outputs
    assert (picture.content, picture.mean, picture.std) == ("image", (127.5,), (127.5,))
    assert (scores.label_file, scores.labels) == ("labels.txt", LABELS)


def test_of_translated_labels_those_without_a_language_are_taken(tmp_path: Path) -> None:
    graph, place, scores = picture_graph()
    files = {"de.txt": "rot\ngrün\nblau", "en.txt": "red\ngreen\nblue"}
    entry = {0: "p", 6: [{0: "de.txt", 2: 2, 3: "de"}, {0: "en.txt", 2: 2}]}
    content = graph.build([place], [scores], metadata=flat_table({3: [{3: [entry]}]}), files=files)
    found = read(tmp_path, content).metadata
    assert found is not None
    assert found.outputs[0].labels == LABELS


def test_quantisation_is_read_and_seen_through(tmp_path: Path) -> None:
    header = read(tmp_path, quantised_tflite("uint8"))
    (place,), (scores,) = header.inputs, header.outputs
    assert (place.element_type, place.zero_point) == ("UINT8", 128)
    assert place.scale == pytest.approx(1 / 127.5)
    assert (scores.element_type, scores.scale, scores.zero_point) == ("UINT8", 1 / 256, 0)
    assert scores.made_by == "SOFTMAX", "a QUANTIZE lies between"
    assert header.quantization == "INT8"


def test_operators_from_outside_are_named_with_what_they_write(tmp_path: Path) -> None:
    header = read(tmp_path, ssd_tflite(swapped=True))
    assert header.custom_ops == ("TFLite_Detection_PostProcess",)
    written = header.results_of["TFLite_Detection_PostProcess"]
    assert [tensor.name for tensor in written] == [f"found:{number}" for number in range(4)]
    assert [tensor.name for tensor in header.outputs] == [f"found:{number}" for number in (1, 0, 3, 2)]


def test_weights_that_two_tensors_share_count_once(tmp_path: Path) -> None:
    graph, place, scores = picture_graph()
    again = graph.tensor("again", (3, 3))
    graph.tensors[again].buffer = next(
        each.buffer for each in graph.tensors if each.name == b"weights" or each.name == "weights"
    )
    assert read(tmp_path, graph.build([place], [scores])).parameters == 11


def test_weights_of_four_bits_take_half_a_byte(tmp_path: Path) -> None:
    graph, place, scores = picture_graph()
    small = graph.tensor("small", (5,), 17)
    graph.tensors[small].buffer = graph.buffer(b"\x12\x34\x05")
    assert dict(read(tmp_path, graph.build([place], [scores])).weight_types)["INT4"] == 5


def change(built: Built, name: str, **fields: object) -> None:
    (tensor,) = [each for each in built[0].tensors if each.name == name]
    for key, value in fields.items():
        setattr(tensor, key, value)


LIES: dict[str, tuple[Callable[[Built], None], str]] = {
    "a type that is none": (lambda b: change(b, "weights", type=99), "has the unknown element type 99"),
    "a negative size": (lambda b: change(b, "weights", shape=[-3, 3]), r"impossible shape \[-3, 3\]"),
    "a size beyond counting": (lambda b: change(b, "weights", shape=[2**31 - 1] * 3), "impossible shape"),
    "too few weights": (lambda b: change(b, "weights", shape=[3, 4]), "needs 48 bytes, and 36 are stored"),
    "a buffer that is none": (lambda b: change(b, "weights", buffer=77), "it names buffer 77, and has 3"),
    "an operator that is none": (
        lambda b: setattr(b[0].operators[0], "opcodeIndex", 9),
        "is of kind 9, and 3 are listed",
    ),
    "an input that is none": (lambda b: setattr(b[0].operators[0], "inputs", [99]), "tensors that it does not have"),
    "an output below 0": (lambda b: setattr(b[0].operators[0], "outputs", [-1]), "tensors that it does not have"),
    "weights after the end": (lambda b: far(b, offset=1 << 40), "would lie from byte 1,099,511,627,776"),
    "a shape without end": (lambda b: change(b, "image", shape=[1] * 65), "no real model has more than 64"),
}


def test_a_vector_that_is_named_over_and_over_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("berth_store.headers.tflite.MAX_ALL_ENDS", 5)
    with pytest.raises(UnsupportedModel, match="more than 5 ends of operators"):
        read(tmp_path, picture_tflite())


def test_a_label_file_that_is_named_over_and_over_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("berth_store.headers.tflite_files.MAX_READ_BYTES", 5)
    graph, place, scores = picture_graph()
    entry = {0: "p", 6: [{0: "labels.txt", 2: 2}]}
    content = graph.build(
        [place], [scores], metadata=flat_table({3: [{3: [entry, entry]}]}), files={"labels.txt": "a\nb"}
    )
    with pytest.raises(UnsupportedModel, match="names more than 5 bytes of files"):
        read(tmp_path, content)


def far(built: Built, *, offset: int) -> None:
    """Say that the weights lie outside of the flatbuffer."""
    (tensor,) = [each for each in built[0].tensors if each.name == "weights"]
    buffer = built[0].buffers[tensor.buffer]
    buffer.data, buffer.offset, buffer.size = None, offset, 36


@pytest.mark.parametrize(("lie", "why"), LIES.values(), ids=LIES.keys())
def test_a_graph_that_lies_is_refused(tmp_path: Path, lie: Callable[[Built], None], why: str) -> None:
    built = picture_graph()
    lie(built)
    with pytest.raises(UnsupportedModel, match=why):
        read(tmp_path, built[0].build([built[1]], [built[2]]))


def test_weights_may_lie_after_the_flatbuffer(tmp_path: Path) -> None:
    built = picture_graph()
    far(built, offset=1 << 12)
    graph, place, scores = built
    content = graph.build([place], [scores]).ljust(1 << 12, b"\0") + bytes(36)
    assert read(tmp_path, content).parameters == 11


@pytest.mark.parametrize("ends", [([], [0]), ([0], [])], ids=["inputs", "outputs"])
def test_a_graph_without_ends_is_no_model(tmp_path: Path, ends: tuple[list[int], list[int]]) -> None:
    with pytest.raises(UnsupportedModel, match="lacks inputs or outputs"):
        read(tmp_path, picture_graph()[0].build(*ends))


def test_a_file_that_is_cut_anywhere_is_refused_or_whole(tmp_path: Path) -> None:
    whole = picture_tflite()
    for length in range(8, len(whole) - 8, 8):
        with pytest.raises(UnsupportedModel):
            read(tmp_path, whole[:length])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xff\xff\xff\x7fTFL3" + bytes(64), "would lie from byte 2,147,483,647"),
        (b"\x10\0\0\0TFL3" + bytes(64), "has 0 bytes, which can't be"),
        (b"\x10\0\0\0TFL2" + bytes(64), "does not begin as a TFLite file"),
        (b"TFL3", "would lie from byte 4 to 8"),
    ],
    ids=["root", "form", "mark", "short"],
)
def test_a_root_that_lies_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(UnsupportedModel, match=why):
        read(tmp_path, content)


@pytest.mark.parametrize("bound", ["MAX_TENSORS", "MAX_OPERATORS", "MAX_BUFFERS", "MAX_OPCODES"])
def test_what_is_many_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(f"berth_store.headers.tflite.{bound}", 2)
    with pytest.raises(UnsupportedModel, match=r"no real model (has more than 2|does)"):
        read(tmp_path, picture_tflite())


@given(
    number=st.integers(2, 12), kinds=st.lists(st.sampled_from(["float32", "int8", "float16"]), min_size=1, max_size=9)
)
def test_weights_are_counted_by_type(tmp_path_factory: pytest.TempPathFactory, number: int, kinds: list[str]) -> None:
    graph, place, scores = picture_graph()
    for kind in kinds:
        graph.constant("more", np.zeros((number, 2), kind))
    header = read(tmp_path_factory.mktemp("tflite"), graph.build([place], [scores]))
    assert header.parameters == 11 + 2 * number * len(kinds)


def with_archive(files: bytes, **more: str) -> bytes:
    graph, place, scores = picture_graph()
    return graph.build([place], [scores], metadata=metadata(**more)) + files


def test_labels_may_be_stored_as_they_are(tmp_path: Path) -> None:
    content = with_archive(archive({"labels.txt": "a\nb\nc"}, method=zipfile.ZIP_STORED))
    found = read(tmp_path, content).metadata
    assert found is not None
    assert found.outputs[0].labels == ("a", "b", "c")


def test_a_label_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"label file 'labels\.txt', which is not in the archive"):
        read(tmp_path, with_archive(archive({"other.txt": "a"})))


def test_labels_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="is not UTF-8 text"):
        read(tmp_path, with_archive(archive({"labels.txt": b"\xff\xfe\x00"})))


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = archive({"labels.txt": bytes(64 << 20)})
    assert len(bomb) < 1 << 20
    with pytest.raises(UnsupportedModel, match="has more than 4,194,304 bytes"):
        read(tmp_path, with_archive(bomb))


def test_a_bomb_that_claims_to_be_small_is_not_unpacked_either(tmp_path: Path) -> None:
    bomb = archive({"labels.txt": bytes(64 << 20)}).replace((64 << 20).to_bytes(4, "little"), b"\x05\0\0\0")
    with pytest.raises(UnsupportedModel, match="does not have the 5 bytes that it claims"):
        read(tmp_path, with_archive(bomb))


ARCHIVES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "many files": (lambda _: archive({f"{number}": "" for number in range(65)}), "lists more than 64 files"),
    "a list beyond its start": (lambda a: a[:-10] + b"\xff\xff\xff\x7f" + a[-6:], "or lies"),
    "another entry's mark": (lambda a: a.replace(b"PK\x01\x02", b"PK\x01\x03"), "list of its archive is damaged"),
    "another file's mark": (lambda a: a.replace(b"PK\x03\x04", b"PK\x03\x05"), "is not where its list says"),
    "a method of its own": (
        lambda a: a.replace(b"PK\x01\x02\x14\x03\x14\0\0\0\x08", b"PK\x01\x02\x14\x03\x14\0\0\0\x63"),
        "a method that is not used here",
    ),
    "damaged content": (lambda a: a[:40] + bytes([a[40] ^ 0xFF]) + a[41:], "labels"),
}


@pytest.mark.parametrize(("damage", "why"), ARCHIVES.values(), ids=ARCHIVES.keys())
def test_an_archive_that_lies_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes], why: str) -> None:
    whole = archive({"labels.txt": "red\ngreen\nblue\n" * 3})
    assert damage(whole) != whole
    with pytest.raises(UnsupportedModel, match=why):
        read(tmp_path, with_archive(damage(whole)))


def test_metadata_that_is_no_flatbuffer_is_refused(tmp_path: Path) -> None:
    graph, place, scores = picture_graph()
    for content in (b"", b"\xff" * 32):
        with pytest.raises(UnsupportedModel):
            read(tmp_path, graph.build([place], [scores], metadata=content))


def test_an_old_file_keeps_its_operators_numbers_elsewhere(tmp_path: Path) -> None:
    graph, place, scores = picture_graph()
    for code in graph.codes:
        code.builtinCode = 0
    assert read(tmp_path, graph.build([place], [scores])).outputs[0].made_by == "SOFTMAX"
    assert OPERATORS.SOFTMAX < 127
