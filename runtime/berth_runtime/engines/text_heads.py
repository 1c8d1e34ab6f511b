"""From what a graph says of a batch to each sequence's result, in numpy: vectors, scores, probabilities.

Each function makes a `Head` of `berth_runtime.engines.text_shape`.
"""

from collections.abc import Sequence

import numpy as np

from berth_runtime.engines.text_pooling import normalize, pool
from berth_runtime.engines.text_shape import Floats, Head, Mask
from berth_store.detect import Pooling


def vectors(pooling: Pooling, *, normalized: bool, skip_tokens: int = 0) -> Head:
    """The vector of each text; `skip_tokens` at the front take no part in the pooling."""

    def head(found: Floats, mask: Mask) -> Floats:
        if pooling is not Pooling.IN_GRAPH:
            pooled_mask = mask.copy()
            pooled_mask[:, :skip_tokens] = 0
            found = pool(found, pooled_mask, pooling)
        return normalize(found) if normalized else found

    return head


def scores(logits: Floats, mask: Mask) -> Floats:  # noqa: ARG001 - the form of a head
    """One score, 0 to 1, for each pair: the sigmoid of a single logit, or the probability of the second of two."""
    return sigmoid(logits) if logits.shape[1] == 1 else softmax(logits)[:, 1:2]


def probabilities(*, multi_label: bool) -> Head:
    """The probability of each class of each text."""
    return lambda logits, mask: sigmoid(logits) if multi_label else softmax(logits)  # noqa: ARG005


def token_probabilities(logits: Floats, mask: Mask) -> Sequence[Floats]:
    """The probabilities of the classes of each token, (tokens, labels) for each text."""
    return [softmax(row[:length]) for row, length in zip(logits, mask.sum(axis=1), strict=True)]


def sigmoid(logits: Floats) -> Floats:
    """Of each number by itself; by the hyperbolic tangent, which does not overflow."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * logits), dtype=np.float32)


def softmax(logits: Floats) -> Floats:
    """Over the last dimension."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float32)
