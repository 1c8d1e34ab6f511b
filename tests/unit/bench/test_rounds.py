"""How often each side runs, and when a measurement stops."""

import itertools
from collections.abc import Callable

import pytest
from bench import rounds
from bench.load import BadAnswer
from bench.result import Sample
from bench.rounds import Effort, run_rounds


def _counting() -> Callable[[], Sample]:
    numbers = itertools.count()
    return lambda: {"number": next(numbers)}


def test_the_first_run_of_each_side_is_discarded() -> None:
    found = run_rounds({"a": _counting(), "b": _counting()}, Effort(pairs=3), label="test")
    assert [each["a"]["number"] for each in found] == [1, 2, 3]
    assert [each["b"]["number"] for each in found] == [1, 2, 3]


def test_no_round_starts_after_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=10.0)
    monkeypatch.setattr(rounds.time, "monotonic", lambda: next(clock))
    found = run_rounds({"a": _counting(), "b": _counting()}, Effort(pairs=100, limit_seconds=25), label="test")
    assert len(found) == 3


def test_a_side_that_answers_badly_is_named() -> None:
    def fail() -> Sample:
        raise BadAnswer("503 instead of 200")

    with pytest.raises(BadAnswer, match="b: 503 instead of 200"):
        run_rounds({"a": _counting(), "b": fail}, Effort(pairs=1), label="test")
