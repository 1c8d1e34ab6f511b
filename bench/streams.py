"""What the benches of tokens share: so many streams at once, each number of them in its share of the time."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from bench.load import BadAnswer
from bench.result import Round, Sample
from bench.rounds import Effort, run_rounds


def run_streams(
    sides: Mapping[str, Callable[[int], Sample]], numbers: Collection[int], effort: Effort
) -> dict[str, tuple[Round, ...]]:
    """The rounds of each number of streams, under its label; `sides` are asked with the number.

    What time one number leaves of its share, the next ones have.
    """
    deadline = time.monotonic() + effort.limit_seconds
    found = {}
    for index, streams in enumerate(numbers):
        share = replace(effort, limit_seconds=(deadline - time.monotonic()) / (len(numbers) - index))
        asked = {name: partial(measure, streams) for name, measure in sides.items()}
        found[label(streams)] = run_rounds(asked, share, label=label(streams))
    return found


def check_tokens(counts: Sequence[int], wanted: int) -> int:
    """The tokens of a run; a stream that ended early would make one side do other work than the other."""
    if sum(counts) != wanted:
        raise BadAnswer(f"{sum(counts)} tokens instead of {wanted}: {counts}")
    return wanted


def describe_tokens(tokens_of_each: Mapping[int, int]) -> str:
    """How many tokens each stream generates, for the settings of a result."""
    return ", ".join(f"{tokens} at {label(streams)}" for streams, tokens in tokens_of_each.items())


def label(streams: int) -> str:
    """A number of streams in words."""
    return f"{streams} stream" + ("s" if streams > 1 else "")
