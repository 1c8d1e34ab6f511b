"""TFLite files whose offsets, counts and indices are not so, and the archives at their ends."""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from tar_builders import tar_of
from tflite_builders import OPERATORS, Graph, archive, metadata, picture_graph, picture_tflite

from hostile.case import Hostile, of_files, of_tar

NAME = "model.tflite"
HUGE = (10**9, 2**32 - 1)
# Fields of tables, by their places in a vtable (4 + 2 for each field before): schema.fbs of TensorFlow Lite.
_CODES, _SUBGRAPHS, _DESCRIPTION, _BUFFERS, _METADATA = 6, 8, 10, 12, 16
_TENSORS, _INPUTS, _OUTPUTS, _OPERATORS = 4, 6, 8, 10
_SHAPE, _NAME = 4, 10


def build(canary: Path) -> Iterator[Hostile]:
    """Each lie in a model of its own, and one in an archive."""
    lies = {**_wire(), **_vectors(), **_indices()}
    for what, content in {**lies, **_appended()}.items():
        yield Hostile(f"TFLite: {what}", of_files({NAME: content}), NAME)
    for what, content in _weights().items():
        # Where the weights lie is not looked at before they are fetched.
        yield Hostile(f"TFLite: {what}", of_files({NAME: content}), NAME, may_resolve=True)
    lie = lies["10^9 subgraphs"]
    yield Hostile("TFLite: a lie in an archive", of_tar(tar_of({NAME: lie})), NAME)


def _wire() -> dict[str, bytes]:
    good = picture_tflite(labels=["a", "b", "c"])
    (root,) = struct.unpack_from("<I", good)
    (vtable,) = struct.unpack_from("<i", good, root)
    form = root - vtable
    cuts = {f"cut at byte {cut}": good[:cut] for cut in (4, 7, 8, root + 1, form + 1, 200)}
    roots = {f"a root at byte {at}": _put(good, 0, "<I", at) for at in (len(good), *HUGE)}
    forms = {f"a form at distance {at}": _put(good, root, "<i", at) for at in (2**31 - 1, -(2**31), root + 1)}
    sizes = {f"a form of {size} bytes": _put(good, form, "<H", size) for size in (0, 1, 3, 5, 65534, 65535)}
    fields = {f"fields at {at}": _put(good, form + 4, "<HHHHH", *([at] * 5)) for at in (3, 4000, 65535)}
    return {**cuts, **roots, **forms, **sizes, **fields, "another format's mark": good[:4] + b"TFL2" + good[8:]}


def _vectors() -> dict[str, bytes]:
    """Counts that no file has, and distances that lead out of it."""
    good = picture_tflite(labels=["a", "b", "c"])
    found: dict[str, bytes] = {}
    for what, at in _places(good).items():
        found |= {f"{count} {what}".replace("1000000000", "10^9"): _put(good, at - 4, "<I", count) for count in HUGE}
        found[f"{what} that begin outside"] = _lead(good, at - 4, 2**31)
    return found


def _places(good: bytes) -> dict[str, int]:
    """Where the entries of the vectors of a file begin; their count stands before."""
    model = schema.Model.GetRootAsModel(good, 0)
    graph, tensor = model.Subgraphs(0), model.Subgraphs(0).Tensors(0)
    where = {
        "operator codes": (model, _CODES),
        "subgraphs": (model, _SUBGRAPHS),
        "letters of the description": (model, _DESCRIPTION),
        "buffers": (model, _BUFFERS),
        "entries of metadata": (model, _METADATA),
        "tensors": (graph, _TENSORS),
        "inputs": (graph, _INPUTS),
        "outputs": (graph, _OUTPUTS),
        "operators": (graph, _OPERATORS),
        "dimensions": (tensor, _SHAPE),
        "letters of a name": (tensor, _NAME),
    }
    return {what: table._tab.Vector(table._tab.Offset(field)) for what, (table, field) in where.items()}


def _indices() -> dict[str, bytes]:
    def of(*, inputs: tuple[int, ...] = (0,), outputs: tuple[int, ...] = (1,), code: int | None = None) -> bytes:
        graph = Graph()
        graph.tensor("in", (1, 4, 4, 3))
        graph.tensor("out", (1, 3))
        graph.operator(OPERATORS.SOFTMAX, inputs, outputs)
        if code is not None:
            graph.operators[0].opcodeIndex = code
        return graph.build([0], [1])

    def of_ends(inputs: list[int], outputs: list[int]) -> bytes:
        graph, _, _ = picture_graph()
        return graph.build(inputs, outputs)

    ends = {f"tensor {index} as an input": of(inputs=(index,)) for index in (2, 10**9, 2**31 - 1, -2)}
    ends |= {f"tensor {index} as a result": of(outputs=(index,)) for index in (2, 10**9, -1)}
    ends |= {f"an operator of kind {code}": of(code=code) for code in (1, 10**9, 2**32 - 1)}
    return {
        **ends,
        "a model's input that is none": of_ends([10**6], [1]),
        "a model's output that is none": of_ends([0], [-5]),
        "no input": of_ends([], [1]),
        "no output": of_ends([0], []),
    }


def _weights() -> dict[str, bytes]:
    def of(shape: tuple[int, ...], *, buffer: int | None = None, kind: str | int = "float32") -> bytes:
        graph, place, scores = picture_graph()
        weights = graph.constant("more", np.zeros((4,), np.float32))
        graph.tensors[weights].shape, graph.tensors[weights].type = list(shape), kind if isinstance(kind, int) else 0
        if buffer is not None:
            graph.tensors[weights].buffer = buffer
        return graph.build([place], [scores])

    def beyond(offset: int, size: int) -> bytes:
        graph, place, scores = picture_graph()
        weights = graph.constant("more", np.zeros((4,), np.float32))
        held = graph.buffers[graph.tensors[weights].buffer]
        held.data, held.offset, held.size = None, offset, size
        return graph.build([place], [scores])

    return {
        "10^9 weights": of((10**9,)),
        "a product beyond 64 bits": of((2**30, 2**30, 2**30)),
        "a negative dimension": of((-4, -4)),
        "a type that nobody knows": of((4,), kind=99),
        **{f"buffer {index} of a few": of((4,), buffer=index) for index in (100, 10**9, 2**32 - 1)},
        **{f"a buffer at byte {at}": beyond(at, 16) for at in (10**9, 2**62, 2**64 - 17)},
        **{f"a buffer of {size} bytes": beyond(64, size) for size in (10**9, 2**62, 2**64 - 1)},
    }


def _appended() -> dict[str, bytes]:
    """Lists of labels in the archive at the end, whose directory stands last of all."""
    graph, place, scores = picture_graph()
    model = graph.build([place], [scores], metadata=metadata())
    zipped = archive({"labels.txt": "a\nb\nc\n"})
    directory = zipped.index(b"PK\1\2")
    end = zipped.index(b"PK\5\6")

    def with_entry(at: int, form: str, *values: int) -> bytes:
        return model + _put(zipped, directory + at, form, *values)

    bomb = archive({"labels.txt": "a\n" * (3 << 20)})
    return {
        **{
            f"{count} files in its archive": model + _put(zipped, end + 8, "<HH", count, count) for count in (65, 65535)
        },
        **{f"a directory of {size} bytes": model + _put(zipped, end + 12, "<I", size) for size in (10**9, 2**32 - 1)},
        **{f"labels of {size} bytes": with_entry(24, "<I", size) for size in (10**9, 2**32 - 1)},
        **{f"labels packed in {size} bytes": with_entry(20, "<I", size) for size in (10**9, 2**32 - 1)},
        "labels that are elsewhere": with_entry(42, "<I", 2**32 - 1),
        "labels that unpack to more than they say": with_entry(24, "<I", 2),
        "labels of six megabytes": model + bomb,
        "labels that are encrypted": with_entry(8, "<H", 1),
        "labels packed by an unknown method": with_entry(10, "<H", 97),
    }


def _put(content: bytes, at: int, form: str, *values: int) -> bytes:
    changed = bytearray(content)
    struct.pack_into(form, changed, at, *values)
    return bytes(changed)


def _lead(content: bytes, target: int, distance: int) -> bytes:
    """With every distance that leads to `target` leading elsewhere."""
    changed = bytearray(content)
    for at in range(0, target, 4):
        if at + struct.unpack_from("<I", content, at)[0] == target:
            struct.pack_into("<I", changed, at, distance)
    return bytes(changed)
