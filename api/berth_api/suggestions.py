"""What the user may have meant: close field names, close words, and fields that live elsewhere. Pure, for error messages."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

_WORD_MAX = 64


def did_you_mean(written: str, known: Iterable[str]) -> str:
    """`did you mean …?` with the closest known word, or nothing if none is close."""
    words = {word.lower(): word for word in known}
    close = get_close_matches(written[:_WORD_MAX].lower(), words, n=1, cutoff=0.6)
    return f"did you mean `{words[close[0]]}`?" if close else ""


def suggest_field(written: str, parent: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    """The remedy for an unknown field: a sibling of a close name, the place where that name belongs, or all siblings."""
    siblings = tuple(parent.get("properties", {}))
    if close := did_you_mean(written, siblings):
        return close
    places = [path for path in _paths(spec, "spec") if path.rpartition(".")[2].lower() == written.lower()]
    if 0 < len(places) <= 3:
        return f"it belongs to {' or '.join(f'`{path}`' for path in places)}"
    return f"the fields here are {', '.join(f'`{name}`' for name in siblings)}" if siblings else "remove it"


def _paths(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, part in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from _paths(part, f"{path}.{name}")
    if "items" in schema:
        yield from _paths(schema["items"], f"{path}[]")
