"""From logits to scores and probabilities."""

import numpy as np
import pytest

from berth_runtime.engines.text_heads import probabilities, scores, sigmoid, softmax, token_probabilities

EXTREME = np.array([[-1e4, 0, 1e4]], np.float32)
MASK = np.array([[1, 1, 1], [1, 0, 0]])


def test_extreme_logits_stay_probabilities() -> None:
    assert sigmoid(EXTREME).tolist() == [[0, 0.5, 1]]
    assert softmax(EXTREME).tolist() == [[0, 0, 1]]


def test_a_score_is_the_sigmoid_of_one_logit_or_the_probability_of_the_second_of_two() -> None:
    assert scores(np.array([[0.0], [2.0]], np.float32), MASK)[:, 0] == pytest.approx([0.5, 1 / (1 + np.exp(-2))])
    two = scores(np.array([[1.0, 3.0], [3.0, 1.0]], np.float32), MASK)
    assert two.shape == (2, 1)
    assert two[:, 0] == pytest.approx([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))])


def test_classes_share_one_or_stand_each_by_itself() -> None:
    logits = np.array([[2.0, 2.0]], np.float32)
    assert probabilities(multi_label=False)(logits, MASK)[0] == pytest.approx([0.5, 0.5])
    assert probabilities(multi_label=True)(logits, MASK)[0] == pytest.approx([1 / (1 + np.exp(-2))] * 2)


def test_padding_gets_no_classes() -> None:
    logits = np.zeros((2, 3, 4), np.float32)
    assert [found.shape for found in token_probabilities(logits, MASK)] == [(3, 4), (1, 4)]
