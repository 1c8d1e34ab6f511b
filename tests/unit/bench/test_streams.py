"""One loop for the benches of tokens: each number of streams is measured under its label, and has its share of time."""

import pytest
from bench import streams
from bench.load import BadAnswer
from bench.rounds import Effort
from bench.streams import check_tokens, describe_tokens, run_streams


def test_each_side_is_asked_with_the_number_of_streams_under_whose_label_it_stands() -> None:
    sides = {"ours": lambda streams: {"asked": float(streams)}, "peer": lambda streams: {"asked": -float(streams)}}
    assert run_streams(sides, (1, 16), Effort(pairs=2)) == {
        "1 stream": ({"ours": {"asked": 1.0}, "peer": {"asked": -1.0}},) * 2,
        "16 streams": ({"ours": {"asked": 16.0}, "peer": {"asked": -16.0}},) * 2,
    }


def test_what_time_one_number_leaves_the_next_ones_have(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, took, given = [0.0], {"1 stream": 10.0, "4 streams": 60.0, "16 streams": 5.0}, []

    def measured(_: object, effort: Effort, *, label: str) -> tuple[()]:
        given.append(effort.limit_seconds)
        clock[0] += took[label]
        return ()

    monkeypatch.setattr(streams.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(streams, "run_rounds", measured)
    run_streams({}, (1, 4, 16), Effort(limit_seconds=90))
    assert given == [30.0, 40.0, 20.0]


def test_a_run_of_other_tokens_than_were_asked_for_is_none() -> None:
    assert check_tokens([20, 28], 48) == 48
    with pytest.raises(BadAnswer, match=r"47 tokens instead of 48: \[20, 27\]"):
        check_tokens([20, 27], 48)


def test_settings_tell_the_tokens_of_each_stream() -> None:
    assert describe_tokens({1: 256, 4: 192}) == "256 at 1 stream, 192 at 4 streams"
