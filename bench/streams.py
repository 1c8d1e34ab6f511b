"""What the benches of tokens share: so many streams at once, each number of them with its share of the time."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from bench.load import BadAnswer
from bench.result import Round, Sample
from bench.rounds import Effort, run_rounds


def run_streams(
    sides: Mapping[str, Callable[[int], Sample]], numbers: Collection[int], effort: Effort
) -> dict[str, tuple[Round, ...]]:
    """The rounds of each number of streams, under its label; `sides` are asked with the number."""
    share = effort.part(1 / len(numbers))
    return {
        label(streams): run_rounds(
            {name: partial(measure, streams) for name, measure in sides.items()}, share, label=label(streams)
        )
        for streams in numbers
    }


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
