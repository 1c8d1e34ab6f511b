"""From numbers to boxes: each form of output by hand-made examples, and what holds for any boxes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from berth_runtime.engines.vision_boxes import (
    MAX_OBJECTS,
    Found,
    read_anchors,
    read_finished,
    read_queries,
    shares,
    suppress,
)


def queries(exclusive: bool, threshold: float = 0.5) -> Found:
    logits = np.array([[4, 0, 0], [0, 0, 9], [0, 3, 0]], np.float32)
    boxes = np.array([[0.5, 0.5, 0.5, 1], [0.1, 0.1, 0.1, 0.1], [0.25, 0.5, 0.5, 0.2]], np.float32)
    return read_queries(
        logits if exclusive else logits[:, :2], boxes, exclusive=exclusive, size=(200, 100), threshold=threshold
    )


def test_queries_whose_last_class_is_none_are_left_out() -> None:
    found = queries(exclusive=True)
    np.testing.assert_array_equal(found.classes, [0, 1])
    np.testing.assert_allclose(found.scores, [np.exp(4) / (np.exp(4) + 2), np.exp(3) / (np.exp(3) + 2)], rtol=1e-6)
    np.testing.assert_allclose(found.corners, [[50, 0, 150, 100], [0, 40, 100, 60]], atol=1e-4)


def test_classes_that_exclude_nothing_are_objects_each() -> None:
    found = queries(exclusive=False, threshold=0.4)
    assert list(zip(found.classes, found.scores.round(3), strict=True)) == [
        (0, pytest.approx(0.982)),
        (1, pytest.approx(0.953)),
        (1, 0.5),
        (0, 0.5),
        (1, 0.5),
        (0, 0.5),
    ]
    assert len(queries(exclusive=False, threshold=0.6).scores) == 2


def test_of_two_anchors_on_one_object_the_likelier_stays() -> None:
    rows = np.array(
        [
            # centre and size, two classes
            [50, 50, 20, 20, 0.8, 0.1],
            [51, 50, 20, 20, 0.9, 0.1],
            [51, 50, 20, 20, 0.1, 0.7],
            [90, 50, 20, 20, 0.6, 0.1],
            [10, 10, 20, 20, 0.2, 0.2],
        ],
        np.float32,
    ).T
    found = read_anchors(rows, threshold=0.25)
    np.testing.assert_array_equal(found.classes, [0, 1, 0])
    np.testing.assert_allclose(found.scores, [0.9, 0.7, 0.6])
    np.testing.assert_allclose(found.corners[0], [41, 40, 61, 60])


def test_finished_boxes_are_taken_as_they_are() -> None:
    rows = np.array([[1, 2, 3, 4, 0.3, 1], [5, 6, 7, 8, 0.9, 0], [0, 0, 0, 0, 0, 0]], np.float32)
    found = read_finished(rows, threshold=0.25)
    np.testing.assert_array_equal(found.classes, [0, 1])
    np.testing.assert_allclose(found.corners, [[5, 6, 7, 8], [1, 2, 3, 4]])


def test_nothing_that_is_sure_enough_is_nothing() -> None:
    found = read_anchors(np.zeros((6, 100), np.float32), threshold=0.25)
    assert (found.corners.shape, found.scores.shape) == ((0, 4), (0,))


def test_a_threshold_of_zero_answers_with_a_bounded_list() -> None:
    chance = np.random.default_rng(0)
    rows = np.concatenate([chance.uniform(0, 640, (2, 8400)), np.ones((2, 8400)), chance.random((80, 8400))])
    assert len(read_anchors(rows.astype(np.float32), threshold=0.0).scores) == MAX_OBJECTS
    logits, boxes = chance.normal(size=(300, 80)).astype(np.float32), chance.random((300, 4)).astype(np.float32)
    assert len(read_queries(logits, boxes, exclusive=False, size=(9, 9), threshold=0.0).scores) == MAX_OBJECTS


@st.composite
def boxes(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Boxes on a small grid, so that many overlap, with their classes."""
    edges = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(0, 6)] * 2, st.integers(0, 2))
    found = np.array(draw(st.lists(edges, min_size=1, max_size=40)))
    corners = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:4]], axis=1).astype(np.float64)
    return corners, found[:, 4].astype(np.intp)


def brute_share(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Intersection over union by counting the cells of the grid."""
    grid = np.zeros((2, 20, 20), bool)
    for each, (left, top, right, bottom) in zip(grid, (a, b), strict=True):
        each[int(top) : int(bottom), int(left) : int(right)] = True
    union = (grid[0] | grid[1]).sum()
    return float((grid[0] & grid[1]).sum() / union) if union else 0.0


@given(boxes())
@settings(max_examples=200, deadline=None)
def test_shares_are_those_that_counting_gives(found: tuple[NDArray[np.float64], NDArray[np.intp]]) -> None:
    corners, _ = found
    counted = [brute_share(corners[0], each) for each in corners]
    np.testing.assert_allclose(shares(corners[0], corners), counted)


@given(boxes(), st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]))
@settings(max_examples=300, deadline=None)
def test_suppression_keeps_what_the_definition_keeps(
    found: tuple[NDArray[np.float64], NDArray[np.intp]], overlap: float
) -> None:
    corners, classes = found
    kept: list[int] = []
    for index in range(len(corners)):
        rivals = [each for each in kept if classes[each] == classes[index]]
        if all(brute_share(corners[each], corners[index]) <= overlap for each in rivals):
            kept.append(index)
    assert suppress(corners, classes, overlap=overlap).tolist() == kept
