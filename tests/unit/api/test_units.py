"""Durations and quantities."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_api.duration import Duration, parse_duration
from berth_api.quantity import Quantity, parse_quantity


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("90s", 90), ("5m", 300), ("1h2m3s", 3723), ("2h", 7200), ("99999h", 359_996_400)],
)
def test_a_duration_is_a_number_of_seconds(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds
    assert Duration(text).seconds == seconds


@pytest.mark.parametrize("text", ["", "s", "1", "1 s", "1s ", "1.5h", "-1s", "1s2m", "1d", "1m1m", "\u0661s", "1s\n"])
def test_any_other_text_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


@given(seconds=st.integers(0, 10**8))
def test_a_duration_written_out_is_read_as_the_same(seconds: int) -> None:
    assert Duration.of_seconds(seconds).seconds == seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2), ("0.5", Decimal("0.5")),
        ("500m", Decimal("0.5")), ("100u", Decimal("0.0001")), ("5n", Decimal("5e-9")),
        ("1k", 1000), ("4Ki", 4096), ("4Gi", 4 * 2**30), ("1.5G", 1_500_000_000), ("1Ti", 2**40), ("2Pi", 2**51),
        ("1Ei", 2**60), ("3E", 3 * 10**18), ("1e3", 1000), ("1E3", 1000), ("5e-1", Decimal("0.5")),
    ],
)  # fmt: skip
def test_a_quantity_has_the_value_that_kubernetes_gives_it(text: str, value: int | Decimal) -> None:
    assert parse_quantity(text) == value


def test_bytes_and_thousandths_are_rounded_up() -> None:
    assert Quantity("1.5").bytes == 2
    assert Quantity("4Gi").bytes == 2**32
    assert Quantity("100u").millis == 1
    assert Quantity("500m").millis == 500


@pytest.mark.parametrize(
    "text", ["", "Gi", "-1", "+1", "4GB", "4 Gi", "1.", ".5", "1e", "0x10", "4gi", "1Ki\n", "\u0664"]
)
def test_any_other_text_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        parse_quantity(text)
