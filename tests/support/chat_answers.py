"""What an engine says of a chat, as its chunks and as a whole, for tests of who reads it."""

import json
from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]
HEAD = {"id": "chatcmpl-abc", "created": 1767225600, "model": "smollm2"}
USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


def call_part(index: int, arguments: str, *, name: str | None = None) -> Json:
    """A piece of a call; the first one of each has its name."""
    head: Json = {} if name is None else {"id": f"call_{index}", "type": "function"}
    return {"index": index, **head, "function": {"arguments": arguments, **({"name": name} if name else {})}}


def chunk(finish: str | None = None, *, stop: str | None = None, **delta: Any) -> bytes:
    """One event of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish, **({"stop_reason": stop} if stop else {})}
    return json.dumps({**HEAD, "object": "chat.completion.chunk", "choices": [choice]}).encode()


def usage_chunk() -> bytes:
    """The last event of a stream whose client asked for usage."""
    return json.dumps({**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": USAGE}).encode()


def whole(finish: str = "stop", *, stop: str | None = None, **message: Any) -> bytes:
    """A plain answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": finish}
    choice |= {"stop_reason": stop} if stop else {}
    return json.dumps({**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}).encode()


def read_events(streamed: bytes | str) -> list[Json]:
    """The events of a stream, each of which has its name twice."""
    text = streamed if isinstance(streamed, str) else streamed.decode()
    return [_read_event(event) for event in text.split("\n\n") if event]


def kinds(events: Iterable[Json]) -> list[str]:
    """The types of events, one after another, a type in a row once."""
    seen: list[str] = []
    for event in events:
        if seen[-1:] != [event["type"]]:
            seen.append(event["type"])
    return seen


def _read_event(text: str) -> Json:
    name, data = text.split("\n")
    event: Json = json.loads(data.removeprefix("data: "))
    assert name == f"event: {event['type']}"
    return event
