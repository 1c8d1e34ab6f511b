"""Schemas that keep llama.cpp busy for minutes are refused, and those that people write are not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_runtime.engines.llamacpp_schema import MAX_PATTERN, check_schemas, pattern_length

DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?Z$"
UUID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
STRING = {"type": "string"}


def asked_for(schema: Any) -> dict[str, Any]:
    return {"messages": [], "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = STRING
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def an_object(properties: int) -> dict[str, Any]:
    return {"type": "object", "properties": {f"p{number}": {"type": "integer"} for number in range(properties)}}


@pytest.mark.parametrize(
    "schema",
    [
        an_object(100),
        nested(20),
        {"enum": [str(number) for number in range(500)]},
        {"type": "string", "pattern": DATE},
        {"type": "string", "pattern": UUID},
        {"type": "string", "maxLength": 10**9},
        {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"anyOf": [STRING] * 300}}},
    ],
)
def test_what_people_write_is_taken(schema: Any) -> None:
    assert check_schemas(asked_for(schema)) is None


TOO_LARGE = [
    (an_object(3000), "an object of 3000 properties"),
    (nested(100), "levels deep"),
    ({"enum": [str(number) for number in range(50_000)]}, "50000 values"),
    ({"type": "string", "pattern": "^((a{0,500}){0,500}){0,500}$"}, "match 125000002 letters"),
    ({"type": "string", "pattern": "^(a{0,100}){0,100}$"}, "match 10002 letters"),
    ({"allOf": [{"anyOf": [STRING] * 50}] * 50}, "values of enums and alternatives"),
    ({"allOf": [{"$ref": "#/$defs/a"}] * 50, "$defs": {"a": {"anyOf": [STRING] * 50}}}, "merges 2500 alternatives"),
    ({"properties": {"a": [an_object(300)] * 100}}, "parts, at most"),
]


@pytest.mark.parametrize(("schema", "why"), TOO_LARGE)
def test_what_would_hold_everybody_up_is_refused(schema: Any, why: str) -> None:
    failure = check_schemas(asked_for(schema))
    assert failure is not None
    assert (failure.status, failure.param) == (400, "response_format")
    assert why in failure.message


def test_the_other_place_where_llama_cpp_looks_for_a_schema_is_bounded_too() -> None:
    assert check_schemas({"response_format": {"type": "json_object", "schema": an_object(3000)}}) is not None


@pytest.mark.parametrize(("schema", "why"), TOO_LARGE)
def test_the_schemas_of_functions_are_bounded_too(schema: Any, why: str) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    failure = check_schemas({"messages": [], "tools": tools})
    assert failure is not None
    assert failure.param == "tools"
    assert why in failure.message


@pytest.mark.parametrize(
    ("pattern", "letters"),
    [("", 0), ("abc", 3), ("a{3}", 3), ("a{2,5}b", 6), (r"\d{4}", 4), ("[a-z{}]{3}", 3), ("(ab){3}", 6), ("a{,}", 1)],
)
def test_letters_of_a_pattern_are_counted_with_their_repetitions(pattern: str, letters: int) -> None:
    assert pattern_length(pattern) == letters


@given(st.text("ab(){}[]\\,0123456789|*+?", max_size=60))
def test_no_pattern_is_too_strange_to_be_counted(pattern: str) -> None:
    assert pattern_length(pattern) >= 0


def test_the_bound_leaves_room_for_a_long_text() -> None:
    assert pattern_length("^a{0,1900}$") < MAX_PATTERN
