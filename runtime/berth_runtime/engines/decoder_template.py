"""A model's chat template: from messages to the text that the model goes on from. `ChatTemplate` renders it.

Templates are written for Jinja as transformers runs it, so that is how they are run here: in Jinja's sandbox, with the
same options and functions. They come from elsewhere. What reaches for more than messages was refused already when the
model was looked at (`berth_store.detect.template`); the sandbox stands behind that, in a worker that has nothing else.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NoReturn

import jinja2
from jinja2.ext import Extension
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from berth_api.errors import BerthError
from berth_runtime.engines.protocol import LoadFailed

Json = dict[str, Any]

DEVELOPER: Final = "developer"


class TemplateRefused(BerthError):  # noqa: N818 - reads as what happened
    """The template does not take these messages."""


class TooLong(BerthError):  # noqa: N818 - reads as what happened
    """The text is longer than it may be; its message is not for clients."""


class _Generation(Extension):
    """`{% generation %}` marks what an assistant said, for training; it writes what is inside."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own name and form

    def parse(self, parser: Parser) -> list[Node]:
        """What is inside."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    """A template, with the marks that it writes; raises `LoadFailed` where it is no Jinja."""

    def __init__(self, text: str, *, bos: str = "", eos: str = "") -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
        )
        environment.filters["tojson"] = _to_json
        environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
        try:
            self._template = environment.from_string(text)
        except (jinja2.TemplateError, SyntaxError) as error:  # Python's own, for a `break` without a loop
            raise LoadFailed(
                f"The chat template can't be used ({error}). Give another one by --chat-template."
            ) from error
        self._marks = {"bos_token": bos, "eos_token": eos}
        self._knows_developers = DEVELOPER in text

    def render(self, messages: Sequence[Json], more: Mapping[str, Any], *, most: int) -> str:
        """The text for the model, which may have `most` characters; raises `TemplateRefused` or `TooLong`.

        `more` is what the request gives the template besides. A content of parts becomes one text, for few templates
        know parts.
        """
        known = {**more, **self._marks, "messages": [self._plain(each) for each in messages]}
        pieces, left = [], most
        try:
            for piece in self._template.generate(**known, add_generation_prompt=True):
                pieces.append(piece)
                left -= len(piece)
                if left < 0:
                    raise TooLong(f"more than {most:,} characters")
        except BerthError:
            raise
        except Exception as error:  # a template is a program, and may fail as any does
            raise TemplateRefused(str(error) or type(error).__name__) from error
        return "".join(pieces)

    def _plain(self, message: Json) -> Json:
        content = message["content"]
        if isinstance(content, list):
            content = "\n".join(part["text"] for part in content)
        role = message["role"]
        if role == DEVELOPER and not self._knows_developers:
            role = "system"
        return {**message, "role": role, "content": content}


def _refuse(message: object) -> NoReturn:
    raise TemplateRefused(str(message))


def _now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)


def _to_json(value: object, indent: int | None = None, **more: Any) -> str:
    """As transformers writes it: no HTML, and letters as they are."""
    return json.dumps(value, ensure_ascii=False, indent=indent, **more)
