import random
from pathlib import Path

import pytest

from berth_store.digest import digest_of
from berth_store.partial import Partial
from berth_store.ranges import Range

CONTENT = random.Random(7).randbytes(100_000)
STRETCH = 10_000
PLACES = range(0, len(CONTENT), STRETCH)


def opened(folder: Path, size: int = len(CONTENT)) -> Partial:
    partial = Partial(folder / "blob.partial", size)
    while not partial.adopt(STRETCH):
        pass
    return partial


def put(partial: Partial, start: int) -> None:
    stretch = CONTENT[start : start + STRETCH]
    partial.write(start, [stretch[:17], b"", stretch[17:]])


def hashed(partial: Partial) -> Partial:
    while partial.hash_some(33_333):
        pass
    return partial


@pytest.mark.parametrize("seed", range(5))
def test_stretches_in_any_order_give_the_digest_of_the_whole(tmp_path: Path, seed: int) -> None:
    partial = opened(tmp_path)
    places = list(PLACES)
    random.Random(seed).shuffle(places)
    for start in places:
        assert not partial.is_whole
        put(partial, start)
        hashed(partial)
    assert partial.is_whole
    assert partial.digest == digest_of(CONTENT)
    partial.keep(tmp_path / "blob")
    partial.close()
    assert (tmp_path / "blob").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["blob"]


def test_what_an_earlier_process_wrote_is_kept(tmp_path: Path) -> None:
    for start in (0, 10_000, 50_000):
        partial = opened(tmp_path)
        put(partial, start)
        partial.close()
    partial = opened(tmp_path)
    assert partial.done.missing(len(CONTENT)) == (Range(20_000, 50_000), Range(60_000, 100_000))
    for start in (20_000, 30_000, 40_000, 60_000, 70_000, 80_000, 90_000):
        put(partial, start)
    assert hashed(partial).digest == digest_of(CONTENT)
    partial.close()


@pytest.mark.parametrize("damaged", [0, 12_345, 55_555])
def test_a_stretch_that_is_not_what_the_journal_says_is_fetched_again(tmp_path: Path, damaged: int) -> None:
    partial = opened(tmp_path)
    for start in (0, 10_000, 20_000, 50_000):
        put(partial, start)
    partial.close()
    with (tmp_path / "blob.partial").open("r+b") as file:
        file.seek(damaged)
        file.write(bytes([CONTENT[damaged] ^ 1]))
    partial = opened(tmp_path)
    start = damaged // STRETCH * STRETCH
    assert Range(start, start + STRETCH) in [
        Range(gap, gap + STRETCH)
        for span in partial.done.missing(100_000)
        for gap in range(span.start, span.stop, STRETCH)
    ]
    for span in partial.done.missing(len(CONTENT)):
        for place in range(span.start, span.stop, STRETCH):
            put(partial, place)
    assert hashed(partial).digest == digest_of(CONTENT)
    partial.close()


def test_what_may_be_hashed_already_is_never_written_over(tmp_path: Path) -> None:
    partial = opened(tmp_path)
    put(partial, 0)
    with pytest.raises(ValueError, match="written twice"):
        partial.write(STRETCH - 1, [b"xx"])
    partial.close()


def test_a_journal_that_lived_longer_than_its_file_is_not_believed(tmp_path: Path) -> None:
    partial = opened(tmp_path)
    put(partial, 0)
    partial.close()
    (tmp_path / "blob.partial").unlink()
    partial = opened(tmp_path)
    assert partial.done.total == 0
    partial.close()


def test_discarding_leaves_nothing(tmp_path: Path) -> None:
    partial = opened(tmp_path)
    put(partial, 0)
    partial.discard()
    partial.close()
    assert list(tmp_path.iterdir()) == []
