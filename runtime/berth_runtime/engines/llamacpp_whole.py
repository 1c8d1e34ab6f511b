"""A plain answer put together from the events of a stream. Used by `engines.llamacpp`; pure.

Generation always runs as a stream (`engines.llamacpp_answers` says why); a client that did not ask for one gets the
same words in one object.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from berth_runtime.engines.protocol import Usage
from berth_runtime.engines.written import render_usage

Json = dict[str, Any]


def join_chat(events: Sequence[bytes], usage: Usage) -> bytes:
    """One `chat.completion` out of all its `chat.completion.chunk`s."""
    parsed = [orjson.loads(event) for event in events]
    choices: dict[int, Json] = {}
    for event in parsed:
        for part in event["choices"]:
            choice = choices.setdefault(part["index"], _new_choice(part["index"]))
            _add_delta(choice["message"], part["delta"])
            _add_ending(choice, part)
    return _answer(parsed[0], "chat.completion", choices, usage)


def join_text(events: Sequence[bytes], usage: Usage) -> bytes:
    """One `text_completion` out of all its chunks, which have the same name."""
    parsed = [orjson.loads(event) for event in events]
    choices: dict[int, Json] = {}
    for event in parsed:
        for part in event["choices"]:
            index = part["index"]
            choice = choices.setdefault(index, {"text": "", "index": index, "logprobs": None, "finish_reason": None})
            choice["text"] += part["text"]
            _add_ending(choice, part)
    return _answer(parsed[0], "text_completion", choices, usage)


def _answer(first: Json, kind: str, choices: dict[int, Json], usage: Usage) -> bytes:
    body = {
        "id": first["id"],
        "object": kind,
        "created": first["created"],
        "model": first["model"],
        "system_fingerprint": first["system_fingerprint"],
        "choices": [choices[index] for index in sorted(choices)],
        "usage": render_usage(usage),
    }
    return orjson.dumps(body)


def _new_choice(index: int) -> Json:
    return {
        "index": index,
        "message": {"role": "assistant", "content": None},
        "logprobs": None,
        "finish_reason": None,
    }


def _add_delta(message: Json, delta: Json) -> None:
    for key, value in delta.items():
        if key == "tool_calls":
            for call in value:
                _add_tool_call(message.setdefault("tool_calls", []), call)
        elif key == "role" or value is None:
            continue
        else:
            message[key] = (message.get(key) or "") + value


def _add_tool_call(calls: list[Json], part: Json) -> None:
    index = part["index"]
    while len(calls) <= index:
        calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
    call = calls[index]
    call["id"] = part.get("id") or call["id"]
    function = part.get("function", {})
    call["function"]["name"] = function.get("name") or call["function"]["name"]
    call["function"]["arguments"] += function.get("arguments") or ""


def _add_ending(choice: Json, part: Json) -> None:
    logprobs = part.get("logprobs")
    if logprobs is not None:
        known = choice["logprobs"] or {}
        choice["logprobs"] = {key: known.get(key, []) + values for key, values in logprobs.items()}
    if part.get("finish_reason") is not None:
        choice["finish_reason"] = part["finish_reason"]
