"""llama.cpp's chunks, as it really sends them, made into OpenAI's answers."""

import json
from typing import Any

import pytest

from berth_runtime.engines.llamacpp_answers import ChunkReader, translate_error, translate_refusal
from berth_runtime.engines.llamacpp_logprobs import CompletionLogprobs, ask_for_logprobs
from berth_runtime.engines.llamacpp_whole import join_chat, join_text
from berth_runtime.engines.protocol import Usage

ENVELOPE = {"created": 1, "id": "x", "model": "m", "system_fingerprint": "b0"}


def chat_chunk(index: int = 0, *, end: str | None = None, **delta: Any) -> bytes:
    choice = {"finish_reason": end, "index": index, "delta": delta}
    return json.dumps(
        {"choices": [choice], **ENVELOPE, "object": "chat.completion.chunk"}, separators=(",", ":")
    ).encode()


def usage_chunk(prompt: int, generated: int) -> bytes:
    usage = {"completion_tokens": generated, "prompt_tokens": prompt, "total_tokens": prompt + generated}
    body = {"choices": [], **ENVELOPE, "object": "chat.completion.chunk", "usage": usage, "timings": {"cache_n": 0}}
    return json.dumps(body, separators=(",", ":")).encode()


def text_chunk(text: str, index: int = 0, *, usage: tuple[int, int] | None = None, logprobs: Any = None) -> bytes:
    choice = {"text": text, "index": index, "logprobs": logprobs, "finish_reason": "length" if usage else None}
    body: dict[str, Any] = {"choices": [choice], **ENVELOPE, "object": "text_completion"}
    if usage:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
        body["timings"] = {}
    return json.dumps(body, separators=(",", ":")).encode()


def read_all(reader: ChunkReader, chunks: list[bytes]) -> list[bytes]:
    return [event for chunk in chunks if (event := reader.read(chunk)) is not None]


def test_text_goes_through_untouched_also_if_it_speaks_of_usage() -> None:
    reader = ChunkReader()
    chunk = chat_chunk(content='the key "usage":{ in a text')
    assert reader.read(chunk) is chunk


def test_an_adapter_answers_by_its_own_name_and_no_text_is_touched() -> None:
    reader = ChunkReader(rename=("m", "m:sql"))
    event = json.loads(reader.read(chat_chunk(content='{"model":"m"}')) or b"")
    assert event["model"] == "m:sql"
    assert event["choices"][0]["delta"] == {"content": '{"model":"m"}'}


def test_usage_is_taken_out_and_said_once_at_the_end() -> None:
    reader = ChunkReader()
    chunks = [chat_chunk(content="a"), chat_chunk(end="length"), usage_chunk(31, 1)]
    assert read_all(reader, chunks) == chunks[:2]
    assert reader.usage == Usage(31, 1)
    last = json.loads(reader.usage_event())
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 31, "completion_tokens": 1, "total_tokens": 32}
    assert last["object"] == "chat.completion.chunk"


def test_of_several_choices_tokens_are_summed_and_the_prompt_counts_once() -> None:
    reader = ChunkReader(choices=2)
    read_all(reader, [usage_chunk(31, 3), usage_chunk(31, 5)])
    assert reader.usage == Usage(31, 8)


def test_of_several_prompts_all_tokens_are_summed() -> None:
    reader = ChunkReader()
    events = read_all(reader, [b"null", text_chunk("a", usage=(2, 3)), text_chunk("b", 1, usage=(5, 3))])
    assert reader.usage == Usage(7, 6)
    assert all("usage" not in json.loads(event) and "timings" not in json.loads(event) for event in events)


def test_of_a_request_that_was_cut_short_the_events_are_counted() -> None:
    reader = ChunkReader()
    read_all(reader, [chat_chunk(content="a"), chat_chunk(content="b")])
    assert reader.usage == Usage(0, 2)


def test_usage_can_be_said_also_if_the_engine_never_did() -> None:
    reader = ChunkReader()
    assert not reader.has_spoken
    read_all(reader, [chat_chunk(content="a"), chat_chunk(content="b")])
    assert reader.has_spoken
    last = json.loads(reader.usage_event())
    assert (last["id"], last["choices"], last["usage"]["completion_tokens"]) == ("x", [], 2)


def test_an_error_is_no_event() -> None:
    reader = ChunkReader()
    error = b'{"error":{"code":400,"message":"Prompt contains invalid tokens","type":"invalid_request_error"}}'
    assert read_all(reader, [error]) == []
    assert reader.failure is not None
    assert reader.failure.status == 400


def test_log_probabilities_of_completions_become_four_lists() -> None:
    token = {"id": 1, "token": " the", "bytes": [32], "logprob": -1.5, "top_logprobs": [{"token": " a", "logprob": -1}]}
    reader = ChunkReader(writer=CompletionLogprobs())
    events = read_all(reader, [text_chunk(" the", logprobs={"content": [token]})] * 2)
    first, second = (json.loads(event)["choices"][0]["logprobs"] for event in events)
    assert first == {"tokens": [" the"], "token_logprobs": [-1.5], "top_logprobs": [{" a": -1}], "text_offset": [0]}
    assert second["text_offset"] == [4]
    whole = json.loads(join_text(events, Usage(1, 2)))["choices"][0]["logprobs"]
    assert (whole["tokens"], whole["text_offset"]) == ([" the", " the"], [0, 4])


@pytest.mark.parametrize("body", [{"logprobs": True}, {"logprobs": True, "top_logprobs": 0}])
def test_who_wants_no_alternatives_gets_the_chosen_tokens_alone(body: dict[str, Any]) -> None:
    writer = ask_for_logprobs(body, chat=True)
    assert body["top_logprobs"] == 1
    assert writer is not None
    choices: list[dict[str, Any]] = [
        {"logprobs": {"content": [{"token": "a", "logprob": -1, "top_logprobs": [{"token": "a"}]}]}},
        {},
    ]
    writer.rewrite(choices)
    assert choices[0]["logprobs"]["content"] == [{"token": "a", "logprob": -1, "top_logprobs": []}]


@pytest.mark.parametrize("body", [{}, {"logprobs": False}, {"logprobs": True, "top_logprobs": 3}])
def test_the_alternatives_of_a_chat_go_through_as_they_are(body: dict[str, Any]) -> None:
    before = dict(body)
    assert ask_for_logprobs(body, chat=True) is None
    assert body == before


def test_a_plain_chat_is_put_together_choice_by_choice() -> None:
    chunks = [
        chat_chunk(1, role="assistant", content=None),
        chat_chunk(1, content="b"),
        chat_chunk(0, role="assistant", content=None),
        chat_chunk(0, reasoning_content="hm"),
        chat_chunk(0, content="a"),
        chat_chunk(0, content="c"),
        chat_chunk(0, end="stop"),
        chat_chunk(1, end="length"),
    ]
    whole = json.loads(join_chat(chunks, Usage(3, 4)))
    assert [choice["index"] for choice in whole["choices"]] == [0, 1]
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": "ac", "reasoning_content": "hm"}
    assert [choice["finish_reason"] for choice in whole["choices"]] == ["stop", "length"]
    assert whole["object"] == "chat.completion"
    assert whole["usage"]["total_tokens"] == 7


def test_calls_of_tools_are_put_together_from_their_pieces() -> None:
    def piece(**function: str) -> bytes:
        return chat_chunk(tool_calls=[{"index": 0, "function": function}])

    begin = chat_chunk(
        tool_calls=[{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{"}}]
    )
    second = chat_chunk(tool_calls=[{"index": 1, "id": "c2", "function": {"name": "g", "arguments": "{}"}}])
    chunks = [begin, piece(arguments='"a"'), piece(arguments=":1}"), second, chat_chunk(end="tool_calls")]
    message = json.loads(join_chat(chunks, Usage(1, 1)))["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]


def test_a_prompt_that_is_too_long_says_both_numbers() -> None:
    error = {"code": 400, "type": "exceed_context_size_error", "message": "", "n_prompt_tokens": 31, "n_ctx": 10}
    failure = translate_error(error)
    assert (failure.status, failure.code) == (400, "context_length_exceeded")
    assert "10 tokens, and the prompt has 31" in failure.message


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("Field 'temperature': [json.exception.type_error.302] type must be number, but is string", "temperature"),
        ("Unable to generate parser: JSON schema error at #: unrecognized type nonsense", "response_format"),
        ("Failed to parse grammar", "response_format"),
        ("Prompt contains invalid tokens", "prompt"),
        ("While executing {{ schema }}\nError: Jinja Exception: Roles must alternate", "messages"),
    ],
)
def test_the_words_of_a_refusal_give_the_field_away(message: str, param: str | None) -> None:
    assert translate_refusal(message).param == param


@pytest.mark.parametrize(("code", "status"), [(500, 500), (501, 501), (503, 500)])
def test_the_engines_own_faults_are_not_the_clients(code: Any, status: int) -> None:
    assert translate_error({"code": code, "type": "server_error", "message": "m"}).status == status
