"""Starts the sides of a measurement: ours has to be there, a peer that is not is told of with its reason."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from bench.environments import NotInstalled
from bench.process import NotStarted
from bench.result import NotRun

Place = TypeVar("Place")
Side = TypeVar("Side")


def start_sides(
    starts: Mapping[str, Callable[[Place], Side]], place: Place, *, ours: str, what: str
) -> tuple[dict[str, Side], tuple[NotRun, ...]]:
    """All that can be started here, by name, and why the others can't; raises where `ours` can't."""
    sides: dict[str, Side] = {}
    not_run = []
    for name, start in starts.items():
        try:
            sides[name] = start(place)
        except (NotInstalled, NotStarted) as error:
            if name == ours:
                raise
            not_run.append(NotRun(name=f"{what}, beside {name}", why=str(error)))
    return sides, tuple(not_run)
