"""GGUF and safetensors headers with numbers that are not so."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gguf_builders import (
    ARRAY,
    I32,
    LLAMA_TENSORS,
    STRING,
    U8,
    U16,
    U64,
    Numbers,
    Strings,
    Tensor,
    Typed,
    gguf,
    llama_gguf,
    llama_metadata,
)
from safetensors_builders import safetensors
from tar_builders import tar_of

from berth_api.artifact import Format
from hostile.case import Hostile, of_files, of_tar

HUGE = (10**9, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**64 - 1)
LLAMA = json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}).encode()
GGUF_NAME, SAFETENSORS_NAME = "weights.gguf", "model.safetensors"


def build_gguf(canary: Path) -> Iterator[Hostile]:
    """Each lie in a file of its own, and one in an archive."""
    for what, content in _gguf(canary).items():
        yield Hostile(f"GGUF: {what}", of_files({GGUF_NAME: content}), GGUF_NAME)
    lie = bytes(gguf(llama_metadata(), LLAMA_TENSORS, tensor_count=10**9).content)
    yield Hostile("GGUF: a lie in an archive", of_tar(tar_of({GGUF_NAME: lie})), GGUF_NAME)
    split = llama_metadata(split__no=Typed(U16, 0), split__count=Typed(U16, 65535), split__tensors__count=Typed(I32, 1))
    only = bytes(gguf(split, LLAMA_TENSORS).content)
    yield Hostile("GGUF: one of 65,535 shards", of_files({GGUF_NAME: only}), GGUF_NAME)
    named = "m-00001-of-65535.gguf"
    yield Hostile("GGUF: one of 65,535 by its name", of_files({named: only}), named)
    yield Hostile("GGUF: a later shard alone", of_files({"m-00002-of-00003.gguf": llama_gguf()}), serves=Format.GGUF)


def _gguf(canary: Path) -> dict[str, bytes]:
    def of(metadata: Any = None, tensors: Any = LLAMA_TENSORS, **more: Any) -> bytes:
        return bytes(gguf(llama_metadata() if metadata is None else metadata, tensors, **more).content)

    def with_tensor(*shape: int, **more: Any) -> bytes:
        return of(tensors=[Tensor("t", shape, **more)], data=bytes(64))

    good = gguf(llama_metadata(), LLAMA_TENSORS)
    marks = good.marks[:: max(1, len(good.marks) // 12)]
    flat = [("general.architecture", "llama")]
    deep = struct.pack("<IQ", ARRAY, 1) * 1000
    return {
        "the magic alone": b"GGUF",
        "version 99": of(version=99),
        "version 0": of(version=0),
        "big-endian": of(version=3 << 24),
        **{f"cut at byte {mark}": bytes(good.content[:mark]) for mark in marks if 4 < mark < len(good.content)},
        **{f"{count} pairs": of(pair_count=count) for count in HUGE},
        **{f"{count} tensors": of(tensor_count=count) for count in HUGE},
        **{f"an array of {count}": of([*flat, ("a", Numbers(U8, [1], count=count))]) for count in HUGE},
        **{f"an array of {count} texts": of([*flat, ("a", Strings(["x"], count=count))]) for count in HUGE},
        **{f"a dimension of {size}": with_tensor(size) for size in HUGE},
        **{f"a product beyond 64 bits ({n})": with_tensor(*[2**n] * 4) for n in (16, 17, 31, 62)},
        **{f"an offset of {offset}": with_tensor(4, offset=offset // 32 * 32) for offset in HUGE},
        "an offset that is not aligned": with_tensor(4, offset=7),
        "a tensor type of 10^9": with_tensor(4, type=10**9),
        "five dimensions": with_tensor(1, 1, 1, 1, 1),
        "an alignment of nothing": of([*flat, ("general.alignment", 0)]),
        "an alignment of three": of([*flat, ("general.alignment", 3)]),
        "an alignment of 2^31": of([*flat, ("general.alignment", Typed(4, 2**31))]),
        "an alignment in words": of([*flat, ("general.alignment", "32")]),
        "a key twice": of([*flat, *flat]),
        "a value of an unknown type": of([*flat, ("a", Typed(99, b"x" * 8))]),
        "an array of arrays of arrays": of([*flat, ("a", Typed(ARRAY, deep))]),
        "an array of an unknown type": of([*flat, ("a", Typed(ARRAY, struct.pack("<IQ", 77, 1) + bytes(8)))]),
        "a text of 2^63 bytes": of([*flat, ("a", Typed(STRING, struct.pack("<Q", 2**63)))]),
        "a key that is no text": of([*flat, ("é", 1)]),
        "an empty key": of([*flat, ("", 1)]),
        "no architecture": of([("general.name", "x")]),
        "an architecture in numbers": of([("general.architecture", Typed(U64, 7))]),
        "no tensors": of(tensors=[]),
        "a tensor twice": of(tensors=[Tensor("t", (4,)), Tensor("t", (4,))]),
        "a template of two megabytes": of(llama_metadata(tokenizer__chat_template="x" * (2 << 20))),
        "a name of a tensor of 100,000 bytes": of(tensors=[Tensor("t" * 100_000, (4,))]),
        "no data": of(data=b""),
    }


def build_safetensors(canary: Path) -> Iterator[Hostile]:
    """Each lie in a model of its own."""
    for what, content in _safetensors().items():
        files = {SAFETENSORS_NAME: content, "config.json": LLAMA}
        yield Hostile(f"safetensors: {what}", of_files(files), SAFETENSORS_NAME)
    for what, shard in {
        "upwards": "../../canary",
        "absolute": str(canary),
        "missing": "nowhere.safetensors",
        "with backslashes": "..\\canary",
        "hidden": "a/../../x",
        "empty": "",
        "with NUL": "a\0b",
        "a folder": ".",
    }.items():
        index = json.dumps({"metadata": {}, "weight_map": {"a": shard}}).encode()
        files = {"model.safetensors.index.json": index, "config.json": LLAMA, "other.safetensors": safetensors()}
        yield Hostile(f"an index whose shard is {what}", of_files(files), "model.safetensors.index.json")
    for what, index in {
        "a list": b"[]",
        "no JSON": b"{",
        "without a map": b"{}",
        "a map of numbers": b'{"weight_map": {"a": 1}}',
        "of 10^6 tensors": b'{"weight_map": {' + b",".join(b'"%d":"a"' % n for n in range(10**6)) + b"}}",
    }.items():
        files = {"model.safetensors.index.json": index, "config.json": LLAMA, "other.safetensors": safetensors()}
        yield Hostile(f"an index that is {what}", of_files(files), "model.safetensors.index.json")


def _safetensors() -> dict[str, bytes]:
    def entry(**changes: Any) -> bytes:
        return safetensors(
            header=json.dumps({"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16], **changes}}),
            data_bytes=16,
        )

    many = {f"t{n}": {"dtype": "F32", "shape": [], "data_offsets": [0, 0]} for n in range(1 << 17)}
    return {
        "eight bytes": bytes(8),
        **{f"a header of {size} bytes": safetensors(header_bytes=size) for size in (*HUGE, 100 << 20, 2)},
        "a header that is no JSON": safetensors(header="{"),
        "a header that is a list": safetensors(header="{}"[:1] + '"a":[1]}'),
        "a header nested deeply": safetensors(header='{"a":' * 5000 + "1" + "}" * 5000),
        "a tensor twice": safetensors(
            header='{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
            data_bytes=4,
        ),
        "a shape that is no number": safetensors(
            header='{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', data_bytes=4
        ),
        "a shape without end": safetensors(
            header='{"a":{"dtype":"F32","shape":[Infinity],"data_offsets":[0,4]}}', data_bytes=4
        ),
        "a negative dimension": entry(shape=[-2, -2]),
        "a fraction of a dimension": entry(shape=[1.5, 2]),
        "a dimension in words": entry(shape=["2", "2"]),
        "a dimension of 10^30": entry(shape=[10**30]),
        "a product beyond 64 bits": entry(shape=[2**32, 2**32]),
        "a product of nothing and much": entry(shape=[0, 2**62, 2**62]),
        "a thousand dimensions": entry(shape=[1] * 1000),
        "a shape that is true": entry(shape=[True, 4]),
        "offsets beyond the end": entry(shape=[100], data_offsets=[0, 400]),
        "offsets of 2^63": entry(data_offsets=[2**63, 2**63 + 16]),
        "offsets backwards": entry(data_offsets=[16, 0]),
        "negative offsets": entry(data_offsets=[-16, 0]),
        "three offsets": entry(data_offsets=[0, 8, 16]),
        "a hole": entry(data_offsets=[4, 20]),
        "two tensors at one place": safetensors(
            header=json.dumps({n: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for n in "ab"}), data_bytes=16
        ),
        "a type that nobody knows": entry(dtype="F31"),
        "a type in numbers": entry(dtype=4),
        "no type": safetensors(header='{"a":{"shape":[1],"data_offsets":[0,4]}}', data_bytes=4),
        "metadata in numbers": safetensors(header='{"__metadata__":{"a":1}}', data_bytes=0),
        "more bytes than tensors": safetensors(data_bytes=5000),
        "fewer bytes than tensors": safetensors(data_bytes=5),
        "131,072 tensors at one place": safetensors(
            header=json.dumps({**many, "a": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]}}), data_bytes=8
        ),
    }
