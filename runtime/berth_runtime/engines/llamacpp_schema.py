"""How large the JSON schemas of a request may be. Used by `engines.llamacpp`; pure.

llama.cpp makes a grammar of a schema before it does anything else, on the thread that serves all sequences: a schema of
a kilobyte can keep it there for minutes. Each bound is far from what took a second on two cores.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from berth_runtime.engines.protocol import Failure

Json = dict[str, Any]

MAX_DEPTH: Final = 64
MAX_PROPERTIES: Final = 400  # in one object; 3,000 took more than a minute
MAX_PARTS: Final = 10_000
MAX_CHOICES: Final = 1_000  # values of enums, 2,000 took 3.7 s; alternatives
MAX_MERGED_CHOICES: Final = 1_000  # alternatives times what allOf merges; 2,500 took 35 s
MAX_PATTERN: Final = 2_000  # letters that a pattern can match, repetitions counted; 10,000 took 9 s

_REPETITION: Final = re.compile(r"\{(\d{0,9})(?:,(\d{0,9}))?\}")


@dataclass
class Size:
    """What there is in a schema. `depth` and `properties` are the most of any place, the others are sums."""

    depth: int = 0
    parts: int = 0
    properties: int = 0
    choices: int = 0
    merged: int = 0
    pattern: int = 0


def check_schemas(body: Json) -> Failure | None:
    """The error for a request whose schemas would keep the engine from all others."""
    functions = [tool["function"].get("parameters") for tool in body.get("tools", ())]
    for param, value in (("response_format", body.get("response_format")), ("tools", functions)):
        why = why_too_large(measure(value))
        if why is not None:
            message = f"'{param}': the schema {why}, which takes too long to make a grammar of. Simplify it."
            return Failure(400, "invalid_value", message, param)
    return None


def why_too_large(size: Size) -> str | None:
    """What there is too much of, in words."""
    bounds = (
        (size.depth, MAX_DEPTH, "is nested {} levels deep, at most {} are taken"),
        (size.parts, MAX_PARTS, "has {} parts, at most {} are taken"),
        (size.properties, MAX_PROPERTIES, "has an object of {} properties, at most {} are taken"),
        (size.choices, MAX_CHOICES, "has {} values of enums and alternatives, at most {} are taken"),
        (size.choices * size.merged, MAX_MERGED_CHOICES, "merges {} alternatives by allOf, at most {} are taken"),
        (size.pattern, MAX_PATTERN, "has patterns that match {} letters, at most {} are taken"),
    )
    return next((words.format(value, most) for value, most, words in bounds if value > most), None)


def measure(schema: object) -> Size:
    """The size of a schema, or of several in a list."""
    size = Size()
    waiting: list[tuple[object, int]] = [(schema, 0)]
    while waiting and size.parts <= MAX_PARTS:
        part, depth = waiting.pop()
        size.parts += 1
        size.depth = max(size.depth, depth)
        if isinstance(part, dict):
            _count(part, size)
        waiting += [(inner, depth + 1) for inner in _inside(part)]
    return size


def _count(part: Json, size: Size) -> None:
    properties, pattern = part.get("properties"), part.get("pattern")
    if isinstance(properties, dict):
        size.properties = max(size.properties, len(properties))
    for name in ("enum", "anyOf", "oneOf"):
        choices = part.get(name)
        size.choices += len(choices) if isinstance(choices, list) else 0
    merged = part.get("allOf")
    size.merged += len(merged) if isinstance(merged, list) else 0
    size.pattern += pattern_length(pattern) if isinstance(pattern, str) else 0


def _inside(part: object) -> Iterator[object]:
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return (each for each in inner if isinstance(each, dict | list))


def pattern_length(pattern: str) -> int:
    """Letters of the longest text that a pattern spells out, counting `*` and `+` as one."""
    groups, last, at = [0], 0, 0
    while at < len(pattern):
        letter, found = pattern[at], _REPETITION.match(pattern, at)
        if found is not None:
            times = int(found[2] or found[1] or 1)
            groups[-1] += last * (times - 1)
            last, at = last * times, found.end()
        elif letter == "(":
            groups.append(0)
            at += 1
        elif letter == ")" and len(groups) > 1:
            last = groups.pop()
            groups[-1] += last
            at += 1
        else:
            last, at = 1, _end_of_letter(pattern, at)
            groups[-1] += 1
    return sum(groups)


def _end_of_letter(pattern: str, at: int) -> int:
    """Behind the letter at `at`, which may be an escape or a class of letters."""
    if pattern[at] == "\\":
        return at + 2
    if pattern[at] != "[":
        return at + 1
    at += 1
    while at < len(pattern) and pattern[at] != "]":
        at += 2 if pattern[at] == "\\" else 1
    return at + 1
