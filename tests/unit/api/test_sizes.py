"""How sizes stand in messages."""

import pytest

from berth_api.sizes import size_words


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0.0 KiB"), (1536, "1.5 KiB"), (500 << 20, "500.0 MiB"), (5_027_783_488, "4.7 GiB"), (1 << 55, "32768.0 TiB")],
)
def test_a_size_is_told_in_the_largest_unit_that_leaves_a_digit(size: int, words: str) -> None:
    assert size_words(size) == words
