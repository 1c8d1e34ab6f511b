"""Statistics of paired runs: which side goes first, the ratio of each pair, its median, and how sure that median is.

Pure. Used by every measurement through `bench.result`.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A range that holds the true median with at least `confidence` (the exact probability, 0 to 1)."""

    low: float
    high: float
    confidence: float


def turn_order(sides: Sequence[str], round_number: int) -> tuple[str, ...]:
    """The order in which the sides run in one round: A B, then B A, then A B …

    With two sides this cancels what drifts evenly (heat, a neighbour's load); with more, each round also starts with
    another side, so that none always follows the same one.
    """
    turned = tuple(sides[(index + round_number // 2) % len(sides)] for index in range(len(sides)))
    return turned[::-1] if round_number % 2 else turned


def ratios(pairs: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """Ours divided by the peer's, pair by pair: the two runs of a pair shared the machine's mood of that minute."""
    return tuple(ours / peer for ours, peer in pairs)


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """The order-statistics interval of the median: exact for any distribution, and the same at every evaluation.

    Of n values, the k-th smallest and the k-th largest enclose the median with probability 1 - 2·P(B < k), where B is
    binomial (n, 1/2); k is the largest that still gives `confidence`. Fewer than 6 values can't give 95 %: None.
    Source: H. A. David, H. N. Nagaraja, Order Statistics, section 7.1.
    """
    ordered = sorted(values)
    count = len(ordered)
    depth, covered, below = 0, 0.0, 0.0
    while depth < count // 2:
        below += math.comb(count, depth) / 2**count
        if 1 - 2 * below < confidence:
            break
        depth, covered = depth + 1, 1 - 2 * below
    if depth == 0:
        return None
    return Interval(ordered[depth - 1], ordered[count - depth], covered)


def median(values: Sequence[float]) -> float:
    """The middle value; a `ValueError` where there is none."""
    if not values:
        raise ValueError("no pair was measured, so there is no median")
    return statistics.median(values)
