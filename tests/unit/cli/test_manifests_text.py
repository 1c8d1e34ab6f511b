"""Whatever text is given, reading it ends in objects or in mistakes with lines; and what YAML allows is understood."""

import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from berth_cli.manifests.problem import InvalidManifests
from berth_cli.manifests.read import read_manifests
from berth_cli.manifests.scalars import NotJson, parse_plain_scalar
from berth_cli.manifests.source import Text
from berth_cli.manifests.tree import Mistake, line_of, parent_path, read_documents

YAML_PIECES = st.sampled_from(
    [
        *("a", "spec", ": ", ":", "\n", "\n  ", "\n    ", "- ", "[", "]", "{", "}", ",", "'", '"', "#", " ", "\t"),
        *("&a ", "*a", "|", ">", "%", "@", "!", "!!str ", "<<", "? ", "---", "...", "~", "1", "0x", "1e9", ".inf"),
        *("\\", "\x00", "\ufeff", "\u2028", "é", "\ud800", "kind: Model\n", "metadata: {name: a}\n", "items:\n"),
        "apiVersion: berth.dev/v1alpha1\n",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(exclude_categories=["Cc", "Cn", "Cs"]))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('abc.-[]" é', max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(YAML_PIECES, max_size=60).map("".join))
def test_pieces_of_yaml_never_end_in_anything_but_mistakes(text: str) -> None:
    assert_read_or_refused(text)


@given(st.text(max_size=200))
def test_any_text_never_ends_in_anything_but_mistakes(text: str) -> None:
    assert_read_or_refused(text)


@given(st.dictionaries(st.sampled_from(["apiVersion", "kind", "metadata", "spec", "items", "status"]), VALUES))
def test_any_document_never_ends_in_anything_but_mistakes(document: dict[str, object]) -> None:
    assert_read_or_refused(json.dumps({"apiVersion": "berth.dev/v1alpha1", "kind": "Model", **document}))


def assert_read_or_refused(text: str) -> None:
    last_line = text.count("\n") + sum(text.count(separator) for separator in "\r\x85\u2028\u2029") + 1
    try:
        read_manifests([Text("f.yaml", text)])
    except InvalidManifests as refused:
        for problem in refused.problems:
            assert 0 <= problem.line <= last_line
            assert problem.message
            assert str(problem)


@given(VALUES.filter(lambda value: value is not None))
def test_json_is_read_as_it_is(value: object) -> None:
    (document,) = read_documents(json.dumps(value, ensure_ascii=False))
    assert document.value == value


def is_read_alike(value: object) -> bool:
    """PyYAML takes `1e9` for a text and writes it without quotes; kubectl, and we, take it for a number."""
    return not isinstance(value, str) or not re.fullmatch(r"[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+", value)


@given(st.dictionaries(st.text("abcxyz -:'#\n", min_size=1), SCALARS.filter(is_read_alike), min_size=1))
def test_a_mapping_that_another_program_wrote_is_read_as_it_is(value: dict[str, object]) -> None:
    (document,) = read_documents(yaml.safe_dump(value))
    assert document.value == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("Off", False),
        ("~", None),
        ("", None),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 15),
        ("0b11", 3),
        ("1_000", 1000),
        ("-12", -12),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("10m", "10m"),
        ("08", "08"),
        ("0x", "0x"),
        ("_1", "_1"),
        ("y", "y"),
    ],
)
def test_a_plain_scalar_means_what_it_means_to_kubectl(text: str, value: object) -> None:
    assert parse_plain_scalar(text) == value
    assert type(parse_plain_scalar(text)) is type(value)


@pytest.mark.parametrize("text", [".inf", "-.INF", ".nan", "9223372036854775808", "1e999", "9" * 5000])
def test_a_number_that_json_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(NotJson):
        parse_plain_scalar(text)


def test_quotes_and_blocks_make_text_of_what_looks_like_a_number() -> None:
    (document,) = read_documents("a: '1'\nb: \"yes\"\nc: !!str 2\nd: |\n  3\ne: ! 4\n")
    assert document.value == {"a": "1", "b": "yes", "c": "2", "d": "3\n", "e": "4"}


def test_anchors_and_merges_are_written_out() -> None:
    text = "base: &base {a: 1, b: 2}\nmore: &more {c: 3}\none:\n  <<: [*base, *more]\n  b: 9\nsame: *base\n"
    (document,) = read_documents(text)
    assert document.value["one"] == {"a": 1, "b": 9, "c": 3}
    assert document.value["same"] == {"a": 1, "b": 2}


def test_each_field_knows_its_line() -> None:
    text = "# comment\na:\n  b:\n  - c: 1\n    d.e/f: 2\n\n  - {g: 3,\n     h: 4}\n---\nx: 1\n"
    first, second = read_documents(text)
    assert first.lines["a.b[0].c"] == 4
    assert first.lines['a.b[0]["d.e/f"]'] == 5
    assert first.lines["a.b[1].h"] == 8
    assert second.lines["x"] == 10
    assert second.line == 10


def test_a_field_that_is_not_written_has_the_line_of_what_would_hold_it() -> None:
    (document,) = read_documents("a:\n  b:\n  - c: 1\n")
    assert line_of(document.lines, "a.b[0].missing.deeper", 1) == 3
    assert line_of(document.lines, "z", 1) == 1


@pytest.mark.parametrize(
    ("path", "parent"),
    [("a.b[0].c", "a.b[0]"), ("a.b[0]", "a.b"), ('a["x.y"]', "a"), ("a", ""), ("[0]", ""), ('["x"]', "")],
)
def test_the_parent_of_a_path(path: str, parent: str) -> None:
    assert parent_path(path) == parent


def test_the_good_documents_before_a_broken_one_are_yielded() -> None:
    documents = read_documents("a: 1\n---\nb: [\n")
    assert next(documents).value == {"a": 1}
    with pytest.raises(Mistake) as caught:
        next(documents)
    assert caught.value.line == 3
