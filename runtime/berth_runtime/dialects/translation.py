"""A request in another API, as the chat that it asks for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from berth_runtime.dialects.names import Names
from berth_runtime.openai.form import AnswerForm

Json = dict[str, Any]


@dataclass(frozen=True)
class Translation:
    """`chat` is the body of a chat, still to be checked; `form` writes its answer, once; `ignored` are fields of the
    client's that nobody knows.
    """

    chat: Json
    form: AnswerForm
    names: Names
    ignored: tuple[str, ...] = ()


Translate = Callable[[Json], Translation]
"""From a request's body. Raises `ApiError`, which names the client's own field, where it can be no chat."""


def stream_fields(stream: object) -> Json:
    """What a chat is told of streaming; the usage is said in every stream of the other APIs."""
    return {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
