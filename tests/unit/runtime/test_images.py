"""What clients get of a picture: classes, objects, text."""

import json
from typing import Any

import pytest
from matrices import rows

from berth_runtime.engines.protocol import Rows
from berth_runtime.openai.answers import Envelope
from berth_runtime.openai.errors import ApiError
from berth_runtime.openai.images import render_image_classes, render_objects, render_readings

ENVELOPE = Envelope("x-1", 1700000000, "m")
LABELS = ("cat", "dog", "owl")
BOX = {"x": 0.5, "y": 2.0, "width": 10.0, "height": 20.0}
CAT: dict[str, Any] = {"label": "cat", "score": 0.9, "box": BOX}
SCENE: dict[str, Any] = {"width": 640, "height": 480, "objects": [CAT]}


def classes(result: Rows, *, top_k: int) -> Any:
    return json.loads(render_image_classes(result, LABELS, pictures=1, top_k=top_k, envelope=ENVELOPE))


def test_a_picture_gets_its_likeliest_classes_best_first() -> None:
    answer = classes(rows([0.25, 0.125, 0.625], prompt_tokens=0), top_k=2)
    assert answer["data"] == [
        {
            "index": 0,
            "label": "owl",
            "classes": [{"label": "owl", "score": 0.625}, {"label": "cat", "score": 0.25}],
            "num_classes": 3,
        }
    ]
    assert (answer["object"], answer["model"], answer["usage"]["total_tokens"]) == ("list", "m", 0)


def test_more_classes_than_there_are_is_all_of_them() -> None:
    assert len(classes(rows([0.25, 0.125, 0.625]), top_k=9)["data"][0]["classes"]) == 3


def test_objects_come_with_their_boxes_and_the_size_of_the_picture() -> None:
    empty = {"width": 1, "height": 1, "objects": []}
    said = json.dumps([SCENE, empty]).encode()
    answer = json.loads(render_objects(said, pictures=2, prompt_tokens=0, envelope=ENVELOPE))
    assert answer["data"] == [{"index": 0, **SCENE}, {"index": 1, **empty}]


def test_a_text_comes_with_its_score() -> None:
    said = json.dumps([{"text": "STOP", "score": 0.5}]).encode()
    answer = json.loads(render_readings(said, pictures=1, prompt_tokens=0, envelope=ENVELOPE))
    assert answer["data"] == [{"index": 0, "text": "STOP", "score": 0.5}]


@pytest.mark.parametrize(
    "scenes",
    [
        [],
        [SCENE, SCENE],
        [{"objects": []}],
        [{**SCENE, "width": 0}],
        [{**SCENE, "objects": [{**CAT, "score": -0.1}]}],
        [{**SCENE, "objects": [{**CAT, "box": {**BOX, "width": -1}}]}],
        [{**SCENE, "objects": [{**CAT, "box": [1, 2, 3, 4]}]}],
    ],
)
def test_objects_in_no_agreed_form_are_the_engines_fault(scenes: object) -> None:
    with pytest.raises(ApiError) as refused:
        render_objects(json.dumps(scenes).encode(), pictures=1, prompt_tokens=0, envelope=ENVELOPE)
    assert (refused.value.failure.status, refused.value.failure.code) == (500, "engine_error")


@pytest.mark.parametrize("number", ["NaN", "Infinity"])
def test_a_box_has_finite_sides(number: str) -> None:
    said = json.dumps([SCENE]).replace("10.0", number).encode()
    with pytest.raises(ApiError):
        render_objects(said, pictures=1, prompt_tokens=0, envelope=ENVELOPE)
