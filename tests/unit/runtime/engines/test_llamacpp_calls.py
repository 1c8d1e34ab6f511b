"""Forced calls: what llama.cpp is asked in their place, and its JSON made into OpenAI's deltas."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_runtime.engines.llamacpp_calls import CallReader, CallWriter, FirstCallWriter, plan_calls
from berth_runtime.engines.protocol import Failure

NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
TREE = {"name": "tree", "parameters": {"$defs": {"node": NODE}, "$ref": "#/$defs/node"}}
NOW = {"name": "now"}


def a_body(*functions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [], "tools": [{"type": "function", "function": each} for each in functions], **more}


def forced_schema(body: dict[str, Any]) -> dict[str, Any]:
    assert isinstance(plan_calls(body), CallWriter)
    assert body["tool_choice"] == "none"
    schema: dict[str, Any] = body["response_format"]["json_schema"]["schema"]
    return schema


@pytest.mark.parametrize("choice", [{}, {"tool_choice": "auto"}, {"tool_choice": "none"}])
def test_what_is_left_to_the_model_goes_through_as_it_is(choice: dict[str, Any]) -> None:
    body = a_body(WEATHER, **choice)
    assert plan_calls(body) is None
    assert body == a_body(WEATHER, **choice)


def test_a_required_call_is_the_name_and_the_arguments_of_one_of_the_functions() -> None:
    schema = forced_schema(a_body(WEATHER, NOW, tool_choice="required", parallel_tool_calls=True))
    weather, now = schema["anyOf"]
    assert weather["properties"] == {"name": {"const": "weather"}, "arguments": WEATHER["parameters"]}
    assert weather["required"] == ["name", "arguments"]
    assert now["properties"]["arguments"] == {"type": "object", "properties": {}, "additionalProperties": False}


def test_a_named_call_is_of_that_function_alone() -> None:
    choice = {"type": "function", "function": {"name": "now"}}
    assert forced_schema(a_body(WEATHER, NOW, tool_choice=choice))["properties"]["name"] == {"const": "now"}


def test_references_of_a_function_are_found_where_its_schema_stands_now() -> None:
    alone = forced_schema(a_body(TREE, tool_choice="required"))
    arguments = alone["properties"]["arguments"]
    assert arguments["$ref"] == "#/properties/arguments/$defs/node"
    second = forced_schema(a_body(WEATHER, TREE, tool_choice="required"))["anyOf"][1]["properties"]["arguments"]
    node = second["$defs"]["node"]
    assert node["properties"]["next"]["$ref"] == "#/anyOf/1/properties/arguments/$defs/node"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": [], "tool_choice": "required"}, "tool_choice"),
        (a_body(WEATHER, tool_choice={"type": "function", "function": {"name": "wether"}}), "tool_choice"),
        (a_body(WEATHER, logprobs=True), "logprobs"),
        (a_body(WEATHER, response_format={"type": "json_object"}), "response_format"),
    ],
)
def test_what_can_not_be_honoured_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    refused = plan_calls(body)
    assert isinstance(refused, Failure)
    assert (refused.status, refused.param) == (400, param)


def test_a_format_beside_tools_that_are_not_to_be_called_is_kept() -> None:
    body = a_body(WEATHER, tool_choice="none", response_format={"type": "json_object"})
    assert plan_calls(body) is None
    assert body["response_format"] == {"type": "json_object"}


def a_choice(end: str | None = None, index: int = 0, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": end}


def test_deltas_are_openais() -> None:
    writer, events = CallWriter(), []
    pieces = ['{"na', 'me": "weather", "arg', 'uments": {"city": "Ro', "me", '"}', "}"]
    for choices in (
        [a_choice(role="assistant", content=None)],
        *([a_choice(content=piece)] for piece in pieces),
        [a_choice(end="stop")],
    ):
        writer.rewrite(choices)
        events += choices
    first, call, *more, last = events
    assert first["delta"] == {"role": "assistant", "content": None}
    part = call["delta"]["tool_calls"][0]
    assert part["id"].startswith("call_")
    assert part["function"] == {"name": "weather", "arguments": '{"city": "Ro'}
    texts = [event["delta"]["tool_calls"][0] for event in more]
    assert texts == [{"index": 0, "function": {"arguments": text}} for text in ("me", '"}')]
    assert (last["delta"], last["finish_reason"]) == ({}, "tool_calls")


def test_who_wants_one_call_at_a_time_gets_the_first() -> None:
    writer = plan_calls(a_body(WEATHER, parallel_tool_calls=False))
    assert isinstance(writer, FirstCallWriter)
    first, second = ({"index": index, "function": {"arguments": "{"}} for index in (0, 1))
    events = [[a_choice(role="assistant")], [a_choice(tool_calls=[first, second])], [a_choice(tool_calls=[second])]]
    for choices in (*events, ends := [a_choice(end="tool_calls")]):
        writer.rewrite(choices)
    assert events == [[a_choice(role="assistant")], [a_choice(tool_calls=[first])], []]
    assert ends == [a_choice(end="tool_calls")]
    assert plan_calls(a_body(WEATHER, parallel_tool_calls=True)) is None


def test_each_choice_has_a_call_of_its_own() -> None:
    writer = CallWriter()
    for index, city in enumerate(("Rome", "Oslo")):
        choices = [a_choice(index=index, content=json.dumps({"name": "weather", "arguments": {"city": city}}))]
        writer.rewrite(choices)
        assert json.loads(choices[0]["delta"]["tool_calls"][0]["function"]["arguments"]) == {"city": city}


def test_a_call_that_was_cut_short_ends_as_the_engine_says() -> None:
    writer = CallWriter()
    writer.rewrite([a_choice(content='{"name": "weather", "arguments": {"ci')])
    end = [a_choice(end="length")]
    writer.rewrite(end)
    assert end[0]["finish_reason"] == "length"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.text(min_size=1), st.dictionaries(st.text(), JSON, max_size=3), st.data())
def test_any_call_is_read_whole_however_it_is_cut(name: str, arguments: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps({"name": name, "arguments": arguments}, indent=data.draw(st.sampled_from([None, 1])))
    reader, parts = CallReader(), []
    while text:
        length = data.draw(st.integers(1, len(text)))
        parts.append(reader.read(text[:length]))
        text = text[length:]
    spoken = [part["function"] for part in parts if part is not None]
    assert spoken[0]["name"] == name
    assert json.loads("".join(part["arguments"] for part in spoken)) == arguments
    assert reader.whole
