"""Statistics of pairs, against answers that are known by hand or from tables."""

import math
import random

import pytest
from bench.pairs import median, median_interval, ratios, turn_order


def test_two_sides_take_turns_in_going_first() -> None:
    assert [turn_order(("a", "b"), number) for number in range(4)] == [("a", "b"), ("b", "a"), ("b", "a"), ("a", "b")]


def test_of_three_sides_each_goes_first_within_six_rounds() -> None:
    assert {turn_order(("a", "b", "c"), number)[0] for number in range(6)} == {"a", "b", "c"}


@pytest.mark.parametrize("sides", [("a", "b"), ("a", "b", "c"), ("a", "b", "c", "d")])
def test_every_side_runs_once_in_every_round(sides: tuple[str, ...]) -> None:
    assert all(sorted(turn_order(sides, number)) == sorted(sides) for number in range(20))


def test_a_ratio_is_ours_by_the_peers_of_the_same_pair() -> None:
    assert ratios([(1.0, 2.0), (9.0, 3.0)]) == (0.5, 3.0)


def test_the_interval_of_ten_values_is_the_second_to_the_ninth() -> None:
    # The textbook case: 1 - 2·(1 + 10)/1024 = 0.978515625.
    interval = median_interval([10, 9, 8, 7, 6, 5, 4, 3, 2, 1])
    assert interval is not None
    assert (interval.low, interval.high, interval.confidence) == (2, 9, 1 - 22 / 1024)


def test_the_interval_of_twelve_values_is_the_third_to_the_tenth() -> None:
    interval = median_interval(list(range(1, 13)))
    assert interval is not None
    assert (interval.low, interval.high) == (3, 10)
    assert interval.confidence == pytest.approx(1 - 2 * (1 + 12 + 66) / 4096)


def test_six_values_are_the_fewest_that_give_95_percent() -> None:
    assert median_interval([1, 2, 3, 4, 5]) is None
    interval = median_interval([1, 2, 3, 4, 5, 6])
    assert interval is not None
    assert (interval.low, interval.high, interval.confidence) == (1, 6, 1 - 2 / 64)


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    chance = random.Random(11)
    trials, held = 2000, 0
    for _ in range(trials):
        interval = median_interval([chance.expovariate(1.0) for _ in range(12)])
        assert interval is not None
        held += interval.low <= math.log(2) <= interval.high
    assert held / trials >= 0.95


def test_one_outlier_moves_neither_median_nor_interval_far() -> None:
    calm = [1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 1.01, 0.99, 1.0, 1.0]
    interval = median_interval([*calm[:-1], 40.0])
    assert interval is not None
    assert interval.high <= 1.02
    assert median([*calm[:-1], 40.0]) == pytest.approx(1.0, abs=0.01)


def test_no_value_has_no_median() -> None:
    with pytest.raises(ValueError, match="no pair was measured"):
        median([])
