"""What an ONNX graph for pictures says of itself: `read_vision`, called by `berth_store.detect.onnx`.

Besides what transformers exports, two families carry in the graph's metadata how they want to be used. Sources: the
exporter of Ultralytics (`task`, `imgsz`, `names`), and the recognisers of PaddleOCR as RapidOCR publishes them
(`character`, the charset; height 48, channels in the order blue, green, red, values from -1 to 1).
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass

from berth_api.artifact import Task
from berth_api.errors import UnsupportedModel
from berth_store.detect import config
from berth_store.detect.folder import ModelFolder
from berth_store.detect.picture import MAX_EDGE, PictureInput, read_picture_settings
from berth_store.detect.picture_settings import Letterbox, PictureSettings, ShortestEdgeThenCrop, TextLine
from berth_store.headers.onnx_header import OnnxHeader, OnnxValue

CHARSET_KEY = "character"
CHARSET_FILE = "characters.txt"
LINE_HEIGHT = 48
LINE_MIN_WIDTH = 320
# A line forty times as wide as high; what is longer is squeezed.
LINE_MAX_WIDTH = 40 * LINE_HEIGHT

ULTRALYTICS_TASKS = {"detect": Task.OBJECT_DETECTION, "classify": Task.IMAGE_CLASSIFICATION}
_NAME = re.compile(r"""(\d{1,6})\s*:\s*('(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")""")
_SIZE = re.compile(r"\[?\s*(\d{1,5})\s*(?:,\s*(\d{1,5})\s*)?\]?")
_TYPES = frozenset({"F32", "F16", "U8"})


@dataclass(frozen=True)
class VisionFacts:
    """How pictures are prepared, and the classes by index: of a recogniser, its characters, the blank first."""

    picture: PictureSettings
    labels: tuple[str, ...]


def ultralytics_task(header: OnnxHeader) -> Task | None:
    """The task of a graph that Ultralytics exported; None for any other graph."""
    if not _is_ultralytics(header):
        return None
    stated = header.metadata["task"]
    if stated not in ULTRALYTICS_TASKS:
        raise UnsupportedModel(
            f"the graph was exported by Ultralytics for the task {stated[:40]!r}, and engines here do "
            f"{' and '.join(ULTRALYTICS_TASKS)}; choose such a model"
        )
    return ULTRALYTICS_TASKS[stated]


def read_vision(folder: ModelFolder, header: OnnxHeader, task: Task) -> VisionFacts:
    """Settings and labels of a graph that does this task on pictures; `UnsupportedModel` says what is missing."""
    place = picture_input(header)
    if task is Task.TEXT_RECOGNITION:
        return VisionFacts(_line(place), _characters(folder, header))
    if _is_ultralytics(header):
        return VisionFacts(_ultralytics_picture(place, header.metadata, task), _names(header.metadata))
    return VisionFacts(read_picture_settings(folder, place), config.labels(folder.json("config.json")))


def picture_input(header: OnnxHeader) -> PictureInput:
    """The input that takes pictures: the one of four dimensions, or `pixel_values` if there are several."""
    found = [value for value in header.inputs if value.rank == 4]
    value = next((each for each in found if each.name == "pixel_values"), found[0] if len(found) == 1 else None)
    if value is None or value.dims is None:
        names = ", ".join(each.name for each in header.inputs[:8])
        raise UnsupportedModel(
            f"the graph has the inputs {names}, and not one of four dimensions, for pictures; export it so"
        )
    if value.element_type not in _TYPES:
        raise UnsupportedModel(
            f"the graph's input `{value.name}` is {value.element_type}; export it as float32 or uint8"
        )
    return _place(value, value.dims)


def _place(value: OnnxValue, dims: tuple[int | str | None, ...]) -> PictureInput:
    last = dims[3] == 3 and dims[1] != 3
    channels, height, width = (dims[3], dims[1], dims[2]) if last else (dims[1], dims[2], dims[3])
    if isinstance(channels, int) and channels != 3:
        raise UnsupportedModel(
            f"the graph's input `{value.name}` has pictures of {channels} channels; engines here give three: "
            "red, green and blue"
        )
    return PictureInput(
        name=value.name,
        width=width if isinstance(width, int) else None,
        height=height if isinstance(height, int) else None,
        channels_first=not last,
        whole_numbers=value.element_type == "U8",
    )


def _line(place: PictureInput) -> PictureSettings:
    """A line of text as PaddleOCR prepares it."""
    return PictureSettings(
        width=place.width or LINE_MAX_WIDTH,
        height=place.height or LINE_HEIGHT,
        resize=TextLine(min_width=place.width or LINE_MIN_WIDTH),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        channels_first=place.channels_first,
        bgr=True,
    )


def _characters(folder: ModelFolder, header: OnnxHeader) -> tuple[str, ...]:
    """The blank, the charset, and the space, which charsets leave out: the graph's width tells whether it knows one."""
    stated = header.metadata.get(CHARSET_KEY) or folder.text(CHARSET_FILE)
    if not stated:
        raise UnsupportedModel(
            f"the graph does not say its characters; put them into {CHARSET_FILE} beside it, one a line, in the order "
            "of the training"
        )
    characters = [line.removesuffix("\r") for line in stated.removesuffix("\n").split("\n")]
    dims = header.outputs[0].dims if header.outputs else None
    width = dims[-1] if dims else None
    if width == len(characters) + 1:
        return ("", *characters)
    if isinstance(width, int) and width != len(characters) + 2:
        raise UnsupportedModel(
            f"the charset has {len(characters):,} characters, and the graph tells {width:,} apart (one more for the "
            f"blank, and one for the space); put the right one into {CHARSET_FILE}, and export the graph without it"
        )
    return ("", *characters, " ")


def _is_ultralytics(header: OnnxHeader) -> bool:
    return {"task", "names", "stride"} <= header.metadata.keys()


def _ultralytics_picture(place: PictureInput, metadata: Mapping[str, str], task: Task) -> PictureSettings:
    match = _SIZE.fullmatch(metadata.get("imgsz", "")[:64])
    height, width = (int(match[1]), int(match[2] or match[1])) if match else (None, None)
    width, height = place.width or width, place.height or height
    if not width or not height or max(width, height) > MAX_EDGE:
        raise UnsupportedModel(
            f"the graph states no size of pictures up to {MAX_EDGE:,}, neither in its input `{place.name}` nor as "
            "`imgsz`; export it again"
        )
    resize = Letterbox() if task is Task.OBJECT_DETECTION else ShortestEdgeThenCrop(max(width, height))
    return PictureSettings(width=width, height=height, resize=resize, channels_first=place.channels_first)


def _names(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The classes in `{0: 'person', 1: …}`, as Python writes it."""
    try:
        found = {int(match[1]): str(ast.literal_eval(match[2])) for match in _NAME.finditer(metadata["names"])}
    except (SyntaxError, ValueError):
        found = {}
    if not found or len(found) > config.MAX_LABELS or sorted(found) != list(range(len(found))):
        raise UnsupportedModel("the graph's metadata `names` are no list of classes by number; export it again")
    return tuple(found[index] for index in range(len(found)))
