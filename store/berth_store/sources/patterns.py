"""The patterns of `spec.source.files`, as git reads its own: pure functions of names.

`*`, `?` and `[…]` never match a slash; `**` between slashes stands for any folders. A pattern without a slash means
files of that name in any folder, one with a slash the whole path. Both may come from strangers, so the time is bounded
by the product of their lengths: no regular expression, which could take ages over a row of stars.
"""

from collections.abc import Sequence
from functools import lru_cache

_ANY = "**"
_STAR = frozenset({"*"})


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns means this file."""
    parts = tuple(path.split("/"))
    return any(_match_parts(parts, _parts_of(pattern)) for pattern in patterns)


def _parts_of(pattern: str) -> tuple[str, ...]:
    return tuple(pattern.split("/")) if "/" in pattern else (_ANY, pattern)


def _match_parts(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether folders and name fit: by which beginnings of the path each beginning of the pattern reaches."""
    reached = {0}
    for index, piece in enumerate(pattern):
        if piece == _ANY:
            # At the end it stands for what is in the folders, so at least one part.
            least = 1 if index == len(pattern) - 1 else 0
            reached = set(range(min(reached) + least, len(parts) + 1)) if reached else set()
        else:
            reached = {at + 1 for at in reached if at < len(parts) and _match_part(parts[at], piece)}
    return len(parts) in reached


def _match_part(text: str, pattern: str) -> bool:
    """Whether one part fits, going back to the last star alone: an earlier one could reach nothing more."""
    pieces = _pieces(pattern)
    at = piece = 0
    star, resume = -1, 0
    while at < len(text):
        if piece < len(pieces) and pieces[piece] is _STAR:
            star, resume, piece = piece, at, piece + 1
        elif piece < len(pieces) and _fits(text[at], pieces[piece]):
            at, piece = at + 1, piece + 1
        elif star >= 0:
            resume += 1
            at, piece = resume, star + 1
        else:
            return False
    return all(rest is _STAR for rest in pieces[piece:])


def _fits(character: str, piece: object) -> bool:
    if isinstance(piece, _Set):
        return piece.holds(character)
    return piece is None or piece == character


class _Set:
    """What `[…]` means: single characters and ranges, or all others."""

    def __init__(self, members: str) -> None:
        self._negated = members[:1] in {"!", "^"}
        rest = members[1:] if self._negated else members
        self._ranges: list[tuple[str, str]] = []
        while rest:
            if len(rest) >= 3 and rest[1] == "-":
                self._ranges.append((rest[0], rest[2]))
                rest = rest[3:]
            else:
                self._ranges.append((rest[0], rest[0]))
                rest = rest[1:]

    def holds(self, character: str) -> bool:
        return any(low <= character <= high for low, high in self._ranges) != self._negated


@lru_cache(maxsize=512)
def _pieces(pattern: str) -> tuple[object, ...]:
    """One for each thing to match: a character, None for any, a set, or the star."""
    found: list[object] = []
    at = 0
    while at < len(pattern):
        end = pattern.find("]", at + 2) if pattern[at] == "[" else -1
        if end > 0:
            found.append(_Set(pattern[at + 1 : end]))
            at = end
        elif pattern[at] == "*":
            found += [_STAR] if found[-1:] != [_STAR] else []
        else:
            found.append(None if pattern[at] == "?" else pattern[at])
        at += 1
    return tuple(found)
