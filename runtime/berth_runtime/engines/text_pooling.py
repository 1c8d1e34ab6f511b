"""From the vectors of the tokens to the vector of the text, in numpy, as sentence-transformers defines each way.

For models whose graph ends with the tokens' vectors. Called by `berth_runtime.engines.text_heads`.
"""

import numpy as np
from numpy.typing import NDArray

from berth_store.detect import Pooling

Floats = NDArray[np.float32]
Mask = NDArray[np.int64]

# The floors of sentence-transformers' mean and of torch.nn.functional.normalize: a vector of zeros stays zeros.
SMALLEST_COUNT = 1e-9
SMALLEST_NORM = 1e-12


def pool(hidden: Floats, mask: Mask, pooling: Pooling) -> Floats:
    """Pool `hidden` (batch, sequence, width) over the tokens that `mask` (batch, sequence) keeps; (batch, width).

    Padding must stand on the right. `Pooling.IN_GRAPH` is no pooling of ours: a `ValueError`.
    """
    kept = mask.astype(np.float32)
    match pooling:
        case Pooling.CLS:
            return hidden[:, 0]
        case Pooling.LAST:
            # Counted from the end, because a prompt that takes no part is masked at the front.
            last = mask.shape[1] - 1 - np.argmax(mask[:, ::-1], axis=1)
            return _float32(hidden[np.arange(len(hidden)), last])
        case Pooling.MAX:
            return _float32(np.where(mask[:, :, None] != 0, hidden, np.float32("-inf")).max(axis=1))
        case Pooling.MEAN:
            return _weighted_mean(hidden, kept)
        case Pooling.MEAN_SQRT_LENGTH:
            return _float32(_weighted_sum(hidden, kept) / np.sqrt(_total(kept)))
        case Pooling.WEIGHTED_MEAN:
            places = np.arange(1, mask.shape[1] + 1, dtype=np.float32)
            return _weighted_mean(hidden, kept * places)
        case Pooling.IN_GRAPH:
            raise ValueError("the graph pools by itself")


def normalize(vectors: Floats) -> Floats:
    """Scale each row to length 1."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return _float32(vectors / np.maximum(lengths, np.float32(SMALLEST_NORM)))


def _weighted_mean(hidden: Floats, weights: Floats) -> Floats:
    return _float32(_weighted_sum(hidden, weights) / _total(weights))


def _weighted_sum(hidden: Floats, weights: Floats) -> Floats:
    return _float32(np.einsum("bsw,bs->bw", hidden, weights))


def _total(weights: Floats) -> Floats:
    return _float32(np.maximum(weights.sum(axis=1, keepdims=True), np.float32(SMALLEST_COUNT)))


def _float32(values: object) -> Floats:
    """The same array to the type checker: numpy's own types lose the precision on the way."""
    return np.asarray(values, dtype=np.float32)
