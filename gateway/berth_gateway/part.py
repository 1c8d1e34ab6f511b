"""A piece of Envoy's configuration that is made only if it must be. From render.py and routes.py to codec.py.

With thousands of Models the making is what a change costs, and a change touches few of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Part:
    """One resource or entry: `source` is all that it depends on, `make` makes its JSON value of that."""

    source: object
    make: Callable[[], dict[str, Any]] = field(compare=False)


Parts = Mapping[str, Part]


def made(parts: Parts) -> dict[str, dict[str, Any]]:
    """The values of all of them."""
    return {name: part.make() for name, part in parts.items()}
