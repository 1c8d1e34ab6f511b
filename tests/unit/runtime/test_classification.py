"""Texts to classify, and the two forms of the answer: classes of whole texts, entities of their tokens."""

import json
from typing import Any

import pytest
from matrices import rows

from berth_runtime.engines.protocol import Rows
from berth_runtime.openai.answers import Envelope
from berth_runtime.openai.classification import MAX_TEXTS, read_texts, render_classes, render_entities
from berth_runtime.openai.errors import ApiError

ENVELOPE = Envelope("classify-1", 1700000000, "m")
LABELS = ("bad", "good")
ADA: dict[str, Any] = {"label": "PER", "score": 0.99, "start": 0, "end": 3, "text": "Ada"}


def test_a_text_gets_its_likeliest_class_and_the_probability_of_each() -> None:
    answer = json.loads(render_classes(rows([0.25, 0.75], [0.9, 0.1]), LABELS, texts=2, envelope=ENVELOPE))
    assert answer == {
        "id": "classify-1",
        "object": "list",
        "created": 1700000000,
        "model": "m",
        "labels": ["bad", "good"],
        "data": [
            {"index": 0, "label": "good", "probs": [0.25, 0.75], "num_classes": 2},
            {"index": 1, "label": "bad", "probs": [0.9, 0.1], "num_classes": 2},
        ],
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }


@pytest.mark.parametrize(
    ("result", "labels"),
    [
        (rows([0.25, 0.75]), LABELS),
        (rows([0.25], [0.75]), LABELS),
        (rows([0.25, 0.75, 0], [0, 0, 0]), LABELS),
        (rows([0.25, float("nan")], [0, 1]), LABELS),
        (Rows(b"", 0), ()),
    ],
)
def test_probabilities_that_fit_no_class_are_the_engines_fault(result: Rows, labels: tuple[str, ...]) -> None:
    with pytest.raises(ApiError) as refused:
        render_classes(result, labels, texts=2, envelope=ENVELOPE)
    assert (refused.value.failure.status, refused.value.failure.code) == (500, "engine_error")


def test_tokens_become_entities_of_their_text() -> None:
    said = json.dumps([[], [ADA]]).encode()
    answer = json.loads(render_entities(said, ["none", "Ada"], prompt_tokens=4, envelope=ENVELOPE))
    assert answer["data"] == [{"index": 0, "entities": []}, {"index": 1, "entities": [ADA]}]
    assert answer["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    assert set(answer) == {"id", "object", "created", "model", "data", "usage"}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "Invalid JSON"),
        (b"{}", "array"),
        (b"[]", "0 parts for 1 inputs"),
        (json.dumps([[ADA], []]).encode(), "2 parts for 1 inputs"),
        (json.dumps([[{**ADA, "score": 1.5}]]).encode(), "at 0.0.score"),
        (json.dumps([[{"label": "PER"}]]).encode(), "at 0.0.score"),
        (json.dumps([[{**ADA, "end": 4}]]).encode(), "outside of input[0]"),
        (json.dumps([[{**ADA, "start": 2, "end": 1}]]).encode(), "outside of input[0]"),
    ],
)
def test_entities_in_no_agreed_form_are_the_engines_fault(said: bytes, why: str) -> None:
    with pytest.raises(ApiError) as refused:
        render_entities(said, ["Ada"], prompt_tokens=1, envelope=ENVELOPE)
    failure = refused.value.failure
    assert (failure.status, failure.code) == (500, "engine_error")
    assert why in failure.message


def test_the_input_is_a_text_or_a_list_of_texts() -> None:
    assert read_texts("a") == ("a",)
    assert read_texts(["a", "b"]) == ("a", "b")


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (None, "input"),
        ("", "input"),
        ([], "input"),
        ({"text": "a"}, "input"),
        ([1, 2], "input[0]"),
        (["a", ""], "input[1]"),
        (["a"] * (MAX_TEXTS + 1), "input"),
    ],
)
def test_the_wrong_text_is_named(value: object, param: str) -> None:
    with pytest.raises(ApiError) as refused:
        read_texts(value)
    assert (refused.value.failure.status, refused.value.failure.param) == (400, param)
