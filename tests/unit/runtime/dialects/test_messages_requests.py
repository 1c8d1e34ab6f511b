"""Which chat a Messages request becomes, and what is refused of it, by the client's own words."""

from typing import Any

import pytest

from berth_runtime.dialects.messages import translate_messages
from berth_runtime.engines.protocol import Failure
from berth_runtime.openai.errors import ApiError
from berth_runtime.openai.prompts import read_messages

Json = dict[str, Any]
HELLO = [{"role": "user", "content": "Hello"}]
WEATHER = {"name": "weather", "description": "Of a city", "input_schema": {"type": "object"}}
FUNCTION = {"name": "weather", "description": "Of a city", "parameters": {"type": "object"}}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


def text(words: str) -> Json:
    return {"type": "text", "text": words}


def chat_of(**body: Any) -> Json:
    return translate_messages({"max_tokens": 9, "messages": HELLO, **body}).chat


def messages_of(*given: Json, **body: Any) -> list[Json]:
    messages: list[Json] = chat_of(messages=list(given), **body)["messages"]
    return messages


def refused(**body: Any) -> Failure:
    with pytest.raises(ApiError) as error:
        translate_messages({"max_tokens": 9, "messages": HELLO, **body})
    return error.value.failure


def test_a_text_is_what_the_user_says() -> None:
    assert chat_of() == {"messages": HELLO, "max_tokens": 9}


def test_the_system_speaks_first_in_one_message() -> None:
    blocks = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}, text("Use metres.")]
    first = {"role": "system", "content": "And be kind."}
    assert messages_of(first, *HELLO, system=blocks) == [
        {"role": "system", "content": "Be brief.\n\nUse metres.\n\nAnd be kind."},
        *HELLO,
    ]


def test_a_line_for_accounts_that_is_other_each_time_does_not_spoil_what_was_read_before() -> None:
    blocks = [text("x-anthropic-billing-header: cc=1;"), text("Be brief.")]
    assert messages_of(*HELLO, system=blocks)[0] == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize("system", ["", [], [text("")], [text("x-anthropic-billing-header: cc=1;")], None])
def test_a_system_that_says_nothing_is_none(system: Any) -> None:
    assert messages_of(*HELLO, {"role": "system", "content": system or ""}, system=system) == HELLO


def test_a_system_that_speaks_later_is_told_by_the_user_for_templates_that_know_it_only_first() -> None:
    later = {"role": "system", "content": [text("Skills: none.")]}
    assert messages_of(*HELLO, later) == [{"role": "user", "content": "Hello\nSkills: none."}]


def test_calls_and_results_are_messages_in_the_chats_order() -> None:
    asked = {"role": "user", "content": [text("Weather?"), PICTURE]}
    answered = {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
            text("I look."),
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Ulm"}},
        ],
    }
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [text("sunny")], "is_error": False}
    empty = {"type": "tool_result", "tool_use_id": "toolu_2"}
    told = {"role": "user", "content": [result, empty, text("So?")]}
    call = {"id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Ulm"}'}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert messages_of(asked, answered, told) == [
        {"role": "user", "content": [text("Weather?"), picture]},
        {"role": "assistant", "content": "I look.", "tool_calls": [call]},
        {"role": "tool", "content": "sunny", "tool_call_id": "toolu_1"},
        {"role": "tool", "content": "", "tool_call_id": "toolu_2"},
        {"role": "user", "content": "So?"},
    ]


@pytest.mark.parametrize(
    ("field", "chat"),
    [
        ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"stop_sequences": []}, {}),
        ({"temperature": 1, "top_p": 0.5, "top_k": 4}, {"temperature": 1, "top_p": 0.5, "top_k": 4}),
        ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
        (
            {"tools": [{**WEATHER, "cache_control": {"type": "ephemeral"}}, {**WEATHER, "type": "custom"}]},
            {"tools": [{"type": "function", "function": FUNCTION}] * 2},
        ),
        ({"tool_choice": {"type": "auto"}}, {"tool_choice": "auto"}),
        ({"tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
        ({"tool_choice": {"type": "none"}}, {"tool_choice": "none"}),
        (
            {"tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}},
            {"tool_choice": {"type": "function", "function": {"name": "weather"}}, "parallel_tool_calls": False},
        ),
        ({"thinking": {"type": "disabled"}}, {"chat_template_kwargs": {"enable_thinking": False}}),
        ({"thinking": {"type": "enabled"}}, {"chat_template_kwargs": {"enable_thinking": True}}),
        ({"thinking": {"type": "adaptive"}}, {}),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {"type": "object"}},
                }
            },
        ),
        ({"metadata": {"user_id": "me"}, "cache_control": {}, "mcp_servers": [], "service_tier": "auto"}, {}),
    ],
)
def test_a_field_becomes_the_chats(field: Json, chat: Json) -> None:
    assert chat_of(**field) == {"messages": HELLO, "max_tokens": 9, **chat}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["x"]}, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "system"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": ["text"]}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_use"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}]},
            "messages[0].content[0].source.type",
        ),
        (
            {"messages": [{"role": "user", "content": [{**PICTURE, "source": {"type": "base64", "data": "A"}}]}]},
            "messages[0].content[0].source.media_type",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f"}]}]},
            "messages[0].content[0].input",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}]},
            "messages[0].content[0].tool_use_id",
        ),
        ({"system": 5}, "system"),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"stop_sequences": [""]}, "stop_sequences"),
        ({"stop_sequences": ["a"] * 17}, "stop_sequences"),
        ({"top_k": -1}, "top_k"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "required"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"thinking": {"type": "deep"}}, "thinking.type"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
    ],
)
def test_the_clients_own_field_is_named(body: Json, param: str) -> None:
    failure = refused(**body)
    assert (failure.status, failure.param) == (400, param)
    assert f"'{param}'" in failure.message


@pytest.mark.parametrize(
    ("body", "param", "remedy"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type", "input_schema"),
        ({"container": "c"}, "container", "a client runs its tools itself"),
        ({"mcp_servers": [{"url": "http://x"}]}, "mcp_servers", "asks such servers itself"),
        ({"output_format": {"type": "json_schema"}}, "output_format", "output_config.format"),
    ],
)
def test_what_needs_more_than_a_chat_is_refused_with_what_to_do(body: Json, param: str, remedy: str) -> None:
    failure = refused(**body)
    assert (failure.status, failure.param) == (400, param)
    assert remedy in failure.message


def test_what_has_no_effect_is_told() -> None:
    body = {"speed": "fast", "thinking": {"type": "enabled", "budget_tokens": 1024}, "output_config": {"effort": "low"}}
    ignored = translate_messages({"max_tokens": 9, "messages": HELLO, **body}).ignored
    assert ignored == ("speed", "output_config.effort", "thinking.budget_tokens")


@pytest.mark.parametrize(
    ("failure", "param"),
    [
        (Failure(400, "x", "'stop' is too much.", "stop"), "stop_sequences"),
        (Failure(400, "x", "'chat_template_kwargs' is too much.", "chat_template_kwargs"), "thinking"),
        (Failure(400, "x", "'messages' are too much.", "messages"), "messages"),
    ],
)
def test_what_a_chat_is_refused_for_is_named_as_the_client_did(failure: Failure, param: str) -> None:
    blamed = translate_messages({"max_tokens": 9, "messages": HELLO}).names.blame(failure)
    assert blamed.param == param
    assert f"'{param}'" in blamed.message


def test_a_wrong_picture_is_named_where_the_client_sent_it() -> None:
    url = {"type": "image", "source": {"type": "url", "url": "https://example.test/a.png"}}
    given = [*HELLO, {"role": "user", "content": [text("What?"), url]}]
    translation = translate_messages({"max_tokens": 9, "messages": given, "system": "x"})
    with pytest.raises(ApiError) as error:
        read_messages(translation.chat["messages"], pictures=True)
    blamed = translation.names.blame(error.value.failure)
    assert blamed.param == "messages[1].content[1].source.url"
    assert blamed.message.startswith("'messages[1].content[1].source.url' has to begin with data:image/png")
