"""Numbers become probabilities, and steps along a line become its text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from berth_runtime.engines.vision_scores import ScoreForm, probabilities, read_line, score_form, sigmoid, softmax

CHARACTERS = ("", "a", "b", " ")


def test_a_softmax_inside_the_graph_is_seen() -> None:
    logits = np.array([[1, 2, 3]], np.float32)
    done = softmax(logits)
    assert score_form([logits, logits], multi_label=False) is ScoreForm.LOGITS
    assert score_form([done, done], multi_label=False) is ScoreForm.PROBABILITIES
    assert score_form([done.astype(np.float16).astype(np.float32)], multi_label=False) is ScoreForm.PROBABILITIES
    assert score_form([done, logits], multi_label=False) is ScoreForm.LOGITS
    assert score_form([logits], multi_label=True) is ScoreForm.INDEPENDENT
    np.testing.assert_array_equal(probabilities(done, ScoreForm.PROBABILITIES), done)


@given(arrays(np.float32, (3, 5), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_probabilities_are_some_whatever_the_logits(logits: np.ndarray) -> None:
    for form in (ScoreForm.LOGITS, ScoreForm.INDEPENDENT):
        found = probabilities(logits, form)
        assert (found >= 0).all()
        assert (found <= 1).all()
    np.testing.assert_allclose(softmax(logits).sum(axis=1), 1, rtol=1e-5)


def test_sigmoid_is_the_formula() -> None:
    values = np.array([-90, -2, 0, 2, 90], np.float32)
    np.testing.assert_allclose(sigmoid(values), 1 / (1 + np.exp(-values.astype(np.float64))), rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize(
    ("best", "text"),
    [
        ([1, 1, 2], "ab"),
        ([1, 0, 1], "aa"),
        ([0, 1, 3, 2, 3, 0], "a b"),
        ([0, 0, 0], ""),
        ([3, 3, 3], ""),
        ([2], "b"),
    ],
)
def test_a_line_is_read_without_blanks_and_repetitions(best: list[int], text: str) -> None:
    steps = np.full((len(best), 4), 0.05, np.float32)
    steps[np.arange(len(best)), best] = 0.85
    assert read_line(steps, CHARACTERS) == (text, pytest.approx(0.85) if text else 0.0)


def test_the_score_is_the_mean_of_the_characters_that_are_read() -> None:
    steps = np.array([[0.1, 0.9, 0, 0], [0.4, 0.6, 0, 0], [0.99, 0.01, 0, 0], [0.2, 0, 0.8, 0]], np.float32)
    assert read_line(steps, CHARACTERS) == ("ab", pytest.approx((0.9 + 0.8) / 2))
