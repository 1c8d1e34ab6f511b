"""ONNX graphs that point outside, overflow or never end."""

from collections.abc import Iterator
from pathlib import Path

from folder_builders import as_bytes, sentence_files
from onnx_builders import (
    TOKEN_INPUTS,
    block,
    encoder_onnx,
    number,
    onnx,
    onnx_graph,
    onnx_node,
    onnx_tensor,
    onnx_value,
    varint,
)

from hostile.case import Hostile, of_files

SETTINGS = as_bytes(sentence_files())
OUTPUTS = [onnx_value("last_hidden_state", ("batch", "sequence", 8))]
NAME = "model.onnx"
HUGE = (10**9, 2**31, 2**62, 2**63 - 1)


def build(canary: Path) -> Iterator[Hostile]:
    """Each lie in a model of its own."""
    for what, content in {**_external(canary), **_wire()}.items():
        yield Hostile(f"ONNX: {what}", of_files({**SETTINGS, NAME: content, "data.bin": bytes(64)}), NAME)
    beside = _graph(onnx_tensor("w", (4, 4), external={"location": "data.bin"}))
    files = {**SETTINGS, "onnx/model.onnx": beside, "data.bin": bytes(64)}
    yield Hostile("ONNX: data beside the folder of the graph", of_files(files), "model.onnx")


def _graph(*initializers: bytes) -> bytes:
    return onnx(
        onnx_graph(nodes=[onnx_node("MatMul")], inputs=TOKEN_INPUTS, outputs=OUTPUTS, initializers=list(initializers))
    )


def _external(canary: Path) -> dict[str, bytes]:
    def at(location: str, **more: str) -> bytes:
        return _graph(onnx_tensor("w", (4, 4), external={"location": location, **more}))

    return {
        "external data upwards": at("../../canary"),
        "external data far upwards": at("../" * 40 + str(canary).lstrip("/")),
        "external data at an absolute place": at(str(canary)),
        "external data in a password file": at("/etc/passwd"),
        "external data by a link of the system": at("/proc/self/environ"),
        "external data with backslashes": at("..\\..\\canary"),
        "external data on a drive": at("C:canary"),
        "external data by an address": at("file:///etc/passwd"),
        "external data in a folder": at("."),
        "external data in nothing": at(""),
        "external data that is missing": at("other.bin"),
        "external data with NUL": at("data.bin\0.txt"),
        "external data with a long name": at("x" * 5000),
        **{f"external data at byte {place}": at("data.bin", offset=str(place)) for place in (65, *HUGE, -1)},
        **{f"external data of {size} bytes": at("data.bin", length=str(size)) for size in (65, *HUGE, -1)},
        "external data of words": at("data.bin", offset="many"),
        "external data of a power": at("data.bin", length="1e3"),
        "external data in a fraction": at("data.bin", offset="0x10"),
    }


def _wire() -> dict[str, bytes]:
    good = encoder_onnx()
    nested = onnx_graph(nodes=[onnx_node("MatMul")], inputs=TOKEN_INPUTS, outputs=OUTPUTS)
    for _ in range(200):
        attribute = block(1, "body") + block(6, nested) + number(20, 5)
        nested = onnx_graph(nodes=[onnx_node("If", attributes=[attribute])], inputs=TOKEN_INPUTS, outputs=OUTPUTS)
    return {
        **{f"cut at byte {cut}": good[:cut] for cut in (3, 10, len(good) // 2, len(good) - 1)},
        **{f"a tensor of {size} weights": _graph(onnx_tensor("w", (size,), raw=b"x" * 4)) for size in HUGE},
        "a product beyond 64 bits": _graph(onnx_tensor("w", (2**32, 2**32), raw=b"x" * 4)),
        "a negative dimension": _graph(onnx_tensor("w", (-4, -4), raw=b"x" * 64)),
        "more dimensions than anything has": _graph(onnx_tensor("w", (1,) * 1000, raw=b"x" * 4)),
        "a graph of 2^62 bytes": number(1, 8) + block(7, b"x", length=2**62),
        "a number without end": number(1, 8) + b"\xff" * 20,
        "a field of a group": number(1, 8) + varint(7 << 3 | 3) + good,
        "a field numbered nothing": number(1, 8) + varint(0 << 3 | 2) + varint(1) + b"x" + good,
        "graphs in graphs in graphs": onnx(nested),
        "the graph twice": good + block(7, onnx_graph(nodes=[], inputs=[], outputs=[])),
        "no graph": number(1, 8) + block(8, number(2, 17)),
        "a name that is no text": _graph(block(8, b"\xff\xfe") + number(1, 4) + number(2, 1) + block(9, b"x" * 16)),
    }
