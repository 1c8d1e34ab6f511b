"""The safetensors reader takes a file whose header covers its data exactly, and refuses every other."""

import json
import struct
from pathlib import Path
from typing import Any

import folder_builders
import pytest
import safetensors_builders
from hypothesis import given
from hypothesis import strategies as st
from safetensors_builders import SMALL_SHAPES, safetensors, safetensors_entries

from berth_api.errors import UnsupportedModel
from berth_store.headers.safetensors import DTYPE_BITS, SafetensorsHeader, read_index, read_safetensors

WHOLE = safetensors(metadata={"format": "pt"})


def read(tmp_path: Path, content: bytes) -> SafetensorsHeader:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    return read_safetensors(path)


def one(**changes: Any) -> bytes:
    """A file with one tensor of 16 bytes, of whose entry something is changed."""
    entry = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16], **changes}
    return safetensors(header=json.dumps({"t": entry}), data_bytes=16)


def test_a_header_says_what_was_written(tmp_path: Path) -> None:
    header = read(tmp_path, WHOLE)
    assert [(each.name, each.dtype, each.shape) for each in header.tensors] == [
        (name, dtype, tuple(shape)) for name, (dtype, shape) in SMALL_SHAPES.items()
    ]
    assert header.dtypes == (("F32", 40), ("F16", 16), ("I64", 4))
    assert (header.parameters, header.metadata) == (60, {"format": "pt"})
    assert header.file_bytes == len(WHOLE)


def test_names_and_metadata_may_need_escapes(tmp_path: Path) -> None:
    shapes = {'a"b\\cé\n': ("F32", (1,))}
    header = read(tmp_path, safetensors(shapes, metadata={'k"}': '{"v": [1]}'}))
    assert header.tensors[0].name == 'a"b\\cé\n'
    assert header.metadata == {'k"}': '{"v": [1]}'}


def test_the_order_of_the_entries_is_free(tmp_path: Path) -> None:
    entries = dict(reversed(safetensors_entries(SMALL_SHAPES).items()))
    assert read(tmp_path, safetensors(header=json.dumps(entries))).parameters == 60


def test_an_empty_tensor_takes_no_bytes(tmp_path: Path) -> None:
    assert read(tmp_path, safetensors({"empty": ("F32", (0, 4)), "t": ("F32", (2,))})).parameters == 2


def test_packed_dtypes_count_bits(tmp_path: Path) -> None:
    header = read(
        tmp_path,
        safetensors(header=json.dumps({"t": {"dtype": "F4", "shape": [4, 2], "data_offsets": [0, 4]}}), data_bytes=4),
    )
    assert header.dtypes == (("F4", 8),)


@pytest.mark.parametrize("dtype", DTYPE_BITS)
def test_every_dtype_of_the_format_is_read(tmp_path: Path, dtype: str) -> None:
    size = DTYPE_BITS[dtype] // 2
    header = {"t": {"dtype": dtype, "shape": [4], "data_offsets": [0, size]}}
    assert read(tmp_path, safetensors(header=json.dumps(header), data_bytes=size)).dtypes == ((dtype, 4),)


ENTRY = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
REFUSED = {
    "a header beyond the end": (safetensors(header_bytes=10**6), "header of 1,000,000 bytes, which begins at byte 8"),
    "a header over the format's limit": (safetensors(header_bytes=100_000_001), "the format allows 100,000,000"),
    "a header of 2^63": (safetensors(header_bytes=2**63), "claims a header of 9,223,372,036,854,775,808 bytes"),
    "less than 8 bytes": (b"\1\2\3", "but the file has 3 bytes"),
    "a header that is a list": (safetensors(header="[]", data_bytes=0), "'{' has to be at byte 8"),
    "space before the header": (safetensors(header=" {}", data_bytes=0), "'{' has to be at byte 8"),
    "something after the header": (safetensors(header="{} {}", data_bytes=0), "follows the header's end at byte 11"),
    "a tensor twice": (
        safetensors(header=f'{{"t":{ENTRY},"t":{ENTRY}}}', data_bytes=4),
        "'t' stands in the header twice",
    ),
    "a comma too many": (safetensors(header=f'{{"t":{ENTRY},}}', data_bytes=4), "a name of at most"),
    "no comma": (safetensors(header=f'{{"t":{ENTRY} "u":{ENTRY}}}', data_bytes=4), "',' has to be at byte"),
    "no end": (safetensors(header=f'{{"t":{ENTRY}', data_bytes=4), "',' has to be at byte"),
    "a name without end": (safetensors(header='{"' + "t" * 9000, data_bytes=0), "a name of at most 4,096 bytes"),
    "a name that is not UTF-8": (
        safetensors(header=b'{"\xff":' + ENTRY.encode() + b"}", data_bytes=4),
        "JSON string in UTF-8",
    ),
    "an entry that is a number": (safetensors(header='{"t":1}', data_bytes=0), "is no object of at most"),
    "a key of the entry twice": (
        safetensors(header='{"t":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', data_bytes=4),
        "'dtype' stands in it twice",
    ),
    "a key too many": (one(extra=1), "has the keys ['data_offsets', 'dtype', 'extra', 'shape']"),
    "an unknown dtype": (one(dtype="F7"), "unknown dtype 'F7'"),
    "a dtype that is no text": (one(dtype=[["F32"]]), "unknown dtype [['F32']]"),
    "a negative shape": (one(shape=[-2, -2]), "whole numbers from 0"),
    "a shape with fractions": (one(shape=[2.0, 2]), "whole numbers from 0"),
    "a shape with truths": (one(shape=[True, 4]), "whole numbers from 0"),
    "a shape of many dimensions": (one(shape=[1] * 65), "whole numbers from 0"),
    "a shape that overflows": (one(shape=[2**40, 2**40]), "no possible length"),
    "a shape over 64 bits": (one(shape=[2**64]), "whole numbers from 0"),
    "half a byte": (one(dtype="F4", shape=[3]), "no possible length"),
    "one offset": (one(data_offsets=[0]), "whole numbers from 0"),
    "offsets that do not fit the shape": (
        one(data_offsets=[0, 12]),
        "needs 16 bytes, and its data_offsets 0 to 12 hold 12",
    ),
    "offsets backwards": (one(data_offsets=[16, 0]), "hold -16"),
    "a hole": (
        safetensors(header=f'{{"t":{ENTRY},"u":{{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}}}', data_bytes=12),
        "'u' leave a hole before byte",
    ),
    "an overlap": (
        safetensors(header=f'{{"t":{ENTRY},"u":{ENTRY}}}', data_bytes=4),
        "'u' overlap those before byte",
    ),
    "data that are missing": (safetensors(data_bytes=10), "the data of the tensors end at byte"),
    "data that nobody names": (safetensors(data_bytes=10_000), "the data of the tensors end at byte"),
    "metadata that nest": (safetensors(header='{"__metadata__":{"a":{"b":"c"}}}', data_bytes=0), "may hold texts only"),
    "metadata twice": (
        safetensors(header='{"__metadata__":{},"__metadata__":{}}', data_bytes=0),
        "'__metadata__' stands in the header twice",
    ),
    "a key of the metadata twice": (
        safetensors(header='{"__metadata__":{"a":"1","a":"2"}}', data_bytes=0),
        "has the key 'a' twice",
    ),
}


@pytest.mark.parametrize(("content", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_a_lie_is_refused_with_its_name(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(UnsupportedModel) as refused:
        read(tmp_path, content)
    assert why in str(refused.value)
    assert str(refused.value).startswith("model.safetensors: ")
    assert "; " in str(refused.value), "a refusal says what to do"


def test_a_deep_header_is_refused_without_recursion(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel):
        read(tmp_path, safetensors(header='{"t":' + '{"a":' * 100_000, data_bytes=0))


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    for length in range(len(WHOLE)):
        with pytest.raises(UnsupportedModel):
            read(tmp_path, WHOLE[:length])


@given(flips=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_flipped_bytes_leave_a_valid_header_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]]
) -> None:
    content = bytearray(WHOLE)
    for at, value in flips:
        content[at] = value
    try:
        header = read(tmp_path_factory.getbasetemp(), bytes(content))
    except UnsupportedModel:
        return
    ends = sorted((each.start, each.end) for each in header.tensors)
    assert [start for start, _ in ends[1:]] == [end for _, end in ends[:-1]]
    assert header.data_offset + (ends[-1][1] if ends else 0) == len(content)


def shards(tmp_path: Path, weight_map: Any) -> Path:
    folder_builders.write_files(tmp_path, {"a.safetensors": safetensors(), "index.json": {"weight_map": weight_map}})
    return tmp_path / "index.json"


def test_an_index_names_shards_of_its_own_folder(tmp_path: Path) -> None:
    index = read_index(shards(tmp_path, {"t": "a.safetensors", "u": "a.safetensors"}))
    assert index.shards == (tmp_path / "a.safetensors",)
    assert index.shard_of == {"t": tmp_path / "a.safetensors", "u": tmp_path / "a.safetensors"}


@pytest.mark.parametrize(
    "name", ["../a.safetensors", "/etc/hostname", "b.safetensors", "", "x/../a.safetensors", "C:\\a", "a\0b"]
)
def test_an_index_that_leads_out_of_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsupportedModel, match=r"^index\.json names "):
        read_index(shards(tmp_path, {"t": name}))


@pytest.mark.parametrize("weight_map", [None, {}, [], {"t": 1}, {"t": ["a.safetensors"]}])
def test_an_index_without_names_is_refused(tmp_path: Path, weight_map: Any) -> None:
    with pytest.raises(UnsupportedModel, match=r"^index\.json"):
        read_index(shards(tmp_path, weight_map))


def test_a_header_of_many_tensors_is_read_in_one_pass(tmp_path: Path) -> None:
    shapes: safetensors_builders.Shapes = {f"layer.{number}.weight": ("U8", (1,)) for number in range(20_000)}
    assert read(tmp_path, safetensors(shapes)).parameters == 20_000


def test_too_many_tensors_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("berth_store.headers.safetensors.MAX_TENSORS", 2)
    with pytest.raises(UnsupportedModel, match="more than 2 tensors"):
        read(tmp_path, WHOLE)


def test_the_length_is_little_endian(tmp_path: Path) -> None:
    swapped = struct.pack(">Q", struct.unpack("<Q", WHOLE[:8])[0]) + WHOLE[8:]
    with pytest.raises(UnsupportedModel, match="the format allows"):
        read(tmp_path, swapped)
