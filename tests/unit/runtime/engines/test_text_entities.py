"""Tokens become entities. What transformers says of whole models is in test_text_tasks.py; here are the rules."""

from collections.abc import Sequence

import numpy as np
import pytest

from berth_runtime.engines.text_entities import Aggregation, entities_of
from berth_runtime.engines.text_tokens import Span

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "two-part")


def found(
    *labels: str, words: Sequence[int] | None = None, way: Aggregation = Aggregation.SIMPLE
) -> list[tuple[str, str]]:
    """Label and text of the entities in "abcdef…", each letter a token; `words` are the letters that begin a word."""
    text = "abcdefghij"[: len(labels)]
    begins = range(len(labels)) if words is None else words
    spans = [None, *(Span(at, at + 1, at not in begins) for at in range(len(labels))), None]
    probabilities = np.full((len(labels) + 2, len(LABELS)), 0.1, np.float32)
    probabilities[0, 1] = probabilities[-1, 1] = 0.9  # what is said of marks does not count
    for at, label in enumerate(labels, start=1):
        probabilities[at, LABELS.index(label)] = 0.5 + at / 100
    return [(str(each["label"]), str(each["text"])) for each in entities_of(text, spans, probabilities, LABELS, way)]


@pytest.mark.parametrize(
    ("labels", "entities"),
    [
        (["B-PER", "I-PER", "O", "B-LOC"], [("PER", "ab"), ("LOC", "d")]),
        (["B-PER", "B-PER"], [("PER", "a"), ("PER", "b")]),
        (["I-PER", "I-PER", "I-LOC"], [("PER", "ab"), ("LOC", "c")]),
        (["B-PER", "I-LOC", "I-PER"], [("PER", "a"), ("LOC", "b"), ("PER", "c")]),
        (["O", "O"], []),
        (["two-part", "two-part", "O"], [("two-part", "ab")]),
    ],
)
def test_neighbours_of_one_class_are_one_entity_unless_another_begins(
    labels: list[str], entities: list[tuple[str, str]]
) -> None:
    assert found(*labels) == entities


def test_a_word_is_what_its_first_token_is() -> None:
    labels = ("B-PER", "O", "B-LOC", "I-PER", "B-LOC", "O")
    words = (0, 3, 4)
    assert found(*labels, words=words, way=Aggregation.FIRST) == [("PER", "abcd"), ("LOC", "ef")]
    assert found(*labels, words=words) == [("PER", "a"), ("LOC", "c"), ("PER", "d"), ("LOC", "e")]


def test_the_score_of_an_entity_is_the_mean_of_its_parts() -> None:
    spans = [Span(0, 1, continues=False), Span(1, 2, continues=False)]
    probabilities = np.array([[0, 0.6, 0, 0, 0, 0], [0, 0, 0.8, 0, 0, 0]], np.float32)
    (entity,) = entities_of("ab", spans, probabilities, LABELS, Aggregation.FIRST)
    assert entity["score"] == pytest.approx(0.7)
    assert (entity["start"], entity["end"]) == (0, 2)


def test_a_text_without_tokens_has_no_entities() -> None:
    assert found() == []
