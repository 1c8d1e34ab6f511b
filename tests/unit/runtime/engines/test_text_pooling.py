"""Pooling in numpy against the definitions written out in plain Python."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from berth_runtime.engines.text_pooling import normalize, pool
from berth_store.detect import Pooling

Vector = list[float]
Tokens = list[Vector]

WIDTH = 3
numbers = st.floats(-100, 100, width=32)
tokens = st.lists(st.lists(numbers, min_size=WIDTH, max_size=WIDTH), min_size=1, max_size=6)


def mean(vectors: Tokens, weights: Vector) -> Vector:
    return [sum(w * v[at] for w, v in zip(weights, vectors, strict=True)) / sum(weights) for at in range(WIDTH)]


# Each takes the vectors of the tokens that count, and the place of the first of them in the sequence.
DEFINITIONS: dict[Pooling, Callable[[Tokens, int], Vector]] = {
    Pooling.MEAN: lambda vectors, _: mean(vectors, [1.0] * len(vectors)),
    Pooling.LAST: lambda vectors, _: vectors[-1],
    Pooling.MAX: lambda vectors, _: [max(vector[at] for vector in vectors) for at in range(WIDTH)],
    Pooling.MEAN_SQRT_LENGTH: lambda vectors, _: [
        sum(vector[at] for vector in vectors) / math.sqrt(len(vectors)) for at in range(WIDTH)
    ],
    Pooling.WEIGHTED_MEAN: lambda vectors, first: mean(vectors, [first + at + 1.0 for at in range(len(vectors))]),
}


def padded(texts: list[Tokens]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The texts as one batch; padding is filled with a number that would show in every result."""
    hidden = np.full((len(texts), max(map(len, texts)), WIDTH), 1e6, dtype=np.float32)
    mask = np.zeros(hidden.shape[:2], dtype=np.int64)
    for row, text in enumerate(texts):
        hidden[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return hidden, mask


@pytest.mark.parametrize("pooling", DEFINITIONS)
@given(texts=st.lists(tokens, min_size=1, max_size=4))
def test_each_pooling_is_its_definition_and_never_sees_padding(pooling: Pooling, texts: list[Tokens]) -> None:
    expected = [DEFINITIONS[pooling](text, 0) for text in texts]
    np.testing.assert_allclose(pool(*padded(texts), pooling), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("pooling", DEFINITIONS)
@given(text=tokens, prompt=tokens)
def test_tokens_of_a_prompt_that_is_masked_take_no_part(pooling: Pooling, text: Tokens, prompt: Tokens) -> None:
    hidden, mask = padded([prompt + text])
    mask[:, : len(prompt)] = 0
    expected = [DEFINITIONS[pooling](text, len(prompt))]
    np.testing.assert_allclose(pool(hidden, mask, pooling), expected, rtol=1e-4, atol=1e-3)


@given(texts=st.lists(tokens, min_size=1, max_size=4))
def test_cls_is_the_vector_of_the_first_token(texts: list[Tokens]) -> None:
    np.testing.assert_array_equal(
        pool(*padded(texts), Pooling.CLS), np.array([text[0] for text in texts], dtype=np.float32)
    )


@given(vector=st.lists(numbers, min_size=WIDTH, max_size=WIDTH))
def test_normalisation_keeps_the_direction_and_makes_the_length_one(vector: Vector) -> None:
    length = math.sqrt(sum(number * number for number in vector))
    normalized = normalize(np.array([vector], dtype=np.float32))[0]
    if length > 1e-3:
        np.testing.assert_allclose(normalized * length, vector, rtol=1e-4, atol=1e-4)
    assert np.linalg.norm(normalized) <= 1.0001


def test_a_vector_of_zeros_stays_one_of_zeros() -> None:
    np.testing.assert_array_equal(normalize(np.zeros((1, 3), dtype=np.float32)), np.zeros((1, 3)))


def test_pooling_in_the_graph_is_not_done_again() -> None:
    with pytest.raises(ValueError, match="graph"):
        pool(*padded([[[1.0] * WIDTH]]), Pooling.IN_GRAPH)
