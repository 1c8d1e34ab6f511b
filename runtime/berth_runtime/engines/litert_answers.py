"""From the outputs of a TFLite model to what clients read: probabilities of classes, or objects. Pure.

Boxes are left, top, right, bottom in the tensor's pixels, until `Placement` brings them back to the picture's own.
What an answer is made of has to be finite; what an output holds besides may be anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from berth_runtime.engines.litert_graph import Numbers, Outputs
from berth_runtime.engines.pictures import Prepared
from berth_store.detect.tflite_task import FaceGrid, FaceOutputs, SsdOutputs
from berth_store.headers.tflite import TfliteTensor

Boxes = NDArray[np.float64]
Scores = NDArray[np.float64]

DEFAULT_THRESHOLD: Final = 0.5
# The same bounds as in MediaPipe's graphs for its face detectors.
MAX_RAW_SCORE: Final = 100.0
MIN_OVERLAP: Final = 0.3
MAX_OBJECTS: Final = 300


class NotFiniteError(ArithmeticError):
    """A model's answer holds values that are no numbers."""


@dataclass(frozen=True)
class Found:
    """What a detector saw, the best first: boxes (n, 4), scores, and the numbers of classes."""

    boxes: Boxes
    scores: Scores
    classes: NDArray[np.intp]


def probabilities(outputs: Outputs, output: TfliteTensor) -> Numbers:
    """One for each class. They are computed only where the graph does not end in probabilities already."""
    scores = finite(outputs[output.index].reshape(-1))
    if output.made_by not in ("SOFTMAX", "LOGISTIC"):
        if len(scores) == 1:
            scores = sigmoid(scores)
        else:
            powers = np.exp(scores - scores.max())
            scores = powers / powers.sum()
    return np.clip(scores, 0.0, 1.0).astype("<f4")


def read_ssd(outputs: Outputs, places: SsdOutputs, size: tuple[int, int], threshold: float) -> Found:
    """What TFLite_Detection_PostProcess found in a tensor of `size` (width, height).

    Beyond the number that it states, its outputs hold what is left of earlier pictures, or lay in that memory before.
    """
    stated = finite(outputs[places.count.index].reshape(-1))
    count = max(0, int(stated[0])) if len(stated) else 0
    scores = finite(outputs[places.scores.index].reshape(-1)[:count])
    top_first = finite(outputs[places.boxes.index].reshape(-1, 4)[:count])
    classes = finite(outputs[places.classes.index].reshape(-1)[:count])
    best = _best(scores, threshold)
    boxes = top_first[best][:, [1, 0, 3, 2]] * np.array([*size, *size], dtype=np.float64)
    return Found(boxes, scores[best], np.rint(classes[best]).astype(np.intp))


def read_faces(outputs: Outputs, places: FaceOutputs, threshold: float) -> Found:
    """What a face detector of MediaPipe says of each anchor, and of those that see the same face, their mean."""
    values = finite(outputs[places.values.index].reshape(places.grid.anchors, -1))
    raw = finite(outputs[places.scores.index].reshape(-1))
    scores = sigmoid(np.clip(raw, -MAX_RAW_SCORE, MAX_RAW_SCORE))
    best = _best(scores, threshold)
    centres = values[best, 0:2] + anchor_centres(places.grid)[best]
    half = values[best, 2:4] / 2
    boxes, kept = _merged(np.concatenate([centres - half, centres + half], axis=1), scores[best])
    return Found(boxes, scores[best][kept], np.zeros(len(kept), dtype=np.intp))


def anchor_centres(grid: FaceGrid) -> NDArray[np.float64]:
    """The centre (x, y) of each anchor in the tensor's pixels, in the model's order: by layer, row, column."""
    layers = []
    for edge, count in grid.cells:
        middles = (np.arange(grid.size // edge) + 0.5) * edge
        rows, columns = np.meshgrid(middles, middles, indexing="ij")
        layers.append(np.repeat(np.stack([columns, rows], axis=-1).reshape(-1, 2), count, axis=0))
    return np.concatenate(layers)


def describe(found: Found, prepared: Prepared, labels: Sequence[str]) -> dict[str, Any]:
    """One picture of an answer."""
    placement = prepared.placement
    objects = []
    for box, score, number in zip(placement.to_picture(found.boxes), found.scores, found.classes, strict=True):
        left, top, right, bottom = (float(edge) for edge in box)
        objects.append(
            {
                "label": labels[number] if 0 <= number < len(labels) else f"LABEL_{number}",
                "score": float(min(max(score, 0.0), 1.0)),
                "box": {"x": left, "y": top, "width": max(0.0, right - left), "height": max(0.0, bottom - top)},
            }
        )
    return {"width": placement.width, "height": placement.height, "objects": objects}


def finite(values: Numbers) -> NDArray[np.float64]:
    """The same values. Raises `NotFiniteError` unless all are numbers."""
    if not np.isfinite(values).all():
        raise NotFiniteError
    return values.astype(np.float64)


def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logistic function, for any value."""
    powers = np.exp(-np.abs(values))
    return np.where(values >= 0, 1 / (1 + powers), powers / (1 + powers))


def _best(scores: Scores, threshold: float) -> NDArray[np.intp]:
    """The best first; of equal ones the first."""
    enough = np.flatnonzero(scores >= threshold)
    return enough[np.argsort(-scores[enough], kind="stable")][:MAX_OBJECTS]


def _merged(boxes: Boxes, scores: Scores) -> tuple[Boxes, NDArray[np.intp]]:
    """Boxes that overlap become their mean, weighted by their scores, and it has the best one's score.

    Source: the algorithm WEIGHTED of MediaPipe's NonMaxSuppressionCalculator.
    """
    left, kept, means = np.arange(len(boxes)), [], []
    while len(left):
        same = _overlaps(boxes[left[0]], boxes[left]) > MIN_OVERLAP
        same[0] = True
        kept.append(left[0])
        means.append(np.average(boxes[left[same]], axis=0, weights=scores[left[same]]))
        left = left[~same]
    return np.array(means, dtype=np.float64).reshape(-1, 4), np.array(kept, dtype=np.intp)


def _overlaps(box: Boxes, others: Boxes) -> Scores:
    """Intersection over union of a box with each of the others."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = sides.clip(0).prod(axis=1)
    union = (box[2:] - box[:2]).clip(0).prod() + (others[:, 2:] - others[:, :2]).clip(0).prod(axis=1) - common
    share: Scores = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return share
