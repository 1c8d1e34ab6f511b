"""From a detector's numbers to boxes, scores and classes. Pure.

Three forms are read: queries (DETR, YOLOS, RT-DETR and their kin as transformers exports them), anchors (Ultralytics),
and finished boxes (Ultralytics, exported with the selection inside). Corners are left, top, right, bottom in the
tensor's pixels; what is found comes best first.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from berth_runtime.engines.vision_scores import Scores, sigmoid, softmax

Corners = NDArray[np.float64]
Indices = NDArray[np.intp]

MAX_OBJECTS: Final = 300
# Beyond these, boxes are too unlikely to be worth comparing with each other.
MAX_CANDIDATES: Final = 10_000
# Ultralytics' own limit: of two boxes of one class that share more, the less likely is the same object again.
MAX_OVERLAP: Final = 0.7


@dataclass(frozen=True, slots=True)
class Found:
    """Boxes (n, 4), and for each its score and class."""

    corners: Corners
    scores: Scores
    classes: Indices


def read_queries(logits: Scores, boxes: Scores, *, exclusive: bool, size: tuple[int, int], threshold: float) -> Found:
    """What (queries, classes) logits and (queries, 4) boxes say; boxes are centre and size in shares of the tensor.

    With `exclusive` classes the last one means "no object", and each query is one object; else each class of each query
    may be one. `size` is the tensor's (width, height).
    """
    if exclusive:
        shares = softmax(logits)[:, :-1]
        classes = shares.argmax(axis=1)
        scores = shares[np.arange(len(shares)), classes]
        queries = np.arange(len(shares))
    else:
        queries, classes = (index.ravel() for index in np.indices(logits.shape))
        scores = sigmoid(logits).ravel()
    best = _likeliest(scores, threshold, MAX_OBJECTS)
    scale = np.array([*size, *size], dtype=np.float64)
    return Found(_corners(boxes[queries[best]] * scale), scores[best], classes[best])


def read_anchors(rows: Scores, *, threshold: float) -> Found:
    """What (4 + classes, anchors) say: centre and size in the tensor's pixels, then a probability for each class."""
    shares = rows[4:]
    classes = shares.argmax(axis=0)
    scores = shares[classes, np.arange(shares.shape[1])]
    best = _likeliest(scores, threshold, MAX_CANDIDATES)
    corners = _corners(rows[:4].T[best].astype(np.float64))
    kept = suppress(corners, classes[best])
    return Found(corners[kept], scores[best][kept], classes[best][kept])


def read_finished(rows: Scores, *, threshold: float) -> Found:
    """What (n, 6) say: the corners, the score and the class."""
    best = _likeliest(rows[:, 4], threshold, MAX_OBJECTS)
    return Found(rows[best, :4].astype(np.float64), rows[best, 4], rows[best, 5].astype(np.intp))


def suppress(corners: Corners, classes: Indices, *, overlap: float = MAX_OVERLAP, most: int = MAX_OBJECTS) -> Indices:
    """Which boxes to keep of those that come best first: none that overlaps a kept one of its class by more."""
    kept: list[int] = []
    left = np.arange(len(corners))
    while len(left) and len(kept) < most:
        best, rest = int(left[0]), left[1:]
        kept.append(best)
        same = (classes[rest] == classes[best]) & (shares(corners[best], corners[rest]) > overlap)
        left = rest[~same]
    return np.array(kept, dtype=np.intp)


def shares(box: Corners, others: Corners) -> Corners:
    """Intersection over union of a box with each of the others; 0 where both are empty."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = sides.clip(0).prod(axis=1)
    union = (box[2:] - box[:2]).clip(0).prod() + (others[:, 2:] - others[:, :2]).clip(0).prod(axis=1) - common
    found: Corners = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return found


def _likeliest(scores: Scores, threshold: float, most: int) -> Indices:
    """The best first; of equal ones the first."""
    enough = np.flatnonzero(scores >= threshold)
    return enough[np.argsort(-scores[enough], kind="stable")[:most]]


def _corners(boxes: Corners) -> Corners:
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
