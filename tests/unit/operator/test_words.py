"""How figures stand in messages, and what becomes of JSON that strangers wrote."""

import pytest

from berth_operator.bounded_json import read_json_object
from berth_operator.words import counted


@pytest.mark.parametrize(("number", "words"), [(0, "0 replicas"), (1, "1 replica"), (2, "2 replicas")])
def test_one_thing_is_singular(number: int, words: str) -> None:
    assert counted(number, "replica") == words


@pytest.mark.parametrize(
    "text", ["", "7", "[]", "{", "[" * 5000, '{"a": "' + "x" * 40_000 + '"}', "\ud800", '{"a": "\\ud800"}']
)
def test_what_is_no_small_object_is_empty(text: str) -> None:
    assert read_json_object(text) == {}


def test_an_object_is_read() -> None:
    assert read_json_object('{"a": 1}') == {"a": 1}
