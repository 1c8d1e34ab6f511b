"""What a request field may be: a sentence for people, a test, a JSON schema. The tables of fields hold these.

A table stands with the operation that it belongs to; `openai.parameters` has them all, and reads requests by them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

INT64: Final = 1 << 63

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """A field that OpenAI's API or an engine here knows.

    `schema` says for client developers what `accepts` takes. `neutral` are the values that ask for nothing, so that
    they are accepted where the field itself is not honoured. `absent` are the values that are the same as leaving the
    field out, also where it is honoured. `inert` marks a field that never changes an answer (who asks, what to bill):
    any value is accepted and dropped. `served` is false for what no engine here honours, and `remedy` says what to do
    instead. `always` marks what is honoured for every model, because this process does it or because the request to the
    engine carries it.
    """

    expects: str
    accepts: Callable[[object], bool]
    neutral: tuple[object, ...] = ()
    absent: tuple[object, ...] = ()
    inert: bool = False
    schema: Schema = field(default_factory=dict)
    served: bool = True
    always: bool = False
    remedy: str = "Leave it out."


def always(known: Field) -> Field:
    """The same field, honoured for every model."""
    return replace(known, always=True)


def described(known: Field, words: str) -> Field:
    """The same field, with a word for client developers about what it does."""
    return replace(known, schema={**known.schema, "description": words})


def number(least: float, most: float, *, neutral: tuple[object, ...] = ()) -> Field:
    """A number in a range."""
    schema = {"type": "number", "minimum": least, "maximum": most}
    return Field(
        f"a number from {least:g} to {most:g}", lambda value: is_number(value, least, most), neutral, schema=schema
    )


def integer(
    least: int, most: int | None = None, *, neutral: tuple[object, ...] = (), absent: tuple[object, ...] = ()
) -> Field:
    """An integer in a range."""
    upper = INT64 if most is None else most
    words = f"an integer of at least {least}" if most is None else f"an integer from {least} to {most}"
    schema = {"type": "integer", "minimum": least} | ({} if most is None else {"maximum": most})
    return Field(words, lambda value: is_integer(value, least, upper), neutral, absent, schema=schema)


def boolean(*, neutral: tuple[object, ...] = ()) -> Field:
    """True or false."""
    return Field("true or false", lambda value: isinstance(value, bool), neutral, schema={"type": "boolean"})


def one_of(*words: str, neutral: tuple[object, ...] = ()) -> Field:
    """One of some words."""
    return Field("one of " + ", ".join(words), lambda value: value in words, neutral, schema={"enum": list(words)})


def texts(most: int) -> Field:
    """A text or a list of texts, none of them empty; an empty text or list is none at all."""

    def accepts(value: object) -> bool:
        if isinstance(value, str):
            return True
        return isinstance(value, list) and len(value) <= most and all(isinstance(v, str) and v for v in value)

    each = {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": most}
    schema = {"anyOf": [{"type": "string"}, each]}
    words = f"a text, or a list of up to {most} texts that are not empty"
    return Field(words, accepts, absent=("", []), schema=schema)


def mapping(expects: str, accepts: Callable[[dict[str, object]], bool], *, neutral: tuple[object, ...] = ()) -> Field:
    """An object, with a test of its own."""
    schema = {"type": "object", "description": expects}
    return Field(expects, lambda value: isinstance(value, dict) and accepts(value), neutral, schema=schema)


def sequence(expects: str, accepts: Callable[[list[object]], bool], *, neutral: tuple[object, ...] = ()) -> Field:
    """A list, with a test of its own."""
    schema = {"type": "array", "description": expects}
    return Field(expects, lambda value: isinstance(value, list) and accepts(value), neutral, schema=schema)


def inert() -> Field:
    """A field that changes nothing in an answer."""
    return Field("anything", lambda _: True, inert=True)


def unserved(*neutral: object, remedy: str = "Leave it out.") -> Field:
    """A field of OpenAI's, or of another server that clients are written for, that no engine here honours."""
    return Field("anything", lambda _: True, neutral, served=False, remedy=remedy)


def is_integer(value: object, least: int, most: int) -> bool:
    """An integer, not a truth value."""
    return type(value) is int and least <= value <= most


def is_number(value: object, least: float, most: float) -> bool:
    """A finite number, not a truth value."""
    return type(value) in {int, float} and math.isfinite(value) and least <= value <= most  # type: ignore[arg-type,operator]


# Who asks, and what that costs: the fields that any request may have.
WHO_ASKS: Final[Mapping[str, Field]] = {
    "user": inert(),
    "metadata": inert(),
    "safety_identifier": inert(),
    "prompt_cache_key": inert(),
    "prompt_cache_options": inert(),
    "prompt_cache_retention": inert(),
    "service_tier": inert(),
}
