"""What the user may have meant: close words, close field names, and fields that live elsewhere."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any

_CUTOFF = 0.6
_WORD_MAX = 200
_COMPARED_MAX = 2000
_PLACES_MAX = 3


def close_words(written: str, known: Iterable[str], *, most: int = 3) -> list[str]:
    """The known words that look like what was written, closest first; upper and lower case are alike.

    Comparing is slow and a wrong word is cheap to send, so both its length and the number of known ones are bounded.
    """
    words = {word.casefold(): word for word in islice(known, _COMPARED_MAX)}
    return [words[close] for close in get_close_matches(written[:_WORD_MAX].casefold(), words, n=most, cutoff=_CUTOFF)]


def did_you_mean(written: str, known: Iterable[str]) -> str:
    """`did you mean …?` with the closest known word, or nothing if none is close."""
    close = close_words(written, known, most=1)
    return f"did you mean `{close[0]}`?" if close else ""


def suggest_field(written: str, parent: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    """The remedy for an unknown field: a sibling of a close name, the place of that name, or all siblings."""
    siblings = tuple(parent.get("properties", {}))
    if close := did_you_mean(written, siblings):
        return close
    if below := _places(written, parent, ""):
        return f"did you mean {below}?"
    if elsewhere := _places(written, spec, "spec."):
        return f"it belongs to {elsewhere}"
    return f"the fields here are {', '.join(f'`{name}`' for name in siblings)}" if siblings else "remove it"


def _places(written: str, schema: Mapping[str, Any], prefix: str) -> str:
    """Where a field of that name is, if there are few such places."""
    named = (path for path in _paths(schema, prefix) if path.rpartition(".")[2].lower() == written.lower())
    places = [path for path in named if not path.startswith("status.")]
    return " or ".join(f"`{path}`" for path in places) if len(places) <= _PLACES_MAX else ""


def _paths(schema: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, part in schema.get("properties", {}).items():
        yield f"{prefix}{name}"
        inside = part.get("items")
        yield from _paths(part, f"{prefix}{name}.") if inside is None else _paths(inside, f"{prefix}{name}[].")
