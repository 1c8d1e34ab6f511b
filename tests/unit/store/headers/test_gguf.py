"""The GGUF reader says what a header says, and names the place where one lies."""

import contextlib
import struct
from pathlib import Path

import gguf_builders as build
import pytest
from gguf_builders import Numbers, Strings, Tensor, Typed, gguf, llama_gguf, llama_metadata
from hypothesis import given
from hypothesis import strategies as st

from berth_api.errors import UnsupportedModel
from berth_store.headers.gguf import GgufHeader, read_gguf
from berth_store.headers.gguf_header import ArrayLength, LongString
from berth_store.headers.gguf_types import FILE_TYPES, TENSOR_TYPES, PoolingType, ValueType

WHOLE = gguf(llama_metadata(), build.LLAMA_TENSORS)
FEW_TOKENS = {"tokenizer__ggml__tokens": Strings(["a", "b"]), "tokenizer__ggml__scores": None}
SHORT = gguf(llama_metadata(**FEW_TOKENS), build.LLAMA_TENSORS)


def read(tmp_path: Path, content: bytes | bytearray) -> GgufHeader:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(bytes(content))
    return read_gguf(path)


def test_a_header_says_what_was_written(tmp_path: Path) -> None:
    header = read(tmp_path, WHOLE.content)
    assert (header.version, header.architecture, header.name, header.kind) == (3, "llama", "Tiny", "model")
    assert (header.context_length, header.embedding_length, header.block_count) == (2048, 64, 2)
    assert (header.head_count, header.head_count_kv, header.vocabulary_size) == (4, 2, 300)
    assert header.quantization == "Q4_1"
    assert header.parameters == 64 * 300 + 64 + 64 * 64
    assert header.chat_template == build.CHAT_TEMPLATE
    assert (header.split_count, header.split_number) == (1, 0)


def test_version_2_is_read_too(tmp_path: Path) -> None:
    assert read(tmp_path, gguf(llama_metadata(), version=2).content).version == 2


def test_a_vocabulary_is_counted_and_not_kept(tmp_path: Path) -> None:
    metadata = read(tmp_path, WHOLE.content).metadata
    assert metadata["tokenizer.ggml.tokens"] == ArrayLength(ValueType.STRING, 300)
    assert metadata["tokenizer.ggml.scores"] == ArrayLength(ValueType.FLOAT32, 300)


def test_short_arrays_are_kept(tmp_path: Path) -> None:
    values = {"general.languages": Strings(["en", "de"]), "x.flags": Numbers(build.BOOL, [True, False])}
    metadata = read(tmp_path, gguf(values).content).metadata
    assert metadata["general.languages"] == ("en", "de")
    assert metadata["x.flags"] == (True, False)


def test_every_scalar_type_is_read(tmp_path: Path) -> None:
    written = {
        "a.u8": Typed(build.U8, 200),
        "a.i8": Typed(build.I8, -3),
        "a.u16": Typed(build.U16, 60_000),
        "a.i16": Typed(build.I16, -30_000),
        "a.u32": Typed(build.U32, 4_000_000_000),
        "a.i32": Typed(build.I32, -2_000_000_000),
        "a.u64": Typed(build.U64, 2**63),
        "a.i64": Typed(build.I64, -(2**62)),
        "a.f32": Typed(build.F32, 0.5),
        "a.f64": Typed(build.F64, 0.1),
        "a.bool": True,
    }
    metadata = read(tmp_path, gguf(written).content).metadata
    assert dict(metadata) == {key: getattr(value, "value", value) for key, value in written.items()}


def test_heads_that_differ_by_layer_count_as_the_most(tmp_path: Path) -> None:
    content = llama_gguf(llama__attention__head_count=Numbers(build.I32, [8, 16, 4]))
    assert read(tmp_path, content).head_count == 16


def test_without_a_file_type_the_type_of_most_weights_counts(tmp_path: Path) -> None:
    assert read(tmp_path, llama_gguf(general__file_type=None)).quantization == "Q4_1"


def test_an_unknown_file_type_falls_back_to_the_type_of_most_weights(tmp_path: Path) -> None:
    assert read(tmp_path, llama_gguf(general__file_type=999)).quantization == "Q4_1"


def test_a_guessed_file_type_keeps_its_name(tmp_path: Path) -> None:
    assert read(tmp_path, llama_gguf(general__file_type=1024 + 15)).quantization == "Q4_K_M"


def test_pooling_and_causality_are_read_from_an_embedding_model(tmp_path: Path) -> None:
    header = read(tmp_path, build.bert_gguf(bert__pooling_type=2))
    assert header.pooling_type is PoolingType.CLS
    assert header.causal is False


def test_a_pooling_type_without_a_meaning_counts_as_unsaid(tmp_path: Path) -> None:
    assert read(tmp_path, build.bert_gguf(bert__pooling_type=77)).pooling_type is None


def test_the_alignment_of_the_metadata_is_that_of_the_data(tmp_path: Path) -> None:
    written = gguf(llama_metadata(general__alignment=64), build.LLAMA_TENSORS, alignment=64)
    header = read(tmp_path, written.content)
    assert (header.alignment, header.data_offset % 64) == (64, 0)


def test_a_long_string_is_passed_over(tmp_path: Path) -> None:
    metadata = read(tmp_path, gguf({"a.long": "x" * ((1 << 20) + 1), "a.next": 7}).content).metadata
    assert metadata["a.long"] == LongString((1 << 20) + 1)
    assert metadata["a.next"] == 7


def test_kept_strings_are_bounded_together(tmp_path: Path) -> None:
    values = {f"a.text{number}": "x" * (1 << 20) for number in range(17)}
    metadata = read(tmp_path, gguf(values).content).metadata
    assert sum(isinstance(value, str) for value in metadata.values()) == 16


def test_a_value_that_is_not_utf8_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    out = build.Written()
    out.text(b"caf\xe9")
    value = Typed(build.STRING, bytes(out.content))
    assert read(tmp_path, gguf({"general.name": value}).content).name == "caf\N{REPLACEMENT CHARACTER}"


def test_a_vocabulary_larger_than_the_window_is_passed_over(tmp_path: Path) -> None:
    tokens = Strings(["x" * 700 for _ in range(5_000)])
    header = read(tmp_path, gguf({"t.tokens": tokens, "t.after": 5}).content)
    assert header.metadata["t.after"] == 5


def test_a_string_longer_than_the_window_inside_an_array_is_passed_over(tmp_path: Path) -> None:
    tokens = Strings([*["x"] * 300, "y" * (3 << 20), *["z"] * 300])
    assert read(tmp_path, gguf({"t.tokens": tokens, "t.after": 5}).content).metadata["t.after"] == 5


def test_a_file_cut_at_any_boundary_says_where_and_how_long_it_is(tmp_path: Path) -> None:
    boundaries = {*SHORT.marks, *(mark - 1 for mark in SHORT.marks), 0} - {len(SHORT.content)}
    for length in boundaries:
        with pytest.raises(UnsupportedModel, match=rf"tiny\.gguf: .*byte .*has {length:,} bytes"):
            read(tmp_path, SHORT.content[:length])


REFUSED = {
    "the magic": (gguf({}, magic=b"GGUX"), "does not begin with GGUF"),
    "version 1": (gguf({}, version=1), "GGUF version 1, and versions 2 and 3"),
    "version 4": (gguf({}, version=4), "GGUF version 4"),
    "big endian": (gguf({}, version=3 << 24), "big-endian"),
    "too many pairs": (gguf({}, pair_count=10**9), "claims 1,000,000,000 key-value pairs"),
    "pairs beyond the end": (gguf({}, pair_count=60_000), "60,000 key-value pairs"),
    "too many tensors": (gguf({}, tensor_count=2**63), "claims 9,223,372,036,854,775,808 tensors"),
    "tensors beyond the end": (gguf({}, tensor_count=60_000), "60,000 tensors"),
    "a key twice": (gguf([("a.b", 1), ("a.b", 2)]), "'a.b' stands in it twice"),
    "an empty key": (gguf({"": 1}), "0 bytes, and 1 to 65,535"),
    "a key that is not ASCII": (gguf({"käse": 1}), "not ASCII"),
    "an unknown value type": (gguf({"a.b": Typed(13, b"\0" * 8)}), "is 13, and the types are numbered 0 to 12"),
    "a BOOL of 2": (gguf({"a.b": Typed(build.BOOL, 2)}), "BOOL of value 2"),
    "nested arrays": (
        gguf({"a.b": Typed(build.ARRAY, struct.pack("<IQ", build.ARRAY, 1))}),
        "holds arrays",
    ),
    "an array beyond the end": (
        gguf({"a.b": Numbers(build.U64, [], count=2**61)}),
        "the array 'a.b' of 2,305,843",
    ),
    "a vocabulary beyond the end": (gguf({"a.b": Strings(["x"], count=10**9)}), "1,000,000,000 strings"),
    "an alignment of 48": (gguf({"general.alignment": 48}), "'general.alignment' is 48"),
    "an alignment of 0": (gguf({"general.alignment": 0}), "'general.alignment' is 0"),
    "a huge alignment": (gguf({"general.alignment": 1 << 30}), "power of two from 8 to"),
    "an alignment of another type": (gguf({"general.alignment": Typed(build.U64, 32)}), "has to be a UINT32"),
    "an unnamed tensor": (gguf({}, [Tensor("", (1,))]), "a name of 0 bytes"),
    "a tensor twice": (gguf({}, [Tensor("t", (8,)), Tensor("t", (8,))]), "'t' stands in it twice"),
    "five dimensions": (gguf({}, [Tensor("t", (1, 1, 1, 1, 1))]), "5 dimensions"),
    "a removed tensor type": (gguf({}, [Tensor("t", (8,), type=4)]), "type number 4"),
    "rows that are no blocks": (gguf({}, [Tensor("t", (33,), build.TENSOR_Q4_1)]), "rows of 33 weights"),
    "a shape that overflows": (gguf({}, [Tensor("t", (2**40, 2**40))], data=b""), "more than 2^63"),
    "data beyond the end": (gguf({}, [Tensor("t", (10**6,))], data=b"\0" * 64), "cut off: the data of the tensor 't'"),
    "a lying offset": (gguf({}, [Tensor("t", (8,), offset=64)]), "begin at offset 64"),
    "overlapping tensors": (gguf({}, [Tensor("t", (8,)), Tensor("u", (8,), offset=0)]), "have to begin at 32"),
    "an offset at the end of all": (gguf({}, [Tensor("t", (8,), offset=2**64 - 32)]), "begin at offset 18,446"),
}


@pytest.mark.parametrize(("written", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_a_lie_is_refused_with_its_name(tmp_path: Path, written: build.Written, why: str) -> None:
    with pytest.raises(UnsupportedModel) as refused:
        read(tmp_path, written.content)
    assert why in str(refused.value)
    assert "; " in str(refused.value), "a refusal says what to do"


def test_a_string_that_claims_all_of_64_bits_is_refused(tmp_path: Path) -> None:
    out = build.Written()
    out.text("x", length=2**64 - 1)
    with pytest.raises(UnsupportedModel, match="cut off or lies"):
        read(tmp_path, gguf({"a.b": Typed(build.STRING, bytes(out.content))}).content)


def test_a_lying_length_inside_a_vocabulary_is_refused(tmp_path: Path) -> None:
    content = bytearray(gguf({"t.tokens": Strings(["abcdefgh"] * 400)}).content)
    at = content.index(b"abcdefgh", len(content) // 2)
    content[at - 8 : at] = struct.pack("<Q", 10**12)
    with pytest.raises(UnsupportedModel, match="400 strings"):
        read(tmp_path, content)


@given(flips=st.lists(st.tuples(st.integers(0, len(WHOLE.content) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_flipped_bytes_leave_a_valid_header_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]]
) -> None:
    content = bytearray(WHOLE.content)
    for at, value in flips:
        content[at] = value
    path = tmp_path_factory.getbasetemp() / "flipped.gguf"
    path.write_bytes(bytes(content))
    try:
        header = read_gguf(path)
    except UnsupportedModel:
        return
    for tensor in header.tensors:
        assert 0 <= tensor.offset <= header.data_offset + tensor.offset + tensor.length_bytes <= len(content)


@given(
    at=st.sampled_from(WHOLE.marks),
    width=st.sampled_from((4, 8)),
    value=st.sampled_from((0, 1, 10**9, 2**31 - 1, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)),
)
def test_oversized_numbers_at_any_boundary_leave_a_valid_header_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, at: int, width: int, value: int
) -> None:
    content = bytearray(WHOLE.content)
    content[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
    path = tmp_path_factory.getbasetemp() / "oversized.gguf"
    path.write_bytes(bytes(content))
    with contextlib.suppress(UnsupportedModel):
        assert read_gguf(path).data_offset <= len(content)


def test_the_table_of_tensor_types_has_a_length_for_every_file_type() -> None:
    families = {"_".join(name.split("_")[:2]) for name in FILE_TYPES.values()}
    names = {kind.name for kind in TENSOR_TYPES.values()}
    unnamed = {family for family in families if family not in names and not family.startswith(("IQ", "MXFP4"))}
    assert unnamed == set()
