"""From the numbers of a TFLite model to classes, boxes and faces: pure."""

from pathlib import Path

import numpy as np
import pytest
import tflite_builders
from numpy.typing import NDArray

from berth_runtime.engines.litert_answers import (
    Found,
    NotFiniteError,
    anchor_centres,
    describe,
    probabilities,
    read_faces,
    read_ssd,
)
from berth_runtime.engines.litert_graph import as_numbers
from berth_runtime.engines.litert_memory import how_many
from berth_runtime.engines.litert_model import as_input, with_channels
from berth_runtime.engines.pictures import Placement, Prepared
from berth_store.detect.tflite_task import FACE_GRIDS, FaceOutputs, SsdOutputs, ssd_outputs
from berth_store.headers.tflite import TfliteTensor, read_tflite

MIB = 1 << 20


def tensor(index: int = 0, shape: tuple[int, ...] = (1, 3), kind: str = "FLOAT32", **more: object) -> TfliteTensor:
    return TfliteTensor(index, "t", shape, shape, kind, **more)  # type: ignore[arg-type]


def numbers(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


@pytest.mark.parametrize("made_by", ["SOFTMAX", "LOGISTIC"])
def test_probabilities_stay_what_they_are(made_by: str) -> None:
    found = probabilities({0: numbers([0.9, 0.7, 0.1])}, tensor(made_by=made_by))  # type: ignore[arg-type]
    np.testing.assert_allclose(found, [0.9, 0.7, 0.1], rtol=1e-6)


@pytest.mark.parametrize("made_by", ["9", "LOG_SOFTMAX", ""])
def test_other_scores_become_probabilities(made_by: str) -> None:
    logs = np.log(np.array([[0.2, 0.5, 0.3]], np.float32))
    np.testing.assert_allclose(probabilities({0: logs + 1000}, tensor(made_by=made_by)), [0.2, 0.5, 0.3], atol=1e-4)


def test_a_single_score_is_a_yes_or_no() -> None:
    np.testing.assert_allclose(probabilities({0: numbers(0.0)}, tensor(shape=(1, 1))), [0.5])


def test_a_step_above_one_is_one() -> None:
    assert probabilities({0: numbers(257 / 256, 0.0, -1e-9)}, tensor(made_by="SOFTMAX")).tolist() == [1.0, 0.0, 0.0]


SSD = SsdOutputs(tensor(1, (1, 3, 4)), tensor(2), tensor(3), tensor(4, (1,)))


def ssd(scores: list[float], count: float) -> Found:
    boxes = np.array([[[0.0, 0.1, 0.5, 0.6], [0.2, 0.2, 0.4, 0.4], [0.5, 0.0, 1.0, 1.0]]], np.float32)
    outputs = {1: boxes, 2: numbers(1, 0, 2)[np.newaxis], 3: numbers(*scores)[np.newaxis], 4: numbers(count)}
    return read_ssd(outputs, SSD, (200, 100), 0.5)


def test_boxes_come_as_left_top_right_bottom_in_pixels_of_the_tensor() -> None:
    found = ssd([0.6, 0.4, 0.9], 3)
    np.testing.assert_allclose(found.boxes, [[0, 50, 200, 100], [20, 0, 120, 50]], atol=1e-4)
    assert found.classes.tolist() == [2, 1]
    np.testing.assert_allclose(found.scores, [0.9, 0.6], rtol=1e-6)


@pytest.mark.parametrize(("count", "left"), [(0, 0), (1, 1), (2, 1), (99, 2)])
def test_what_is_left_of_earlier_pictures_is_not_read(count: int, left: int) -> None:
    assert len(ssd([0.6, 0.4, 0.9], count).boxes) == left


@pytest.mark.parametrize("junk", [np.nan, np.inf, -1e30])
def test_what_lay_in_the_outputs_memory_before_is_not_read(junk: float) -> None:
    """The operator writes as many boxes as it found; of a fresh interpreter the rest is memory that nobody has set."""
    outputs = {
        SSD.boxes.index: np.array([[[0.0, 0.1, 0.5, 0.6], [junk] * 4, [junk] * 4]], np.float32),
        SSD.classes.index: numbers(1, junk, junk)[np.newaxis],
        SSD.scores.index: numbers(0.6, junk, junk)[np.newaxis],
        SSD.count.index: numbers(1),
    }
    found = read_ssd(outputs, SSD, (200, 100), 0.5)
    assert (found.classes.tolist(), found.boxes.shape) == ([1], (1, 4))


@pytest.mark.parametrize(
    ("scores", "count"), [([0.6, np.nan, 0.9], 2), ([np.inf, 0.4, 0.9], 1), ([0.6, 0.4, 0.9], np.nan)]
)
def test_what_a_detector_says_it_found_has_to_be_numbers(scores: list[float], count: float) -> None:
    with pytest.raises(NotFiniteError):
        ssd(scores, count)


def test_what_is_said_of_a_face_has_to_be_numbers() -> None:
    with pytest.raises(NotFiniteError):
        faces({0: (2.0, [0, 0, np.nan, 9])})


def test_anchors_are_as_many_as_the_model_has_and_begin_at_the_corner() -> None:
    short, full = FACE_GRIDS
    assert (len(anchor_centres(short)), len(anchor_centres(full))) == (short.anchors, full.anchors) == (896, 2304)
    assert anchor_centres(short)[[0, 1, 2, 32, 511, 512, 518, 895]].tolist() == [
        [4, 4],
        [4, 4],
        [12, 4],
        [4, 12],
        [124, 124],
        [8, 8],
        [24, 8],
        [120, 120],
    ]


def faces(raw: dict[int, tuple[float, list[float]]]) -> Found:
    """What a short range model says, of which these anchors see something: score and box round their centre."""
    grid = FACE_GRIDS[0]
    values, scores = np.zeros((1, 896, 16), np.float32), np.full((1, 896, 1), -50.0, np.float32)
    for anchor, (score, box) in raw.items():
        scores[0, anchor, 0], values[0, anchor, :4] = score, box
    places = FaceOutputs(grid, tensor(1, (1, 896, 16)), tensor(2, (1, 896, 1)))
    return read_faces({1: values, 2: scores}, places, 0.5)


def test_a_face_lies_round_its_anchor() -> None:
    found = faces({32: (2.0, [1.0, -1.0, 20.0, 10.0])})
    assert found.boxes.tolist() == [[-5.0, 6.0, 15.0, 16.0]]
    assert found.scores.tolist() == pytest.approx([1 / (1 + np.exp(-2.0))])


def test_anchors_that_see_one_face_are_averaged_and_another_face_is_kept() -> None:
    found = faces({0: (3.0, [0, 0, 40, 40]), 1: (1.0, [4, 0, 40, 40]), 895: (2.0, [0, 0, 10, 10])})
    high, low = (1 / (1 + np.exp(-value)) for value in (3.0, 1.0))
    shift = 4 * low / (high + low)
    np.testing.assert_allclose(found.boxes, [[-16 + shift, -16, 24 + shift, 24], [115, 115, 125, 125]], atol=1e-5)
    assert found.scores[0] == pytest.approx(high)


def test_no_face_is_an_answer() -> None:
    found = faces({})
    assert (found.boxes.shape, found.scores.shape, found.classes.shape) == ((0, 4), (0,), (0,))


def test_scores_beyond_all_measure_do_no_harm() -> None:
    assert faces({0: (1e30, [0, 0, 9, 9])}).scores.tolist() == [1.0]


def test_an_object_is_told_in_the_pictures_own_pixels() -> None:
    placement = Placement(width=100, height=50, scale_x=2.0, scale_y=2.0, offset_x=0, offset_y=50)
    prepared = Prepared(np.zeros((200, 200, 3), np.float32), (200, 200), placement)
    found = Found(np.array([[20.0, 70.0, 60.0, 900.0]]), np.array([0.75]), np.array([1]))
    assert describe(found, prepared, ("a", "b")) == {
        "width": 100,
        "height": 50,
        "objects": [{"label": "b", "score": 0.75, "box": {"x": 10.0, "y": 10.0, "width": 20.0, "height": 40.0}}],
    }
    assert describe(found, prepared, ("a",))["objects"][0]["label"] == "LABEL_1"


PIXELS = np.array([0, 1, 127, 128, 254, 255], np.float32)


@pytest.mark.parametrize(("kind", "shift"), [("UINT8", 0), ("INT8", -128)])
def test_pixels_go_in_as_they_are(kind: str, shift: int) -> None:
    place = tensor(kind=kind, scale=1 / 127.5, zero_point=128 + shift)
    assert as_input(PIXELS, place, as_pixels=True).tolist() == (PIXELS + shift).tolist()
    assert as_input(PIXELS, tensor(kind=kind), as_pixels=False).tolist() == (PIXELS + shift).tolist(), "no scale"


def test_other_numbers_become_steps_and_stay_in_range() -> None:
    place = tensor(kind="INT8", scale=0.5, zero_point=-1)
    found = as_input(numbers(-100, -1, 0, 0.26, 100), place, as_pixels=False)
    assert (found.dtype, found.tolist()) == (np.int8, [-128, -3, -1, 0, 127])


def test_steps_stand_for_numbers() -> None:
    output = tensor(kind="UINT8", scale=1 / 256, zero_point=0)
    assert as_numbers(np.array([0, 128, 255], np.uint8), output).tolist() == [0.0, 0.5, 255 / 256]
    assert as_numbers(np.array([3], np.int64), tensor(kind="INT64")).tolist() == [3.0]


def test_a_model_of_one_channel_gets_the_lightness() -> None:
    picture = np.zeros((2, 2, 3), np.float32)
    picture[0, 0] = (1, 0, 0)
    grey = with_channels(picture, tensor(shape=(1, 2, 2, 1)))
    assert grey.shape == (2, 2, 1)
    assert grey[0, 0, 0] == pytest.approx(0.299)
    first = with_channels(np.moveaxis(picture, 2, 0).copy(), tensor(shape=(1, 1, 2, 2)))
    np.testing.assert_allclose(first[0], grey[..., 0])
    assert with_channels(picture, tensor(shape=(1, 2, 2, 3))) is picture


@pytest.mark.parametrize(
    ("threads", "took", "free", "count"),
    [(4, MIB, 100 * MIB, 4), (4, 20 * MIB, 100 * MIB, 3), (4, 200 * MIB, 100 * MIB, 1), (4, 0, -5, 1), (1, 1, MIB, 1)],
)
def test_there_are_as_many_interpreters_as_cores_and_memory_allow(
    threads: int, took: int, free: int, count: int
) -> None:
    assert how_many(threads, took=took, free=free) == count


def test_the_outputs_of_a_detector_are_told_apart_whatever_their_order(tmp_path: Path) -> None:
    for swapped in (False, True):
        path = tmp_path / "ssd.tflite"
        path.write_bytes(tflite_builders.ssd_tflite(swapped=swapped))
        found = ssd_outputs(read_tflite(path))
        assert found is not None
        names = [each.name for each in (found.boxes, found.classes, found.scores, found.count)]
        assert names == [f"found:{number}" for number in range(4)]
