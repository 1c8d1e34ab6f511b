"""What a request is about: messages, prompts, inputs."""

from typing import Any

import pytest
from pictures import data_url, picture_part, png

from berth_runtime.openai.errors import ApiError
from berth_runtime.openai.generate import read_generate, render_generate_event
from berth_runtime.openai.prompts import read_inputs, read_messages, read_prompt


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "hi"},
        {"role": "system", "content": ""},
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "tool", "content": "5", "tool_call_id": "x"},
    ],
)
def test_messages_that_can_be(message: dict[str, Any]) -> None:
    assert read_messages([message]) == [message]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "x"}]},
        {"role": "assistant", "tool_calls": [{"id": "x"}]},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
        {"role": "assistant"},
        {"role": "user", "content": []},
    ],
)
def test_a_message_without_words_is_an_empty_text(message: dict[str, Any]) -> None:
    assert read_messages([message]) == [{**message, "content": ""}]


def test_a_refusal_is_text() -> None:
    message = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    assert read_messages([message])[0]["content"] == [{"type": "text", "text": "No."}]


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (None, "messages"),
        ("hi", "messages"),
        ([], "messages"),
        (["hi"], "messages[0]"),
        ([{"content": "hi"}], "messages[0].role"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user", "content": None}], "messages[0].content"),
        ([{"role": "tool"}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "refusal"}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": ["x"]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
        ([{"role": "user", "content": "x"}] * 5000, "messages"),
    ],
)
def test_messages_that_can_not_be(messages: Any, param: str) -> None:
    with pytest.raises(ApiError) as refused:
        read_messages(messages)
    assert refused.value.failure.param == param


def test_a_picture_is_refused_before_any_engine_could_fetch_it() -> None:
    part = {"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}
    with pytest.raises(ApiError) as refused:
        read_messages([{"role": "user", "content": [part]}])
    assert refused.value.failure.code == "unsupported_content"
    assert refused.value.failure.param == "messages[0].content[0].type"


def test_a_model_that_reads_pictures_is_given_the_url_alone() -> None:
    part = {"type": "image_url", "image_url": {"url": data_url(png(2, 2)), "detail": "high"}, "more": 1}
    (message,) = read_messages([{"role": "user", "content": [part]}], pictures=True)
    assert message["content"] == [{"type": "image_url", "image_url": {"url": data_url(png(2, 2))}}]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://169.254.169.254/", "unsupported_content"),
        ("HTTPS://a/b.png", "unsupported_content"),
        ("file:///etc/passwd", "unsupported_content"),
        ("data:video/mp4;base64,AAAA", "unsupported_content"),
        ("data:image/svg+xml;base64,AAAA", "unsupported_content"),
        ("AAAA", "unsupported_content"),
        ("", "invalid_value"),
        (None, "invalid_value"),
        ("data:image/png;base64," + "A" * (28 << 20), "invalid_value"),
    ],
)
def test_only_a_picture_itself_is_taken(url: Any, code: str) -> None:
    for part in ({"type": "image_url", "image_url": {"url": url}}, {"type": "image_url", "image_url": url}):
        with pytest.raises(ApiError) as refused:
            read_messages([{"role": "user", "content": [part]}], pictures=True)
        failure = refused.value.failure
        assert (failure.code, failure.param) == (code, "messages[0].content[0].image_url.url")


def test_one_request_shows_a_bounded_number_of_pictures() -> None:
    messages = [{"role": "user", "content": [picture_part(png(2, 2))] * 6}] * 3
    with pytest.raises(ApiError) as refused:
        read_messages(messages, pictures=True)
    assert "18 pictures, at most 16" in refused.value.failure.message


@pytest.mark.parametrize(
    ("prompt", "count"), [("a", 1), (["a", "b"], 2), ([1, 2], 1), ([[1], [2]], 2), (["a", [1]], 2)]
)
def test_prompts_that_can_be(prompt: Any, count: int) -> None:
    assert read_prompt(prompt) == (prompt, count)


@pytest.mark.parametrize("prompt", [None, "", [], [""], [[]], {}, 5, [1, "a"], [-1], [True], ["a"] * 200])
def test_prompts_that_can_not_be(prompt: Any) -> None:
    with pytest.raises(ApiError) as refused:
        read_prompt(prompt)
    assert refused.value.failure.param == "prompt"


def test_inputs_become_one_kind_of_tuple() -> None:
    assert read_inputs("a") == ("a",)
    assert read_inputs(["a", "b"]) == ("a", "b")
    assert read_inputs([1, 2]) == ((1, 2),)
    assert read_inputs([[1], [2, 3]]) == ((1,), (2, 3))


@pytest.mark.parametrize(
    ("inputs", "param"),
    [
        (["a"] * 2049, "input"),
        (["a", 1], "input[1]"),
        ([[1], "a"], "input[1]"),
        ([[1], [-1]], "input[1]"),
        ([{"text": "a"}], "input[0]"),
        ([[1], [2**31]], "input[1]"),
    ],
)
def test_inputs_that_can_not_be(inputs: Any, param: str) -> None:
    with pytest.raises(ApiError) as refused:
        read_inputs(inputs)
    assert refused.value.failure.param == param


def test_generate_takes_the_names_of_others_and_nested_parameters() -> None:
    body = {"inputs": "x", "parameters": {"max_new_tokens": 5, "temperature": 0}, "stream": True}
    assert read_generate(body) == {
        "prompt": "x",
        "max_tokens": 5,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize("body", [{}, {"prompt": ["a"]}, {"prompt": "a", "n": 2}, {"prompt": "a", "parameters": 5}])
def test_generate_refuses_what_it_does_not_do(body: dict[str, Any]) -> None:
    with pytest.raises(ApiError):
        read_generate(body)


def test_the_events_of_generate() -> None:
    text = b'{"model":"m","choices":[{"text":" a","finish_reason":null}]}'
    last = b'{"model":"m","choices":[{"text":"","finish_reason":"stop"}]}'
    usage = b'{"choices":[],"usage":{"total_tokens":2}}'
    assert render_generate_event(text) == b'{"text":" a"}'
    assert render_generate_event(last) == b'{"text":"","finish_reason":"stop"}'
    assert render_generate_event(usage) == b'{"text":"","usage":{"total_tokens":2}}'
