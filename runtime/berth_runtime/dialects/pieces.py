"""What an engine says of a chat, read once: pieces of thinking, words and calls, how it ended, what it took; pure.

A whole answer is read as the one event that it could have been.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import orjson

Json = dict[str, Any]


class Kind(Enum):
    """What a piece is of."""

    THINKING = "thinking"
    TEXT = "text"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Piece:
    """The next letters of one part of the answer: pieces of the same `part` follow one another.

    `call_id` and `name` are of a call, and stand in its first piece alone.
    """

    kind: Kind
    text: str
    call: int = 0
    call_id: str = ""
    name: str = ""

    @property
    def part(self) -> tuple[Kind, int]:
        """Which part it belongs to."""
        return self.kind, self.call


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer."""

    prompt_tokens: int = 0
    generated_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """One event. `finish` is why the answer ends, `stop` the stop word that ended it, where the engine tells."""

    answer_id: str
    created: int
    model: str
    pieces: tuple[Piece, ...]
    finish: str | None
    stop: str | None
    usage: Usage | None


def read_said(data: bytes) -> Said:
    """A `chat.completion`, or a chunk of one; of several choices the first."""
    event: Json = orjson.loads(data)
    choice: Json = next(iter(event.get("choices") or ()), {})
    stop = choice.get("stop_reason")  # vLLM's: the stop word, or the id of a token
    return Said(
        answer_id=str(event.get("id") or ""),
        created=int(event.get("created") or 0),
        model=str(event.get("model") or ""),
        pieces=tuple(_read_pieces(choice.get("delta") or choice.get("message") or {})),
        finish=choice.get("finish_reason"),
        stop=stop if isinstance(stop, str) else None,
        usage=_read_usage(event.get("usage")),
    )


def _read_pieces(said: Json) -> Iterator[Piece]:
    thought = said.get("reasoning_content") or said.get("reasoning")  # llama.cpp's word, vLLM's
    if thought:
        yield Piece(Kind.THINKING, thought)
    if said.get("content"):
        yield Piece(Kind.TEXT, said["content"])
    for number, call in enumerate(said.get("tool_calls") or ()):
        function = call.get("function") or {}
        yield Piece(
            Kind.CALL,
            function.get("arguments") or "",
            call=call.get("index", number),
            call_id=call.get("id") or "",
            name=function.get("name") or "",
        )


def _read_usage(usage: Json | None) -> Usage | None:
    if usage is None:
        return None
    return Usage(usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0)
