"""What a request field may be: a sentence for people and a test. The tables of `openai.parameters` hold these."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

INT64: Final = 1 << 63


@dataclass(frozen=True)
class Field:
    """A field that OpenAI's API or an engine here knows.

    `neutral` are the values that ask for nothing, so that they are accepted where the field itself is not honoured.
    `absent` are the values that are the same as leaving the field out, also where it is honoured.
    `inert` marks a field that never changes an answer (who asks, what to bill): any value is accepted and dropped.
    """

    expects: str
    accepts: Callable[[object], bool]
    neutral: tuple[object, ...] = ()
    absent: tuple[object, ...] = ()
    inert: bool = False


def number(least: float, most: float, *, neutral: tuple[object, ...] = ()) -> Field:
    """A number in a range."""
    return Field(f"a number from {least:g} to {most:g}", lambda value: is_number(value, least, most), neutral)


def integer(least: int, most: int | None = None, *, neutral: tuple[object, ...] = ()) -> Field:
    """An integer in a range."""
    upper = INT64 if most is None else most
    words = f"an integer of at least {least}" if most is None else f"an integer from {least} to {most}"
    return Field(words, lambda value: is_integer(value, least, upper), neutral)


def boolean(*, neutral: tuple[object, ...] = ()) -> Field:
    """True or false."""
    return Field("true or false", lambda value: isinstance(value, bool), neutral)


def one_of(*words: str, neutral: tuple[object, ...] = ()) -> Field:
    """One of some words."""
    return Field("one of " + ", ".join(words), lambda value: value in words, neutral)


def texts(most: int) -> Field:
    """A text or a list of texts, none of them empty; an empty text or list is none at all."""

    def accepts(value: object) -> bool:
        if isinstance(value, str):
            return True
        return isinstance(value, list) and len(value) <= most and all(isinstance(v, str) and v for v in value)

    return Field(f"a text, or a list of up to {most} texts that are not empty", accepts, absent=("", []))


def mapping(expects: str, accepts: Callable[[dict[str, object]], bool], *, neutral: tuple[object, ...] = ()) -> Field:
    """An object, with a test of its own."""
    return Field(expects, lambda value: isinstance(value, dict) and accepts(value), neutral)


def sequence(expects: str, accepts: Callable[[list[object]], bool], *, neutral: tuple[object, ...] = ()) -> Field:
    """A list, with a test of its own."""
    return Field(expects, lambda value: isinstance(value, list) and accepts(value), neutral)


def inert() -> Field:
    """A field that changes nothing in an answer."""
    return Field("anything", lambda _: True, inert=True)


def unserved(*neutral: object) -> Field:
    """A field of OpenAI's that no engine here honours."""
    return Field("anything", lambda _: True, neutral)


def is_integer(value: object, least: int, most: int) -> bool:
    """An integer, not a truth value."""
    return type(value) is int and least <= value <= most


def is_number(value: object, least: float, most: float) -> bool:
    """A finite number, not a truth value."""
    return type(value) in {int, float} and math.isfinite(value) and least <= value <= most  # type: ignore[arg-type,operator]
