"""What a plain YAML scalar means, as kubectl reads it: YAML 1.1 words, but no dates and no base-60 numbers.

Manifests are JSON at heart, so what JSON can't say (`.inf`, `.nan`, integers beyond 64 bits) is refused here.
"""

import re

Scalar = str | int | float | bool | None

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_WORDS = {
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*|0)")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9][0-9_]*)")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LONGEST_NUMBER = 40


class NotJson(ValueError):  # noqa: N818 - read as the reason that it gives
    """A scalar that no JSON document can hold; the message says which and why."""


def parse_plain_scalar(text: str) -> Scalar:
    """The value of an unquoted scalar. Raises `NotJson` for values outside of JSON."""
    if text in _NULLS:
        return None
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return _finite(text)
    if _NOT_FINITE.fullmatch(text):
        raise NotJson(f"{text} is no number that a manifest can hold")
    return text


def _integer(text: str) -> int | str:
    if len(text) > _LONGEST_NUMBER:
        raise NotJson("the number is too large")
    digits = text.replace("_", "").lower()
    sign = -1 if digits.startswith("-") else 1
    bare = digits.lstrip("+-")
    try:
        value = sign * (
            int(bare, 0) if bare[:2] in {"0x", "0b", "0o"} else int(bare, 8 if bare.startswith("0") else 10)
        )
    except ValueError:
        return text
    if not -(2**63) <= value < 2**63:
        raise NotJson(f"{text} is larger than 64 bits hold")
    return value


def _finite(text: str) -> float:
    value = float(text.replace("_", ""))
    if value in {float("inf"), float("-inf")}:
        raise NotJson(f"{text} is larger than a number can be")
    return value
