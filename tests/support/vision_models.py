"""Models for pictures: small graphs whose answers are known by construction, and the real ones inside a package.

The graphs look at the mean colours of a picture, or of each cell of a grid laid over it, so a test knows by what it
draws what has to be found where. Each `write_*` makes a folder as users have it, and returns its path.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tools
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

COLOURS = ("red", "green", "blue")
EDGE = 64
GRID = 4
CELL = EDGE // GRID
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
SQUARE = {"height": EDGE, "width": EDGE}
# A colour that fills its cell has logit 8, one that is absent -8: the values are 1 and -1 after normalising.
STEEPNESS = 8.0
# "No object" wins over colours that fill less than half of a cell.
NO_OBJECT = 0.0


def preprocessor(**changes: Any) -> dict[str, Any]:
    return {"image_processor_type": "ViTImageProcessor", "size": SQUARE, **HALF, **changes}


def labels(names: Sequence[str] = COLOURS) -> dict[str, dict[str, str]]:
    return {"id2label": {str(index): name for index, name in enumerate(names)}}


def write_classifier(
    folder: Path, *, rows: int | str = "batch", softmax: bool = False, kind: int = TensorProto.FLOAT, **config: Any
) -> Path:
    """The colour of a whole picture: its logits are the means of the channels times `STEEPNESS`."""
    nodes = [
        helper.make_node("Cast", ["pixel_values"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("GlobalAveragePool", ["floats"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("Mul", ["flat", "steepness"], ["scores" if softmax else "logits"]),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["scores"], ["logits"], axis=1))
    _save(
        folder,
        nodes,
        inputs={"pixel_values": (kind, (rows, 3, EDGE, EDGE))},
        outputs={"logits": (rows, 3)},
        constants={"steepness": np.array(STEEPNESS, np.float32)},
    )
    _write_settings(folder, preprocessor(), {**labels(), **config})
    return folder


def write_query_detector(
    folder: Path, *, exclusive: bool = True, mask: tuple[int | str, int | str] | None = None
) -> Path:
    """As DETR answers: one query for each cell of the grid, its box a share of the picture, logits of its colours."""
    width = 4 if exclusive else 3
    weight = np.zeros((3, width), np.float32)
    weight[:, :3] = np.eye(3, dtype=np.float32) * STEEPNESS
    nodes = [
        *_cells("cells"),
        helper.make_node("MatMul", ["cells", "weight"], ["scores"]),
        helper.make_node("Add", ["scores", "bias"], ["logits"]),
        helper.make_node("Slice", ["logits", "zero", "one", "axis"], ["first"]),
        helper.make_node("Mul", ["first", "nothing"], ["blank"]),
    ]
    inputs: dict[str, tuple[int, tuple[int | str, ...]]] = {
        "pixel_values": (TensorProto.FLOAT, ("batch", 3, EDGE, EDGE))
    }
    constants: dict[str, NDArray[Any]] = {
        "weight": weight,
        "bias": np.array([NO_OBJECT] * width, np.float32),
        "boxes": (_grid_boxes() / EDGE)[None].astype(np.float32),
        "nothing": np.array(0, np.float32),
        **{name: np.array([value], np.int64) for name, value in (("zero", 0), ("one", 1), ("axis", 2))},
    }
    if mask is not None:  # a pixel that is masked out would move every box
        inputs["pixel_mask"] = (TensorProto.INT64, ("batch", *mask))
        nodes += [
            helper.make_node("Cast", ["pixel_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["mask", "mask_axes"], ["shown"], keepdims=1),
            helper.make_node("Mul", ["boxes", "shown"], ["shown_boxes"]),
            helper.make_node("Add", ["blank", "shown_boxes"], ["pred_boxes"]),
        ]
        constants["mask_axes"] = np.array([1, 2], np.int64)
    else:
        nodes.append(helper.make_node("Add", ["blank", "boxes"], ["pred_boxes"]))
    outputs = {"logits": ("batch", GRID**2, width), "pred_boxes": ("batch", GRID**2, 4)}
    _save(folder, nodes, inputs=inputs, outputs=outputs, constants=constants)
    _write_settings(folder, preprocessor(), labels())
    return folder


def write_anchor_detector(folder: Path, *, finished: bool = False) -> Path:
    """As Ultralytics exports: each cell has two anchors, the second a pixel to the right and a little less likely."""
    boxes = _grid_boxes()
    nodes = [
        *_cells("cells"),
        helper.make_node("Mul", ["cells", "steepness"], ["scores"]),
        helper.make_node("Sigmoid", ["scores"], ["shares"]),
        helper.make_node("Mul", ["shares", "less"], ["less_likely"]),
        helper.make_node("Concat", ["shares", "less_likely"], ["all"], axis=1),
        helper.make_node("Slice", ["all", "zero", "one", "axis"], ["first"]),
        helper.make_node("Mul", ["first", "nothing"], ["blank"]),
        helper.make_node("Add", ["blank", "boxes"], ["placed"]),
    ]
    if finished:
        nodes += [
            helper.make_node("ReduceMax", ["all", "axis"], ["score"], keepdims=1),
            helper.make_node("ArgMax", ["all"], ["index"], axis=2, keepdims=1),
            helper.make_node("Cast", ["index"], ["class"], to=TensorProto.FLOAT),
            helper.make_node("Concat", ["placed", "score", "class"], ["output0"], axis=2),
        ]
        boxes = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
    else:
        nodes += [
            helper.make_node("Concat", ["placed", "all"], ["joined"], axis=2),
            helper.make_node("Transpose", ["joined"], ["output0"], perm=[0, 2, 1]),
        ]
    shifted = boxes + np.array([1, 0, 1 if finished else 0, 0])
    _save(
        folder,
        nodes,
        inputs={"images": (TensorProto.FLOAT, (1, 3, EDGE, EDGE))},
        outputs={"output0": (1, 2 * GRID**2, 6) if finished else (1, 7, 2 * GRID**2)},
        constants={
            "steepness": np.array(STEEPNESS, np.float32),
            "less": np.array(0.9, np.float32),
            "nothing": np.array(0, np.float32),
            "boxes": np.concatenate([boxes, shifted])[None].astype(np.float32),
            **{name: np.array([value], np.int64) for name, value in (("zero", 0), ("one", 1), ("axis", 2))},
        },
        # Without a normalisation a colour that is absent has 0, and the sigmoid a half: so it is moved there.
        offset=-0.5,
        metadata={
            "task": "detect",
            "stride": "32",
            "imgsz": f"[{EDGE}, {EDGE}]",
            "names": str(dict(enumerate(COLOURS))),
        },
    )
    return folder


def write_recogniser(folder: Path) -> Path:
    """PP-OCRv4, which reads lines of Chinese and Latin text."""
    return _write_real(folder, "ch_PP-OCRv4_rec_infer.onnx")


def write_orientation_classifier(folder: Path) -> Path:
    """PP-OCR's classifier of whether a line of text stands on its head, with the two files that users put beside it."""
    _write_real(folder, "ch_ppocr_mobile_v2.0_cls_infer.onnx")
    _write_settings(folder, preprocessor(size={"height": 48, "width": 192}), labels(("0", "180")))
    return folder


def paint(*cells: tuple[int, int, str], size: tuple[int, int] = (EDGE, EDGE)) -> NDArray[np.uint8]:
    """A black picture of (width, height) with these cells (column, row, colour) of the grid filled."""
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    for column, row, colour in cells:
        across, down = width // GRID, height // GRID
        pixels[row * down : (row + 1) * down, column * across : (column + 1) * across, COLOURS.index(colour)] = 255
    return pixels


def _write_real(folder: Path, name: str) -> Path:
    recogniser = tools.find("rapidocr")
    assert recogniser is not None
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(recogniser.with_name(name), folder / "model.onnx")
    return folder


def _cells(result: str) -> list[onnx.NodeProto]:
    """(batch, cells, 3): the mean colour of each cell."""
    return [
        helper.make_node("AveragePool", ["pixels"], ["pooled"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        helper.make_node("Reshape", ["pooled", "as_rows"], ["rows"]),
        helper.make_node("Transpose", ["rows"], [result], perm=[0, 2, 1]),
    ]


def _grid_boxes() -> NDArray[np.float64]:
    """Centre and size of each cell in pixels, row by row."""
    rows, columns = (index.ravel() for index in np.indices((GRID, GRID)))
    centres = [(columns + 0.5) * CELL, (rows + 0.5) * CELL]
    return np.stack([*centres, np.full(GRID**2, CELL), np.full(GRID**2, CELL)], axis=1).astype(np.float64)


def _save(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    *,
    inputs: Mapping[str, tuple[int, tuple[int | str, ...]]],
    outputs: Mapping[str, tuple[int | str, ...]],
    constants: Mapping[str, NDArray[Any]],
    offset: float = 0.0,
    metadata: Mapping[str, str] | None = None,
) -> None:
    pixels = next(iter(inputs))
    shifted = helper.make_node("Add", [pixels, "offset"], ["pixels"])
    uses_pixels = any("pixels" in node.input for node in nodes)
    fixed: dict[str, NDArray[Any]] = {
        "as_rows": np.array([0, 3, GRID**2], np.int64),
        "offset": np.array(offset, np.float32),
        **constants,
    }
    used = {name for node in (shifted, *nodes) for name in node.input}
    graph = helper.make_graph(
        [*([shifted] if uses_pixels else []), *nodes],
        "pictures",
        [helper.make_tensor_value_info(name, kind, dims) for name, (kind, dims) in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in fixed.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    helper.set_model_props(model, dict(metadata or {}))
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(folder / "model.onnx"))


def _write_settings(folder: Path, pictures: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))
    (folder / "config.json").write_text(json.dumps(config))
