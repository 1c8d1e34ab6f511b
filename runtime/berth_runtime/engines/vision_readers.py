"""What a graph's outputs say of a picture, as the answer wants it: one `Reader` for each form of outputs.

`choose_reader` is called once, when the model is loaded, with what the graph said of a few sample pictures: shapes that
a header leaves open are known then. `vision_scheduler` calls `read` for each picture of a batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from berth_api.artifact import Task
from berth_runtime.engines.pictures import Prepared
from berth_runtime.engines.protocol import LoadFailed
from berth_runtime.engines.vision_boxes import Found, read_anchors, read_finished, read_queries
from berth_runtime.engines.vision_scores import Outputs, ScoreForm, Scores, probabilities, read_line, score_form
from berth_store.detect import DetectedModel, Problem

LOGITS: Final = ("logits", "output_logits")
BOXES: Final = "pred_boxes"

# What their own libraries take where nothing is asked for.
QUERY_THRESHOLD: Final = 0.5
ANCHOR_THRESHOLD: Final = 0.25

BOX_DECIMALS: Final = 2
SCORE_DECIMALS: Final = 6

Answer = Scores | dict[str, object]
"""Of one picture: the probabilities of its classes, or a JSON object."""


class Reader(Protocol):
    """Reads one picture's share of a batch."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The outputs that are read."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes; none for a recogniser of text."""
        ...

    def read(self, outputs: Outputs, row: int, prepared: Prepared, threshold: float | None) -> Answer:
        """The answer for the picture in this row."""
        ...


def choose_reader(task: Task, model: DetectedModel, samples: Sequence[Outputs]) -> Reader:
    """The reader for the task and these outputs; raises `LoadFailed` if they are none of the known forms."""
    match task:
        case Task.IMAGE_CLASSIFICATION:
            return _choose_classes(model, samples)
        case Task.OBJECT_DETECTION:
            return _choose_objects(model, samples[0])
        case _:
            return _choose_text(model, samples)


@dataclass(frozen=True)
class ClassReader:
    """One row of numbers for each picture."""

    output: str
    labels: tuple[str, ...]
    form: ScoreForm

    @property
    def outputs(self) -> tuple[str, ...]:
        """The row's."""
        return (self.output,)

    def read(self, outputs: Outputs, row: int, prepared: Prepared, threshold: float | None) -> Answer:  # noqa: ARG002
        """The probability of each class."""
        return probabilities(outputs[self.output][row], self.form)


@dataclass(frozen=True)
class TextReader:
    """A row of numbers for each step along a line of text."""

    output: str
    characters: tuple[str, ...]
    form: ScoreForm
    labels: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The steps'."""
        return (self.output,)

    def read(self, outputs: Outputs, row: int, prepared: Prepared, threshold: float | None) -> Answer:  # noqa: ARG002
        """The text, and how sure the recogniser is of it."""
        steps = probabilities(outputs[self.output][row], self.form)
        text, score = read_line(steps, self.characters)
        return {"text": text, "score": round(score, SCORE_DECIMALS)}


@dataclass(frozen=True)
class ObjectReader:
    """Boxes, by `find`: from outputs, row, the tensor's (width, height) and the threshold."""

    outputs: tuple[str, ...]
    labels: tuple[str, ...]
    find: Callable[[Outputs, int, tuple[int, int], float], Found]
    threshold: float

    def read(self, outputs: Outputs, row: int, prepared: Prepared, threshold: float | None) -> Answer:
        """The objects in pixels of the picture, best first; what lies wholly beside it is none."""
        found = self.find(outputs, row, prepared.size, self.threshold if threshold is None else threshold)
        place = prepared.placement
        corners = place.to_picture(found.corners).round(BOX_DECIMALS)
        return {
            "width": place.width,
            "height": place.height,
            "objects": [
                _object(self.labels[kind], score, box)
                for kind, score, box in zip(
                    found.classes.tolist(), found.scores.clip(0, 1).tolist(), corners.tolist(), strict=True
                )
                if 0 <= kind < len(self.labels) and box[0] < box[2] and box[1] < box[3]
            ],
        }


def _object(label: str, score: float, box: list[float]) -> dict[str, object]:
    left, top, right, bottom = box
    width, height = round(right - left, BOX_DECIMALS), round(bottom - top, BOX_DECIMALS)
    return {
        "label": label,
        "score": round(score, SCORE_DECIMALS),
        "box": {"x": left, "y": top, "width": width, "height": height},
    }


def _choose_classes(model: DetectedModel, samples: Sequence[Outputs]) -> ClassReader:
    output = _only(samples[0], rank=2, what="one row of scores for each picture")
    rows = [each[output] for each in samples]
    width = rows[0].shape[1]
    labels = model.labels or tuple(f"LABEL_{index}" for index in range(width))
    if len(labels) != width:
        raise LoadFailed(
            f"the graph tells {width:,} classes apart, but its labels are {len(labels):,}; put the config.json of this "
            "very model beside it"
        )
    multi_label = model.classifier is not None and model.classifier.problem is Problem.MULTI_LABEL
    return ClassReader(output, labels, score_form(rows, multi_label=multi_label))


def _choose_text(model: DetectedModel, samples: Sequence[Outputs]) -> TextReader:
    output = _only(samples[0], rank=3, what="a row of scores for each step along the line")
    steps = [each[output] for each in samples]
    if steps[0].shape[2] != len(model.labels):
        raise LoadFailed(
            f"the graph tells {steps[0].shape[2]:,} characters apart, but its charset has {len(model.labels):,}, the "
            "blank included; put the charset of this very model beside it, as characters.txt"
        )
    return TextReader(output, model.labels, score_form(steps, multi_label=False))


def _choose_objects(model: DetectedModel, sample: Outputs) -> ObjectReader:
    labels = model.labels
    if not labels:
        raise LoadFailed("nothing says what its classes are called; add config.json with `id2label`")
    logits = next((name for name in LOGITS if name in sample), None)
    if logits is not None and BOXES in sample:
        return _choose_queries(labels, logits, sample)
    return _choose_anchors(labels, _only(sample, rank=3, what="logits and pred_boxes, or one output"), sample)


def _choose_queries(labels: tuple[str, ...], logits: str, sample: Outputs) -> ObjectReader:
    width = sample[logits].shape[-1]
    if width not in (len(labels), len(labels) + 1) or sample[logits].ndim != 3:
        raise LoadFailed(
            f"the graph tells {width:,} classes apart, but config.json names {len(labels):,}; a detector has as many, "
            "or one more that means no object: put the config.json of this very model beside it"
        )
    exclusive = width == len(labels) + 1

    def find(outputs: Outputs, row: int, size: tuple[int, int], threshold: float) -> Found:
        return read_queries(
            outputs[logits][row], outputs[BOXES][row], exclusive=exclusive, size=size, threshold=threshold
        )

    return ObjectReader((logits, BOXES), labels, find, QUERY_THRESHOLD)


def _choose_anchors(labels: tuple[str, ...], output: str, sample: Outputs) -> ObjectReader:
    _, rows, columns = sample[output].shape
    if rows == 4 + len(labels):
        read = read_anchors
    elif columns == 6:
        read = read_finished
    else:
        raise LoadFailed(
            f"the graph's output {output} is {rows} x {columns}, which is neither 4 + {len(labels)} numbers for each "
            "anchor nor 6 for each box; export it with Ultralytics' `yolo export format=onnx`"
        )

    def find(outputs: Outputs, row: int, size: tuple[int, int], threshold: float) -> Found:  # noqa: ARG001
        return read(outputs[output][row], threshold=threshold)

    return ObjectReader((output,), labels, find, ANCHOR_THRESHOLD)


def _only(sample: Outputs, *, rank: int, what: str) -> str:
    """The output called logits, else the only one of this rank."""
    fitting = [name for name, value in sample.items() if value.ndim == rank]
    named = [name for name in fitting if name in LOGITS]
    if len(named or fitting) != 1:
        shapes = ", ".join(f"{name} {np.shape(value)}" for name, value in sample.items())
        raise LoadFailed(f"the graph's outputs ({shapes}) are not {what}; export the model for its task")
    return (named or fitting)[0]
