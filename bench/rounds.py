"""Run the sides of a measurement in turns until there are enough rounds or the time is up. Used by every bench."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bench.load import BadAnswer
from bench.pairs import turn_order
from bench.result import Round, Sample

MINIMUM_PAIRS = 10


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How many rounds to take, and the seconds after which no further one starts."""

    pairs: int = 12
    limit_seconds: float = 300.0

    def part(self, share: float) -> "Effort":
        """As many rounds in a share of the time."""
        return replace(self, limit_seconds=self.limit_seconds * share)


def run_rounds(sides: Mapping[str, Callable[[], Sample]], effort: Effort, *, label: str) -> tuple[Round, ...]:
    """One discarded run of each side, then rounds in changing order. At least one round is taken."""
    deadline = time.monotonic() + effort.limit_seconds
    for side in sides:
        _run(side, sides)
    rounds: list[Round] = []
    for number in range(effort.pairs):
        samples = {side: _run(side, sides) for side in turn_order(tuple(sides), number)}
        rounds.append(samples)
        _say(label, number + 1, effort.pairs, samples)
        if time.monotonic() > deadline:
            break
    return tuple(rounds)


def _run(side: str, sides: Mapping[str, Callable[[], Sample]]) -> Sample:
    try:
        return sides[side]()
    except BadAnswer as error:
        raise BadAnswer(f"{side}: {error}") from error


def _say(label: str, number: int, of: int, samples: Round) -> None:
    first_metrics = ", ".join(f"{side} {next(iter(samples[side].values())):.4g}" for side in sorted(samples))
    print(f"{label} {number}/{of}: {first_metrics}", file=sys.stderr, flush=True)
