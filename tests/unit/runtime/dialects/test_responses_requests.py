"""Which chat a Responses request becomes, and what is refused of it, by the client's own words."""

from typing import Any

import pytest

from berth_runtime.dialects.responses import translate_responses
from berth_runtime.engines.protocol import Failure
from berth_runtime.openai.errors import ApiError
from berth_runtime.openai.prompts import read_messages

Json = dict[str, Any]
PIXEL = "data:image/png;base64,AAAA"
WEATHER = {"type": "function", "name": "weather", "description": "Of a city", "parameters": {"type": "object"}}


def chat_of(**body: Any) -> Json:
    return translate_responses({"input": "Hello", **body}).chat


def messages_of(given: Any) -> list[Json]:
    messages: list[Json] = chat_of(input=given)["messages"]
    return messages


def refused(**body: Any) -> Failure:
    with pytest.raises(ApiError) as error:
        translate_responses({"input": "Hello", **body})
    return error.value.failure


def test_a_text_is_what_the_user_says() -> None:
    assert chat_of() == {"messages": [{"role": "user", "content": "Hello"}]}


def test_instructions_and_what_developers_say_first_are_one_message_of_the_system() -> None:
    items = [{"role": "developer", "content": "Use metres."}, {"role": "user", "content": "How far?"}]
    assert chat_of(instructions="Be brief.", input=items)["messages"] == [
        {"role": "system", "content": "Be brief.\n\nUse metres."},
        {"role": "user", "content": "How far?"},
    ]


def test_words_of_one_role_in_a_row_are_one_message() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    items = [{"type": "message", "role": "user", "content": parts}, {"role": "user", "content": "c"}]
    assert messages_of(items) == [{"role": "user", "content": "a\nb\nc"}]


def test_a_picture_stays_among_the_words() -> None:
    parts = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": PIXEL}]
    (message,) = messages_of([{"role": "user", "content": parts}])
    assert message["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]


def test_calls_belong_to_what_the_assistant_said_and_results_follow() -> None:
    items = [
        {"role": "user", "content": "Weather?"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
        },
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Ulm"}'},
        {"type": "function_call", "call_id": "call_2", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
        {"type": "function_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "rain"}]},
    ]
    assert messages_of(items)[1:] == [
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Ulm"}'}},
                {"id": "call_2", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "content": "sunny", "tool_call_id": "call_1"},
        {"role": "tool", "content": "rain", "tool_call_id": "call_2"},
    ]


@pytest.mark.parametrize(
    ("field", "chat"),
    [
        ({"max_output_tokens": 5}, {"max_tokens": 5}),
        ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
        ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
        ({"stream": False}, {}),
        (
            {"tools": [{**WEATHER, "strict": True}]},
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {"name": "weather", "description": "Of a city", "parameters": {"type": "object"}},
                    }
                ]
            },
        ),
        ({"tools": []}, {}),
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        (
            {"tool_choice": {"type": "function", "name": "weather"}},
            {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
        ),
        ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
        ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        (
            {"text": {"format": {"type": "json_schema", "name": "city", "strict": True, "schema": {"type": "object"}}}},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": {"type": "object"}}}},
        ),
        ({"reasoning": {"effort": "none"}}, {"chat_template_kwargs": {"enable_thinking": False}}),
        ({"reasoning": {"effort": None}}, {}),
        ({"reasoning": {"effort": "high"}}, {}),
        ({"store": True, "background": False, "truncation": "disabled", "include": [], "user": "me"}, {}),
        ({"metadata": {"a": "b"}, "max_tool_calls": 3, "service_tier": "auto", "prompt_cache_key": "k"}, {}),
        ({"include": ["reasoning.encrypted_content"], "previous_response_id": None}, {}),
    ],
)
def test_a_field_becomes_the_chats(field: Json, chat: Json) -> None:
    assert chat_of(**field) == {"messages": [{"role": "user", "content": "Hello"}], **chat}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": ["Hello"]}, "input[0]"),
        ({"input": [{"role": "king", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": ["x"]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0].type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]},
            "input[0].content[0].file_id",
        ),
        ({"input": [{"role": "assistant", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type"),
        ({"input": [{"type": "web_search_call", "id": "ws_1"}]}, "input[0].type"),
        ({"input": [{"type": ["message"]}]}, "input[0].type"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call", "call_id": "1", "name": "f", "arguments": {}}]}, "input[0].arguments"),
        ({"input": [{"type": "function_call_output", "call_id": "1"}]}, "input[0].output"),
        ({"instructions": ["x"]}, "instructions"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [WEATHER, {**WEATHER, "parameters": "x"}]}, "tools[1].parameters"),
        ({"tools": ["x"]}, "tools[0]"),
        ({"tool_choice": "always"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"text": "x"}, "text"),
    ],
)
def test_the_clients_own_field_is_named(body: Json, param: str) -> None:
    failure = refused(**body)
    assert (failure.status, failure.param) == (400, param)
    assert f"'{param}'" in failure.message


@pytest.mark.parametrize(
    ("body", "param", "remedy"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "send the whole conversation"),
        ({"conversation": "conv_1"}, "conversation", "send the whole conversation"),
        ({"background": True}, "background", "wait for the answer"),
        ({"truncation": "auto"}, "truncation", "shorten"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "send the prompt itself"),
        ({"top_logprobs": 2}, "top_logprobs", "/v1/chat/completions"),
        ({"include": ["file_search_call.results"]}, "include[0]", "Leave it out"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "which the client runs itself"),
        ({"tools": [WEATHER, {"type": "mcp", "server_url": "http://x"}]}, "tools[1].type", "the client runs itself"),
        ({"tool_choice": {"type": "allowed_tools", "tools": []}}, "tool_choice.type", "Leave out the tools"),
    ],
)
def test_what_needs_more_than_a_chat_is_refused_with_what_to_do(body: Json, param: str, remedy: str) -> None:
    failure = refused(**body)
    assert failure.status == 400
    assert failure.param == param
    assert failure.code in ("unsupported_parameter", "unsupported_content")
    assert remedy in failure.message


def test_what_has_no_effect_is_told() -> None:
    body = {"input": "x", "seed": 5, "reasoning": {"effort": "high", "summary": "auto"}}
    assert translate_responses(body).ignored == ("seed", "reasoning.effort", "reasoning.summary")


@pytest.mark.parametrize(
    ("failure", "param", "words"),
    [
        (Failure(400, "x", "'max_tokens' is not supported.", "max_tokens"), "max_output_tokens", "'max_output_tokens'"),
        (
            Failure(400, "x", "'response_format' can't be given together with 'tools'.", "response_format"),
            "text.format",
            "'text.format' can't be given together with 'tools'",
        ),
        (Failure(400, "x", "Refused: roles", "messages"), "input", "Refused: roles"),
        (Failure(500, "x", "It failed."), None, "It failed."),
    ],
)
def test_what_a_chat_is_refused_for_is_named_as_the_client_did(failure: Failure, param: str | None, words: str) -> None:
    blamed = translate_responses({"input": "x"}).names.blame(failure)
    assert blamed.param == param
    assert words in blamed.message


@pytest.mark.parametrize("pictures", [True, False])
def test_a_wrong_picture_is_named_where_the_client_sent_it(pictures: bool) -> None:
    picture = {"type": "input_image", "image_url": "https://example.test/a.png"}
    items = [
        {"role": "developer", "content": "a"},
        {"role": "developer", "content": "b"},
        {"role": "user", "content": "c"},
        {"role": "user", "content": [{"type": "input_text", "text": "d"}, picture]},
    ]
    translation = translate_responses({"input": items})
    with pytest.raises(ApiError) as error:
        read_messages(translation.chat["messages"], pictures=pictures)
    blamed = translation.names.blame(error.value.failure)
    assert blamed.param == f"input[3].content[1].{'image_url' if pictures else 'type'}"
    assert blamed.message.startswith(f"'{blamed.param}'")
