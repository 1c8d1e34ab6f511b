"""One loop for the benches of tokens: each number of streams is measured under its label, and has its share of time."""

import itertools

import pytest
from bench import rounds
from bench.load import BadAnswer
from bench.rounds import Effort
from bench.streams import check_tokens, describe_tokens, run_streams


def test_each_side_is_asked_with_the_number_of_streams_under_whose_label_it_stands() -> None:
    sides = {"ours": lambda streams: {"asked": float(streams)}, "peer": lambda streams: {"asked": -float(streams)}}
    assert run_streams(sides, (1, 16), Effort(pairs=2)) == {
        "1 stream": ({"ours": {"asked": 1.0}, "peer": {"asked": -1.0}},) * 2,
        "16 streams": ({"ours": {"asked": 16.0}, "peer": {"asked": -16.0}},) * 2,
    }


def test_the_time_is_shared_by_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=10.0)
    monkeypatch.setattr(rounds.time, "monotonic", lambda: next(clock))
    found = run_streams({"ours": lambda streams: {"asked": float(streams)}}, (1, 4), Effort(limit_seconds=50))
    assert [len(each) for each in found.values()] == [3, 3]


def test_a_run_of_other_tokens_than_were_asked_for_is_none() -> None:
    assert check_tokens([20, 28], 48) == 48
    with pytest.raises(BadAnswer, match=r"47 tokens instead of 48: \[20, 27\]"):
        check_tokens([20, 27], 48)


def test_settings_tell_the_tokens_of_each_stream() -> None:
    assert describe_tokens({1: 256, 4: 192}) == "256 at 1 stream, 192 at 4 streams"
