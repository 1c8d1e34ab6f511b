"""`/v1/images/classify`, `/v1/images/detect`, `/v1/images/recognize`: what pictures show; pure.

    {"model", "image": picture or [picture, …], "top_k"?, "threshold"?}
    → {"id", "object": "list", "created", "model", "data", "usage"}, with one entry in `data` for each picture:

    classify   {"index", "label", "classes": [{"label", "score"}, …], "num_classes"}, the likeliest `top_k`, best first
    detect     {"index", "width", "height", "objects": [{"label", "score", "box": {"x", "y", "width", "height"}}, …]}
    recognize  {"index", "text", "score"}

OpenAI has no such paths; the envelope is that of its lists, and `openai.image_field` says what a picture may be. A box
is in pixels of the picture as it was sent, `x` and `y` are its corner at the top left.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from pydantic import Field as Bounds
from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from berth_runtime.engines.protocol import Rows
from berth_runtime.openai.answers import Envelope, read_matrix, read_parts
from berth_runtime.openai.checks import WHO_ASKS, Field, always, described, integer, number

DEFAULT_TOP_K: Final = 5

CLASSIFICATION: Final[Mapping[str, Field]] = {
    **WHO_ASKS,
    "top_k": always(
        described(integer(1), f"How many of the likeliest classes come back; {DEFAULT_TOP_K}, if left out.")
    ),
}
DETECTION: Final[Mapping[str, Field]] = {
    **WHO_ASKS,
    "threshold": always(
        described(number(0, 1), "Objects with a lower score are left out; the engine's own, if not given.")
    ),
}
RECOGNITION: Final[Mapping[str, Field]] = WHO_ASKS

Score = Annotated[float, Bounds(ge=0, le=1)]
Pixels = Annotated[float, Bounds(allow_inf_nan=False)]


@dataclass(frozen=True)
class Box:
    """In pixels."""

    x: Pixels
    y: Pixels
    width: Annotated[Pixels, Bounds(ge=0)]
    height: Annotated[Pixels, Bounds(ge=0)]


@dataclass(frozen=True)
class FoundObject:
    """One thing in a picture."""

    label: str
    score: Score
    box: Box


@dataclass(frozen=True)
class Scene:
    """What a detector says of one picture."""

    width: Annotated[int, Bounds(ge=1)]
    height: Annotated[int, Bounds(ge=1)]
    objects: list[FoundObject]


@dataclass(frozen=True)
class Reading:
    """What a recogniser says of one picture."""

    text: str
    score: Score


_SCENES: Final = TypeAdapter(list[Scene])
_READINGS: Final = TypeAdapter(list[Reading])


def render_image_classes(
    result: Rows, labels: Sequence[str], *, pictures: int, top_k: int, envelope: Envelope
) -> bytes:
    """The likeliest classes of each picture."""
    matrix = read_matrix(result, rows=pictures, columns=len(labels))
    data = []
    for index, (scores, order) in enumerate(zip(matrix, (-matrix).argsort(axis=1, kind="stable"), strict=True)):
        classes = [{"label": labels[at], "score": scores[at]} for at in order[:top_k].tolist()]
        data.append({"index": index, "label": classes[0]["label"], "classes": classes, "num_classes": len(labels)})
    return envelope.render(data, prompt_tokens=result.prompt_tokens)


def render_objects(said: bytes, *, pictures: int, prompt_tokens: int, envelope: Envelope) -> bytes:
    """The objects of each picture, from what the detector says."""
    scenes: list[Scene] = read_parts(_SCENES, said, count=pictures)
    data = [
        {"index": index, "width": scene.width, "height": scene.height, "objects": scene.objects}
        for index, scene in enumerate(scenes)
    ]
    return envelope.render(data, prompt_tokens=prompt_tokens)


def render_readings(said: bytes, *, pictures: int, prompt_tokens: int, envelope: Envelope) -> bytes:
    """The text of each picture, from what the recogniser says."""
    readings: list[Reading] = read_parts(_READINGS, said, count=pictures)
    data = [{"index": index, "text": reading.text, "score": reading.score} for index, reading in enumerate(readings)]
    return envelope.render(data, prompt_tokens=prompt_tokens)
