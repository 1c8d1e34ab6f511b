"""From a classifier's numbers to probabilities, and from a recogniser's to a text. Pure."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Outputs = Mapping[str, Scores]
"""A model's outputs by name; the first dimension is the picture's."""

# Of a row of probabilities in float16; the sum of a row of logits comes so near 1 by no accident.
SUM_TOLERANCE: Final = 5e-3
BLANK: Final = 0


class ScoreForm(StrEnum):
    """What the numbers of a row are."""

    LOGITS = "logits"  # of classes that exclude one another
    INDEPENDENT = "independent"  # logits of classes that don't
    PROBABILITIES = "probabilities"  # the graph ends with its own softmax


def score_form(samples: Sequence[Scores], *, multi_label: bool) -> ScoreForm:
    """The form of a graph whose rows (last dimension) for some pictures are the samples.

    Some exporters leave the softmax inside the graph, and no header says so.
    """
    if all(_are_probabilities(sample) for sample in samples):
        return ScoreForm.PROBABILITIES
    return ScoreForm.INDEPENDENT if multi_label else ScoreForm.LOGITS


def _are_probabilities(scores: Scores) -> bool:
    sums = scores.sum(axis=-1, dtype=np.float64)
    return bool((scores >= 0).all() and (np.abs(sums - 1) <= SUM_TOLERANCE).all())


def probabilities(scores: Scores, form: ScoreForm) -> Scores:
    """Each in 0..1, along the last dimension."""
    match form:
        case ScoreForm.PROBABILITIES:
            return scores.clip(0, 1)
        case ScoreForm.INDEPENDENT:
            return sigmoid(scores)
        case ScoreForm.LOGITS:
            return softmax(scores)


def softmax(logits: Scores) -> Scores:
    """Along the last dimension."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Scores = powers / powers.sum(axis=-1, keepdims=True)
    return shares.clip(0, 1)


def sigmoid(logits: Scores) -> Scores:
    """Number by number; the clip keeps the power within float32 and changes no result."""
    values: Scores = 1 / (1 + np.exp(-logits.clip(-80, 80)))
    return values


def read_line(steps: Scores, characters: Sequence[str]) -> tuple[str, float]:
    """The text in (steps, characters) probabilities, and the mean probability of its characters; 0 for no text.

    Greedy reading of "Connectionist Temporal Classification" (Graves 2006): the likeliest at each step, repetitions
    joined, blanks (the first character) left out. White space at the ends is the margin's, not the line's.
    """
    best = steps.argmax(axis=-1)
    begins = np.ones(len(best), dtype=bool)
    begins[1:] = best[1:] != best[:-1]
    kept = np.flatnonzero(begins & (best != BLANK))
    text = "".join(characters[index] for index in best[kept]).strip()
    score = float(steps[kept, best[kept]].mean(dtype=np.float64)) if text else 0.0
    return text, min(1.0, max(0.0, score))
