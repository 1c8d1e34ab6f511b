"""The way to a field as users write it: `spec.rules[0].backends[1].weight`, `spec.pod.labels["example.com/team"]`."""

import re

FieldPath = tuple[str | int, ...]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SHOWN_MAX = 80


def render_path(path: FieldPath) -> str:
    """The text of a path; the whole document is `(document)`."""
    return "".join(_render_step(step) for step in path).removeprefix(".") or "(document)"


def _render_step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if _PLAIN.fullmatch(step):
        return f".{shorten(step)}"
    return f'["{shorten(step)}"]'


def shorten(text: str) -> str:
    """The text as it may stand in a message: bounded, on one line, nothing that a terminal would obey."""
    safe = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[: _SHOWN_MAX + 1])
    return safe if len(safe) <= _SHOWN_MAX else f"{safe[:_SHOWN_MAX]}…"
