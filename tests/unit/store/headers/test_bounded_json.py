"""Small JSON files are read within bounds of size, depth and number of values."""

from pathlib import Path

import pytest

from berth_api.errors import UnsupportedModel
from berth_store.headers.bounded_json import read_json


def read(tmp_path: Path, content: str | bytes) -> object:
    path = tmp_path / "config.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_json(path)


def test_a_value_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, '{"a": [1, 2.5, null, "b[{\\"}]"]}') == {"a": [1, 2.5, None, 'b[{"}]']}


def test_infinity_is_read_for_there_are_such_files(tmp_path: Path) -> None:
    assert read(tmp_path, '{"time_step_limit": [0.0, Infinity]}') == {"time_step_limit": [0.0, float("inf")]}


REFUSED = {
    "nothing": ("", "no JSON"),
    "half a file": ('{"a": [1,', "no JSON"),
    "a key twice": ('{"a": 1, "b": {"c": 1, "c": 2}}', "'c' stands in it twice"),
    "deep": ("[" * 65 + "]" * 65, "more than 64 levels deep"),
    "very deep": ("[" * 1_000_000, "more than 64 levels deep"),
    "many values": ("[" + "0," * ((1 << 20) + 1) + "0]", "more than 1,048,576 values"),
    "not UTF-8": (b'{"a": "\xff"}', "no JSON"),
    "a number of many digits": ("1" * 100_000, "no JSON"),
    "a string without end": ('"' + '\\"' * 1_000_000, "no JSON"),
    "too large": (b" " * ((16 << 20) + 1), "more than 16,777,216 bytes"),
}


@pytest.mark.parametrize(("content", "why"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.timeout(20)
def test_what_is_out_of_bounds_is_refused(tmp_path: Path, content: str | bytes, why: str) -> None:
    with pytest.raises(UnsupportedModel, match=r"^config\.json") as refused:
        read(tmp_path, content)
    assert why in str(refused.value)


def test_brackets_inside_texts_do_not_count(tmp_path: Path) -> None:
    assert read(tmp_path, '{"a": "' + "[" * 1000 + '\\\\"}') == {"a": "[" * 1000 + "\\"}
