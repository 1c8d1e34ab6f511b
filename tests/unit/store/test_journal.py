import zlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from berth_store.journal import Journal, Record, decode, encode_header, encode_record, read_journal
from berth_store.ranges import Range

SIZE = 1000
RECORDS = [Record(Range(start, start + 10), zlib.crc32(bytes([start]))) for start in (0, 10, 40, 90)]
WHOLE = encode_header(SIZE) + b"".join(map(encode_record, RECORDS))


def test_a_journal_says_again_what_was_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", SIZE, tuple(RECORDS[:1]))
    for record in RECORDS[1:]:
        journal.append(record)
    journal.close()
    assert read_journal(tmp_path / "j", SIZE) == tuple(RECORDS)


@given(st.integers(0, len(WHOLE)))
def test_a_journal_cut_at_any_byte_says_a_beginning_of_it(cut: int) -> None:
    kept = decode(WHOLE[:cut], SIZE)
    assert kept == tuple(RECORDS[: len(kept)])
    assert len(kept) >= WHOLE[:cut].count(b"\n") - 1


@given(st.integers(0, len(WHOLE)))
def test_records_after_a_torn_one_count_again(cut: int) -> None:
    late = Record(Range(500, 510), 7)
    kept = decode(WHOLE[:cut] + b"\n" + encode_record(late), SIZE)
    assert late in kept or cut < len(encode_header(SIZE)) - 1
    assert set(kept) <= {*RECORDS, late}


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_flipped_byte_costs_a_record_and_never_makes_one_up(position: int, flip: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[position] ^= flip
    assert set(decode(bytes(damaged), SIZE)) <= set(RECORDS)


def test_a_journal_for_another_size_is_worth_nothing() -> None:
    assert decode(WHOLE, SIZE + 1) == ()


def test_records_beyond_the_blob_and_overlaps_are_passed_over() -> None:
    bad = [Record(Range(995, 1005), 1), Record(Range(5, 15), 2), Record(Range(0, 10), 3)]
    assert decode(encode_header(SIZE) + b"".join(map(encode_record, bad)), SIZE) == (Record(Range(0, 10), 3),)


@given(st.binary(max_size=300))
def test_rubbish_is_no_journal(rubbish: bytes) -> None:
    assert decode(encode_header(SIZE) + rubbish, SIZE) == ()


def test_no_journal_means_nothing_is_known(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "none", SIZE) == ()
