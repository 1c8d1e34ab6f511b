"""What goes over the control socket of a running instance: one JSON object a line, a request and then its answers."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from berth_cli.laptop.view import View
from berth_cli.manifests.source import Source


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Apply(_Message):
    """Take these manifests over, then tell every change. Paths are absolute: both sides share the machine and user."""

    verb: Literal["apply"] = "apply"
    version: str
    sources: tuple[Source, ...]


class Stop(_Message):
    """Stop all; changes are told until the end, which is the end of the connection."""

    verb: Literal["stop"] = "stop"


Request = Annotated[Apply | Stop, Field(discriminator="verb")]


class Taken(_Message):
    """The manifests were taken over, as this revision."""

    answer: Literal["taken"] = "taken"
    revision: int


class Refused(_Message):
    """The request can't be carried out; the message is for people."""

    answer: Literal["refused"] = "refused"
    message: str
    exit_code: int


class Changed(_Message):
    """The newest view."""

    answer: Literal["changed"] = "changed"
    view: View


Answer = Annotated[Taken | Refused | Changed, Field(discriminator="answer")]

REQUESTS: TypeAdapter[Apply | Stop] = TypeAdapter(Request)
ANSWERS: TypeAdapter[Taken | Refused | Changed] = TypeAdapter(Answer)
LONGEST_LINE_BYTES = 64 * 1024 * 1024
