"""A peer that can't be started is told of, and does not keep the others from being measured."""

import pytest
from bench.environments import NotInstalled
from bench.process import NotStarted
from bench.sides import start_sides


def _start(place: str) -> str:
    return f"started in {place}"


def _lack(place: str) -> str:
    raise NotInstalled(f"nothing in {place}")


def test_a_peer_that_lacks_is_a_row_with_its_reason() -> None:
    starts = {"ours": _start, "theirs": _lack, "others": _start}
    sides, (missing,) = start_sides(starts, "a folder", ours="ours", what="tokens")
    assert sides == {"ours": "started in a folder", "others": "started in a folder"}
    assert (missing.name, missing.why) == ("tokens, beside theirs", "nothing in a folder")


def test_without_our_own_side_there_is_no_measurement() -> None:
    def fail(place: str) -> str:
        raise NotStarted("ended with 1")

    with pytest.raises(NotStarted, match="ended with 1"):
        start_sides({"ours": fail}, "a folder", ours="ours", what="tokens")
