"""What a TFLite graph is for, by its inputs, outputs and metadata. Pure; detection and the engine ask.

TFLite files have no word for their task. It is told here only where nothing else can be meant.
"""

from dataclasses import dataclass
from math import prod

from berth_api.artifact import Task
from berth_store.detect.tflite_text import shown, why_no_vectors
from berth_store.headers.tflite import TfliteHeader, TfliteTensor

OF_PICTURES = (Task.IMAGE_CLASSIFICATION, Task.OBJECT_DETECTION)
# Beyond these, nothing is known of how a graph would do it.
UNDERSTOOD = (*OF_PICTURES, Task.EMBEDDING)
DETECTION_OP = "TFLite_Detection_PostProcess"
CHANNELS = (1, 3)
PICTURE_TYPES = frozenset({"FLOAT32", "UINT8", "INT8"})


@dataclass(frozen=True)
class TflitePicture:
    """The input that takes a picture; a size of 0 is one that may differ between calls."""

    tensor: TfliteTensor
    width: int
    height: int
    channels: int
    channels_first: bool


@dataclass(frozen=True)
class SsdOutputs:
    """What TFLite_Detection_PostProcess writes: boxes (top, left, bottom, right; 0 to 1), classes, scores, number."""

    boxes: TfliteTensor
    classes: TfliteTensor
    scores: TfliteTensor
    count: TfliteTensor


@dataclass(frozen=True)
class FaceGrid:
    """A face detector of MediaPipe (BlazeFace): a square picture of `size`, looked at from the centres of cells.

    `cells` are (pixels of a cell's edge, anchors in each), and each anchor has `VALUES_OF_FACE` values and one score.
    Source: face_detection_short_range.pbtxt and face_detection_full_range.pbtxt of MediaPipe.
    """

    size: int
    cells: tuple[tuple[int, int], ...]

    @property
    def anchors(self) -> int:
        """How many there are."""
        return sum((self.size // edge) ** 2 * count for edge, count in self.cells)


# Two corners' worth of box, and six points (eyes, nose, mouth, ears).
VALUES_OF_FACE = 16
FACE_GRIDS = (FaceGrid(128, ((8, 2), (16, 6))), FaceGrid(192, ((4, 1),)))
FACE = "face"


@dataclass(frozen=True)
class FaceOutputs:
    """What a face detector of MediaPipe writes, for each anchor."""

    grid: FaceGrid
    values: TfliteTensor
    scores: TfliteTensor


def picture_input(header: TfliteHeader) -> TflitePicture | None:
    """The graph's one input, if it is one picture."""
    tensor = header.inputs[0]
    if len(header.inputs) != 1 or len(tensor.signature) != 4 or tensor.element_type not in PICTURE_TYPES:
        return None
    _, *sizes = (max(size, 0) for size in tensor.signature)
    if sizes[2] in CHANNELS:
        return TflitePicture(tensor, sizes[1], sizes[0], sizes[2], channels_first=False)
    if sizes[0] in CHANNELS:
        return TflitePicture(tensor, sizes[2], sizes[1], sizes[0], channels_first=True)
    return None


def class_scores(header: TfliteHeader) -> TfliteTensor | None:
    """The graph's one output, if it is one row of scores."""
    output = header.outputs[0]
    one_row = len(output.shape) in (2, 4) and output.shape[-1] > 0 and prod(output.shape) == output.shape[-1]
    return output if len(header.outputs) == 1 and one_row else None


def ssd_outputs(header: TfliteHeader) -> SsdOutputs | None:
    """The four outputs of TFLite_Detection_PostProcess, whatever their order among the graph's."""
    written = header.results_of.get(DETECTION_OP, ())
    known = {output.index for output in header.outputs}
    return SsdOutputs(*written) if len(written) == 4 and all(each.index in known for each in written) else None


def face_outputs(header: TfliteHeader) -> FaceOutputs | None:
    """The outputs of a face detector of MediaPipe, told by the number of its anchors."""
    picture = picture_input(header)
    if picture is None or picture.channels != 3 or picture.channels_first:
        return None
    by_shape = {output.shape: output for output in header.outputs}
    for grid in FACE_GRIDS:
        values = by_shape.get((1, grid.anchors, VALUES_OF_FACE))
        scores = by_shape.get((1, grid.anchors, 1))
        if values and scores and len(header.outputs) == 2 and picture.width == picture.height == grid.size:
            return FaceOutputs(grid, values, scores)
    return None


def stated_task(header: TfliteHeader, labels: int) -> Task | None:
    """The task on pictures, or None where the file leaves it open; `labels` is how many labels came with it."""
    if picture_input(header) is None:
        return None
    if ssd_outputs(header) or face_outputs(header):
        return Task.OBJECT_DETECTION
    scores = class_scores(header)
    return Task.IMAGE_CLASSIFICATION if scores and labels == scores.shape[-1] else None


def why_not(header: TfliteHeader, task: Task) -> str | None:
    """Why the graph can't do the task that the user stated; None if it can, or if nothing is known of that task."""
    if task not in UNDERSTOOD:
        return None
    if task is Task.EMBEDDING:
        return why_no_vectors(header)
    if picture_input(header) is None:
        return f"takes {shown(header.inputs)}, and not one picture of 1 or 3 channels"
    if task is Task.IMAGE_CLASSIFICATION and class_scores(header) is None:
        return f"gives {shown(header.outputs)}, and not one row of scores"
    if task is Task.OBJECT_DETECTION and not ssd_outputs(header) and not face_outputs(header):
        return (
            f"gives {shown(header.outputs)}, which are neither the four outputs of {DETECTION_OP} nor those of a "
            "face detector of MediaPipe"
        )
    return None
