"""How many of a number of random choices may fall on one side before the weights are to be doubted."""

import math


def binomial_bounds(count: int, share: float, certainty: float) -> tuple[int, int]:
    """The narrowest bounds on the hits of `count` draws, with half of the uncertainty on either side."""
    chances = [
        math.exp(
            math.lgamma(count + 1)
            - math.lgamma(hits + 1)
            - math.lgamma(count - hits + 1)
            + hits * math.log(share)
            + (count - hits) * math.log1p(-share)
        )
        for hits in range(count + 1)
    ]
    tail = (1 - certainty) / 2
    low, below = 0, chances[0]
    while below <= tail:
        low += 1
        below += chances[low]
    high, above = count, chances[count]
    while above <= tail:
        high -= 1
        above += chances[high]
    return low, high
