"""Answers as each API has them: its own client knows every event, and a stream says what a whole answer does.

`openai` and `anthropic` have the types of all events; where a client puts a stream together again, it is asked to.
"""

import json
from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from chat_answers import USAGE, call_part, chunk, kinds, read_events, usage_chunk, whole
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from berth_runtime.dialects.messages_answer import MessagesForm
from berth_runtime.dialects.responses import translate_responses
from berth_runtime.engines.protocol import Failure
from berth_runtime.openai.form import AnswerForm

Json = dict[str, Any]
RESPONSE_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
MESSAGE_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
LOST = Failure(502, "engine_died", "The engine ended.")

# Of each answer: what an engine says of it, piece by piece, and the same as a whole.
WORDS = ([chunk(role="assistant", content=None), chunk(content="Hel"), chunk(content="lo"), chunk("stop")], "stop")
CUT = ([chunk(role="assistant", content=""), chunk(content="Hello"), chunk("length")], "length")
CALLS = (
    [
        chunk(content="I look."),
        chunk(tool_calls=[call_part(0, "", name="weather")]),
        chunk(tool_calls=[call_part(0, '{"city":')]),
        chunk(tool_calls=[call_part(0, '"Ulm"}')]),
        chunk(tool_calls=[call_part(1, "{}", name="time")]),
        chunk("tool_calls"),
    ],
    "tool_calls",
)
THOUGHT = ([chunk(reasoning_content="Hm"), chunk(reasoning="m."), chunk(content="Hello"), chunk("stop")], "stop")
NOTHING = ([chunk(role="assistant", content=None), chunk("stop")], "stop")
WHOLES = {
    "words": (WORDS, {"content": "Hello"}),
    "cut": (CUT, {"content": "Hello"}),
    "calls": (
        CALLS,
        {
            "content": "I look.",
            "tool_calls": [call_part(0, '{"city":"Ulm"}', name="weather"), call_part(1, "{}", name="time")],
        },
    ),
    "thought": (THOUGHT, {"reasoning_content": "Hmm.", "content": "Hello"}),
    "nothing": (NOTHING, {"content": ""}),
}


def responses_form() -> AnswerForm:
    return translate_responses({"input": "x", "metadata": {"a": "b"}, "instructions": "Be brief."}).form


def stream(form: AnswerForm, chunks: list[bytes]) -> list[Json]:
    """All events, asked for one chunk at a time."""
    return read_events(b"".join(form.events([each]) for each in [*chunks, usage_chunk()]) + form.end())


@pytest.mark.parametrize("name", WHOLES)
def test_a_responses_stream_ends_with_the_whole_answer(name: str) -> None:
    (chunks, finish), message = WHOLES[name]
    events = stream(responses_form(), chunks)
    for event in events:
        RESPONSE_EVENT.validate_python(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    answer = read_whole(responses_form(), whole(finish, **message))
    Response.model_validate(answer)
    assert events[-1]["response"] == answer
    assert events[-1]["type"] == ("response.incomplete" if finish == "length" else "response.completed")


@pytest.mark.parametrize("name", WHOLES)
def test_what_comes_in_pieces_is_what_is_said_when_it_is_done(name: str) -> None:
    events = stream(responses_form(), WHOLES[name][0][0])
    for done in [event for event in events if event["type"].endswith((".output_text.done", ".arguments.done"))]:
        kind = done["type"].removesuffix("done") + "delta"
        deltas = [each["delta"] for each in events if each["type"] == kind and each["item_id"] == done["item_id"]]
        assert "".join(deltas) == done.get("text", done.get("arguments"))
    items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert items == events[-1]["response"]["output"]


def test_the_order_of_a_responses_stream() -> None:
    assert kinds(stream(responses_form(), CALLS[0])) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_a_response_repeats_what_was_asked_and_says_what_it_took() -> None:
    answer = read_whole(responses_form(), whole(content="Hello"))
    assert (answer["id"], answer["status"], answer["metadata"]) == ("resp_abc", "completed", {"a": "b"})
    assert (answer["instructions"], answer["store"], answer["created_at"]) == ("Be brief.", False, 1767225600)
    assert (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]) == (5, 7)
    assert answer["output"][0]["id"].startswith("msg_")


def test_a_response_that_was_cut_says_why() -> None:
    answer = read_whole(responses_form(), whole("length", content="Hel"))
    assert (answer["status"], answer["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert answer["output"][0]["status"] == "incomplete"


def test_the_items_of_a_response_are_told_apart() -> None:
    (chunks, _), _ = WHOLES["calls"]
    words, first, second = stream(responses_form(), chunks)[-1]["response"]["output"]
    assert (first["type"], first["call_id"], first["name"]) == ("function_call", "call_0", "weather")
    assert (second["call_id"], second["arguments"]) == ("call_1", "{}")
    assert len({words["id"], first["id"], second["id"]}) == 3
    assert first["id"].startswith("fc_")
    thought, _ = stream(responses_form(), THOUGHT[0])[-1]["response"]["output"]
    assert (thought["type"], thought["content"][0]["text"]) == ("reasoning", "Hmm.")


def test_a_response_that_breaks_says_so_as_its_last_event() -> None:
    form = responses_form()
    events = read_events(form.events([chunk(content="Hel")]) + form.broken(LOST))
    for event in events:
        RESPONSE_EVENT.validate_python(event)
    last = events[-1]
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    assert last["response"]["error"]["message"] == "The engine ended."
    assert last["response"]["output"][0]["content"][0]["text"] == "Hel"


@pytest.mark.parametrize("name", WHOLES)
def test_a_messages_stream_is_put_together_to_the_whole_answer(name: str) -> None:
    (chunks, finish), message = WHOLES[name]
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in stream(MessagesForm(), chunks):
        read = MESSAGE_EVENT.validate_python(event)
        snapshot = accumulate_event(event=read, current_snapshot=snapshot, json_bufs=buffers)
    answer = read_whole(MessagesForm(), whole(finish, **message))
    assert Message.model_validate(answer).to_dict(exclude_none=True) == snapshot.to_dict(exclude_none=True)
    assert answer["usage"] == {"input_tokens": USAGE["prompt_tokens"], "output_tokens": USAGE["completion_tokens"]}


def test_the_order_of_a_messages_stream() -> None:
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert kinds(stream(MessagesForm(), CALLS[0])) == [
        "message_start",
        *block * 3,
        "message_delta",
        "message_stop",
    ]


@pytest.mark.parametrize(
    ("finish", "more", "reason", "sequence"),
    [
        ("stop", {}, "end_turn", None),
        ("length", {}, "max_tokens", None),
        ("stop", {"stop": "###"}, "stop_sequence", "###"),
        ("tool_calls", {"tool_calls": [call_part(0, "{}", name="f")]}, "tool_use", None),
        ("stop", {"tool_calls": [call_part(0, "{}", name="f")]}, "tool_use", None),
        ("length", {"tool_calls": [call_part(0, '{"a":', name="f")]}, "max_tokens", None),
        ("content_filter", {}, "refusal", None),
    ],
)
def test_why_a_message_ends(finish: str, more: Json, reason: str, sequence: str | None) -> None:
    answer = read_whole(MessagesForm(), whole(finish, **more))
    assert (answer["stop_reason"], answer["stop_sequence"]) == (reason, sequence)


def test_a_call_is_a_block_with_its_arguments_read() -> None:
    _, message = WHOLES["calls"]
    words, first, second = read_whole(MessagesForm(), whole("tool_calls", **message))["content"]
    assert words == {"type": "text", "text": "I look."}
    assert first == {"type": "tool_use", "id": "call_0", "name": "weather", "input": {"city": "Ulm"}}
    assert second["input"] == {}


def test_a_call_without_an_id_gets_one() -> None:
    nameless = whole("tool_calls", tool_calls=[{"function": {"name": "f", "arguments": "{}"}}])
    assert read_whole(MessagesForm(), nameless)["content"][0]["id"] == "toolu_abc_0"
    assert read_whole(responses_form(), nameless)["output"][0]["call_id"] == "call_abc_0"


def test_a_message_that_breaks_says_so_as_its_last_event() -> None:
    form = MessagesForm()
    events = read_events(form.events([chunk(content="Hel")]) + form.broken(LOST))
    assert events[-1] == {"type": "error", "error": {"type": "api_error", "message": "The engine ended."}}


@pytest.mark.parametrize("form", [responses_form, MessagesForm])
def test_each_piece_is_sent_on_as_it_comes(form: Any) -> None:
    made = form()
    said = [made.events([each]) for each in WORDS[0]]
    assert b"Hel" in said[1]
    assert b'"lo"' in said[2]
    assert said[0], "the head waits for the first event"
    assert made.events([usage_chunk()]) == b""


def read_whole(form: AnswerForm, answer: bytes) -> Json:
    read: Json = json.loads(form.whole(answer))
    return read
