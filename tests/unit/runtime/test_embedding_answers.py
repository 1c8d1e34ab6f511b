"""A vector that is cut is a vector of length 1 again."""

import numpy as np
import pytest
from matrices import rows

from berth_runtime.engines.protocol import Rows
from berth_runtime.openai.embeddings import cut_embeddings


def matrix(result: Rows) -> list[list[float]]:
    found: list[list[float]] = np.frombuffer(result.values, dtype="<f4").reshape(-1, result.columns).tolist()
    return found


def test_the_first_numbers_stay_and_have_the_length_1() -> None:
    cut = cut_embeddings(rows([3, 4, 5], [0, -2, 9]), 2)
    assert (cut.columns, cut.prompt_tokens) == (2, 7)
    assert matrix(cut) == [[pytest.approx(0.6), pytest.approx(0.8)], [0, -1]]


def test_a_vector_of_which_nothing_is_left_stays_nothing() -> None:
    assert matrix(cut_embeddings(rows([0, 0, 1]), 2)) == [[0, 0]]
