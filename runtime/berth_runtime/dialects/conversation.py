"""The messages of a chat, put together from what other APIs call items or blocks; remembers where each came from."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

Json = dict[str, Any]

_JOINED_BY: Final = {"system": "\n\n"}
_LINE: Final = "\n"


@dataclass(frozen=True)
class Part:
    """A part of a message as chats have it, with the client's paths to it, and to the picture in it."""

    content: Json
    path: str
    picture: str = ""


def text_part(text: str, path: str) -> Part:
    """Words."""
    return Part({"type": "text", "text": text}, path)


def picture_part(url: object, path: str, picture: str) -> Part:
    """A picture; whether it is one is for the chat's own checks."""
    return Part({"type": "image_url", "image_url": {"url": url}}, path, picture)


@dataclass
class _Turn:
    role: str
    path: str
    parts: list[Part] = field(default_factory=list)
    calls: list[Json] = field(default_factory=list)
    call_id: str | None = None


class Conversation:
    """Turns as they are said. What one role says in a row is one message: many chat templates want roles to alternate,
    and take a system's message only as the first.
    """

    def __init__(self) -> None:
        self._turns: list[_Turn] = []

    def say(self, role: str, parts: Iterable[Part], path: str) -> None:
        """Words or pictures of a role."""
        self._turn(role, path).parts.extend(parts)

    def call(self, call_id: str, name: str, arguments: str, path: str) -> None:
        """A call that the assistant made."""
        call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        self._turn("assistant", path).calls.append(call)

    def answer_call(self, call_id: str, parts: Iterable[Part], path: str) -> None:
        """What a call came to."""
        self._turns.append(_Turn("tool", path, list(parts), call_id=call_id))

    @property
    def has_begun(self) -> bool:
        """Whether anybody but the system has spoken."""
        return any(turn.role != "system" for turn in self._turns)

    @property
    def messages(self) -> list[Json]:
        """The messages of the chat."""
        return [_message(turn) for turn in self._turns]

    @property
    def places(self) -> dict[str, str]:
        """The client's path to each message and picture, by the chat's."""
        places: dict[str, str] = {}
        for index, turn in enumerate(self._turns):
            places[f"messages[{index}]"] = turn.path
            for number, part in enumerate(turn.parts):
                if part.picture:
                    at = f"messages[{index}].content[{number}]"
                    places[at], places[f"{at}.image_url.url"] = part.path, part.picture
        return places

    def _turn(self, role: str, path: str) -> _Turn:
        if not self._turns or self._turns[-1].role != role:
            self._turns.append(_Turn(role, path))
        return self._turns[-1]


def _message(turn: _Turn) -> Json:
    message: Json = {"role": turn.role, "content": _content(turn)}
    if turn.calls:
        message["tool_calls"] = turn.calls
    if turn.call_id is not None:
        message["tool_call_id"] = turn.call_id
    return message


def _content(turn: _Turn) -> str | list[Json]:
    """Words alone are one text, as templates know it; words among pictures keep their places."""
    contents = [part.content for part in turn.parts]
    if all(content["type"] == "text" for content in contents):
        return _JOINED_BY.get(turn.role, _LINE).join(content["text"] for content in contents)
    return contents
