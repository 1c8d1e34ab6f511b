"""From the classes of a text's tokens to the entities in it: `entities_of`. Pure.

Two ways, both as the token classification pipeline of transformers defines them. `simple` takes each token's own class.
`first` gives a word the class of its first token, so that no entity ends within a word: most models were trained on
first tokens alone, and what they say of the others means nothing. Neighbours of one class become one entity, unless the
later one begins another (`B-`); its score is the mean of theirs. What is of the class `O` is no entity.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from berth_runtime.engines.text_shape import Floats
from berth_runtime.engines.text_tokens import Span

OUTSIDE = "O"


class Aggregation(StrEnum):
    """How tokens become entities."""

    FIRST = "first"
    SIMPLE = "simple"


@dataclass(slots=True)
class _Piece:
    """A token, or a word."""

    label: str
    score: float
    start: int
    end: int

    @property
    def begins(self) -> bool:
        return self.label.startswith("B-")

    @property
    def kind(self) -> str:
        return self.label[2:] if self.label.startswith(("B-", "I-")) else self.label


Entity = dict[str, str | float | int]


def entities_of(
    text: str, spans: Sequence[Span | None], found: Floats, labels: Sequence[str], aggregation: Aggregation
) -> list[Entity]:
    """The entities in `text`, in order; `found` has the probabilities (tokens, labels) of the tokens at `spans`."""
    pieces = _pieces(spans, found, labels, whole_words=aggregation is Aggregation.FIRST)
    entities = (_entity(text, group) for group in _groups(pieces))
    return [entity for entity in entities if entity["label"] != OUTSIDE]


def _pieces(
    spans: Sequence[Span | None], found: Floats, labels: Sequence[str], *, whole_words: bool
) -> Iterator[_Piece]:
    best = found.argmax(axis=1)
    word: _Piece | None = None
    for row, span in enumerate(spans):
        if span is None:
            continue
        if word is not None and whole_words and span.continues:
            word.end = span.end
            continue
        if word is not None:
            yield word
        index = int(best[row])
        word = _Piece(labels[index], float(found[row, index]), span.start, span.end)
    if word is not None:
        yield word


def _groups(pieces: Iterator[_Piece]) -> Iterator[list[_Piece]]:
    group: list[_Piece] = []
    for piece in pieces:
        if group and (piece.begins or piece.kind != group[-1].kind):
            yield group
            group = []
        group.append(piece)
    if group:
        yield group


def _entity(text: str, group: Sequence[_Piece]) -> Entity:
    start, end = group[0].start, group[-1].end
    score = float(np.mean([piece.score for piece in group]))
    # The pipeline also cuts a label without B- or I- at its first hyphen; here such a label stays whole.
    return {"label": group[0].kind, "score": score, "start": start, "end": end, "text": text[start:end]}
