"""Which token comes next: `Sampler`, one for each text that is being written. Pure but for its own random numbers.

The order is that of transformers: penalties and biases on the logits, temperature, then what narrows the choice (the k
likeliest, the likeliest that make up p, those not much less likely than the best).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from berth_api.errors import BerthError

Logits = NDArray[np.float32]

# So many of the likeliest tokens are sorted at first; sixteen times as many where they do not make up p.
SORTED_AT_FIRST: Final = 256
SEED_BITS: Final = 64


class NoToken(BerthError):  # noqa: N818 - reads as what happened
    """There is no next token."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a request wants its tokens chosen; the values are those that leave the model's own choice alone.

    `temperature` 0 takes the likeliest. `top_k` 0 is all. `bias` is added to the logits of its tokens.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repeat_penalty: float = 1.0
    bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None


class Sampler:
    """Chooses the tokens of one text. `choice` tells apart the answers that a request with a seed wants several of."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int], *, choice: int = 0) -> None:
        self._sampling = sampling
        self._written: Counter[int] = Counter()
        self._seen = set(prompt) if sampling.repeat_penalty != 1 else set[int]()
        self._bias = _columns(sampling.bias)
        seed = None if sampling.seed is None else (sampling.seed + choice) % (1 << SEED_BITS)
        self._chance = np.random.default_rng(seed)

    def choose(self, logits: Logits) -> int:
        """The next token, by one row of logits; raises `NoToken` where there is none to choose."""
        scores = self._penalised(logits)
        best = int(scores.argmax())
        if not np.isfinite(scores[best]):
            raise NoToken("the model's numbers are not finite")
        token = best if self._sampling.temperature == 0 else self._draw(scores)
        self._written[token] += 1
        if self._sampling.repeat_penalty != 1:
            self._seen.add(token)
        return token

    def _penalised(self, logits: Logits) -> Logits:
        sampling = self._sampling
        scores = logits.astype(np.float32, copy=True)
        if sampling.repeat_penalty != 1:
            seen = np.fromiter((token for token in self._seen if token < len(scores)), np.int64)
            values, penalty = scores[seen], np.float32(max(sampling.repeat_penalty, 1e-3))
            scores[seen] = np.where(values > 0, values / penalty, values * penalty)
        if self._written and (sampling.presence_penalty or sampling.frequency_penalty):
            tokens, counts = _columns(self._written)
            scores[tokens] -= sampling.presence_penalty + sampling.frequency_penalty * counts
        tokens, biases = self._bias
        scores[tokens] += biases
        return scores

    def _draw(self, scores: Logits) -> int:
        sampling = self._sampling
        # Each token runs for a time by chance, the likelier the shorter, and the first one wins. Numbers that differ by
        # rounding alone, as they do from batch to batch, then choose the same by the same seed nearly always.
        times = self._chance.standard_exponential(len(scores), np.float32)
        shares = np.exp((scores - scores.max()) / np.float32(sampling.temperature))
        if 0 < sampling.top_k < len(scores):
            tokens = np.argpartition(scores, -sampling.top_k)[-sampling.top_k :]
            shares, times = shares[tokens], times[tokens]
        else:
            tokens = np.arange(len(scores))
        if sampling.top_p < 1:
            kept = _likeliest(shares / shares.sum(), sampling.top_p)
            tokens, shares, times = tokens[kept], shares[kept], times[kept]
        if sampling.min_p > 0:
            shares = np.where(shares >= sampling.min_p * shares.max(), shares, 0)
        return int(tokens[(shares / times).argmax()])


def _likeliest(shares: NDArray[np.float32], wanted: float) -> NDArray[np.int64]:
    """The fewest tokens that make up `wanted` of all, the likeliest first; never none."""
    count = min(SORTED_AT_FIRST, len(shares))
    while True:
        some = np.argpartition(shares, len(shares) - count)[-count:]
        some = some[np.argsort(-shares[some], kind="stable")]
        sums = shares[some].cumsum(dtype=np.float64)
        if sums[-1] >= wanted or count == len(shares):
            return some[: int(np.searchsorted(sums, wanted)) + 1]
        count = min(16 * count, len(shares))


def _columns(values: Mapping[int, float] | Mapping[int, int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    tokens = np.fromiter(values.keys(), np.int64, len(values))
    return tokens, np.fromiter(values.values(), np.float32, len(values))
