"""The engine for pictures on graphs whose answers are known by construction, and on real weights."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto
from picture_builders import encoded, noise, text_line
from PIL import Image
from recorded_reply import RecordedReply
from vision_models import (
    COLOURS,
    EDGE,
    GRID,
    STEEPNESS,
    labels,
    paint,
    preprocessor,
    write_anchor_detector,
    write_classifier,
    write_orientation_classifier,
    write_query_detector,
    write_recogniser,
)

from berth_api.artifact import Task
from berth_api.engines import choose_engine
from berth_runtime.engines.onnxruntime import create
from berth_runtime.engines.protocol import (
    Capabilities,
    EmbeddingRequest,
    Engine,
    EngineSettings,
    ImageRequest,
    LoadFailed,
    Operation,
)
from berth_runtime.engines.vision import VisionEngine
from berth_store.detect import detect

CLASSIFY, DETECT, READ = (
    Operation.IMAGE_CLASSIFICATION,
    Operation.OBJECT_DETECTION,
    Operation.TEXT_RECOGNITION,
)


def settings(folder: Path, **changes: Any) -> EngineSettings:
    model = detect(folder)
    choose_engine(model.artifact)
    return replace(EngineSettings(model=model, name="m", task=model.task, threads=2, memory_bytes=1 << 30), **changes)


def loaded(folder: Path, **changes: Any) -> Engine:
    engine = create(settings(folder, **changes))
    engine.load()
    engine.prove()
    return engine


def capabilities(folder: Path) -> Capabilities:
    return create(settings(folder)).load()


def ask(engine: Engine, operation: Operation, *pictures: bytes, threshold: float | None = None) -> RecordedReply:
    reply = RecordedReply()
    engine.submit(ImageRequest(operation, pictures, threshold), reply)
    return reply.wait()


def said(reply: RecordedReply) -> Any:
    assert reply.failure is None
    assert reply.usage is not None
    assert len(reply.chunks) == 1
    return json.loads(reply.chunks[0])


def filled(colour: str, size: tuple[int, int] = (EDGE, EDGE)) -> bytes:
    return encoded(Image.new("RGB", size, {"green": "lime"}.get(colour, colour)))


def test_an_engine_says_what_it_can_do(tmp_path: Path) -> None:
    assert isinstance(create(settings(write_classifier(tmp_path / "a"))), VisionEngine)
    classifier = capabilities(tmp_path / "a")
    assert (classifier.parameters, classifier.labels) == ({CLASSIFY: frozenset()}, COLOURS)
    detector = capabilities(write_query_detector(tmp_path / "b"))
    assert (detector.parameters, detector.labels) == ({DETECT: frozenset({"threshold"})}, COLOURS)


@pytest.mark.parametrize("rows", ["batch", 1, 3])
def test_a_classifier_answers_with_a_row_for_each_picture_in_their_order(tmp_path: Path, rows: int | str) -> None:
    engine = loaded(write_classifier(tmp_path, rows=rows))
    wanted = ("red", "blue", "green", "green", "red", "blue", "blue")
    matrix = ask(engine, CLASSIFY, *map(filled, wanted)).matrix()
    assert [COLOURS[row.argmax()] for row in matrix] == list(wanted)
    assert matrix.shape == (7, 3)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-6)


def test_a_picture_has_the_same_probabilities_as_by_the_formula_and_whatever_its_companions_are(
    tmp_path: Path,
) -> None:
    engine = loaded(write_classifier(tmp_path))
    pictures = [noise(EDGE, EDGE, seed=seed) for seed in range(6)]
    together = ask(engine, CLASSIFY, *map(encoded, pictures)).matrix()
    for row, pixels in zip(together, pictures, strict=True):
        powers = np.exp(STEEPNESS * ((pixels / 255 - 0.5) / 0.5).mean(axis=(0, 1)))
        np.testing.assert_allclose(row, powers / powers.sum(), atol=1e-5)
        np.testing.assert_allclose(row, ask(engine, CLASSIFY, encoded(pixels)).matrix()[0], atol=1e-6)


def test_a_softmax_in_the_graph_is_not_done_twice(tmp_path: Path) -> None:
    plain = loaded(write_classifier(tmp_path / "a"))
    inside = loaded(write_classifier(tmp_path / "b", softmax=True))
    picture = encoded(noise(80, 50))
    np.testing.assert_allclose(
        ask(plain, CLASSIFY, picture).matrix(), ask(inside, CLASSIFY, picture).matrix(), atol=1e-6
    )


def test_classes_that_exclude_nothing_have_a_sigmoid_each(tmp_path: Path) -> None:
    engine = loaded(write_classifier(tmp_path, problem_type="multi_label_classification"))
    row = ask(engine, CLASSIFY, filled("yellow")).matrix()[0]  # red and green
    np.testing.assert_allclose(row, [1, 1, 0], atol=1e-3)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.UINT8])
def test_a_graph_gets_the_numbers_that_it_declares(tmp_path: Path, kind: int) -> None:
    write_classifier(tmp_path, kind=kind)
    if kind == TensorProto.UINT8:  # pixels as they are, and no settings at all
        (tmp_path / "preprocessor_config.json").unlink()
    matrix = ask(loaded(tmp_path), CLASSIFY, filled("blue"), filled("red")).matrix()
    assert matrix.argmax(axis=1).tolist() == [2, 0]


def test_classes_without_names_have_numbers(tmp_path: Path) -> None:
    write_classifier(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert capabilities(tmp_path).labels == ("LABEL_0", "LABEL_1", "LABEL_2")


SIZE = (EDGE * 3, EDGE * 2)
PLACED = ((0, 0, "red"), (3, 1, "blue"), (2, 3, "green"))


def expected_objects(size: tuple[int, int]) -> set[tuple[str, float, float, float, float]]:
    across, down = size[0] / GRID, size[1] / GRID
    return {(colour, column * across, row * down, across, down) for column, row, colour in PLACED}


def found_objects(scene: dict[str, Any]) -> set[tuple[str, float, float, float, float]]:
    return {(each["label"], *each["box"].values()) for each in scene["objects"]}


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("mask", [None, ("height", "width"), (8, 8)])
def test_queries_are_objects_in_pixels_of_the_picture_as_sent(
    tmp_path: Path, exclusive: bool, mask: tuple[int | str, int | str] | None
) -> None:
    engine = loaded(write_query_detector(tmp_path, exclusive=exclusive, mask=mask))
    empty, full = said(ask(engine, DETECT, encoded(paint()), encoded(paint(*PLACED, size=SIZE))))
    assert empty == {"width": EDGE, "height": EDGE, "objects": []}
    assert (full["width"], full["height"]) == SIZE
    assert found_objects(full) == expected_objects(SIZE)
    assert all(0.99 < each["score"] <= 1 for each in full["objects"])


def test_a_picture_that_lay_on_its_side_has_boxes_as_it_is_shown(tmp_path: Path) -> None:
    engine = loaded(write_query_detector(tmp_path))
    upright = paint(*PLACED, size=SIZE)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it right to see it upright
    lying = encoded(np.rot90(upright), "PNG", exif=exif.tobytes())
    (scene,) = said(ask(engine, DETECT, lying))
    assert (scene["width"], scene["height"]) == SIZE
    assert found_objects(scene) == expected_objects(SIZE)


@pytest.mark.parametrize("finished", [True, False])
def test_anchors_are_one_object_each_in_pixels_of_the_picture_as_sent(tmp_path: Path, finished: bool) -> None:
    engine = loaded(write_anchor_detector(tmp_path, finished=finished))
    # A letterbox: the picture is half as high as wide, so its rows of cells are the two in the middle of the tensor.
    size = (EDGE * 4, EDGE * 2)
    pixels = np.full((size[1], size[0], 3), 0, np.uint8)
    pixels[: size[1] // 2, : size[0] // 4, 0] = 255
    pixels[size[1] // 2 :, -size[0] // 4 :, 2] = 255
    (scene,) = said(ask(engine, DETECT, encoded(pixels), threshold=0.95))
    quarter = size[0] / 4
    assert found_objects(scene) == {
        ("red", 0.0, 0.0, quarter, size[1] / 2),
        ("blue", 3 * quarter, size[1] / 2, quarter, size[1] / 2),
    }
    assert [each["score"] for each in scene["objects"]] == pytest.approx([0.982, 0.982], abs=0.005)


def test_what_lies_beside_the_picture_is_no_object(tmp_path: Path) -> None:
    """The gray round a picture that was made to fit has, for this model, a bit of every colour."""
    engine = loaded(write_anchor_detector(tmp_path))
    (scene,) = said(ask(engine, DETECT, encoded(np.zeros((EDGE // 2, EDGE, 3), np.uint8)), threshold=0.2))
    assert scene["objects"] == []
    (scene,) = said(ask(engine, DETECT, encoded(np.full((EDGE, EDGE, 3), 114, np.uint8)), threshold=0.2))
    assert len(scene["objects"]) == GRID**2


def test_a_threshold_leaves_out_what_is_less_sure(tmp_path: Path) -> None:
    engine = loaded(write_query_detector(tmp_path, exclusive=False))
    picture = encoded(paint(*PLACED))
    scenes = [said(ask(engine, DETECT, picture, threshold=value))[0] for value in (0.0, 0.5, 0.9999)]
    assert [len(scene["objects"]) for scene in scenes] == [3 * GRID**2, 3, 0]
    scores = [each["score"] for each in scenes[0]["objects"]]
    assert scores == sorted(scores, reverse=True)


LINES = ("Hello Kubernetes 2026", "Berth serves models", "The quick brown fox", "12,345.67 USD", "a")


@pytest.mark.needs("rapidocr")
def test_a_real_recogniser_reads_each_line(tmp_path: Path) -> None:
    engine = loaded(write_recogniser(tmp_path))
    assert capabilities(tmp_path) == Capabilities(parameters={READ: frozenset()}, parallel_requests=128)
    readings = said(ask(engine, READ, *(encoded(text_line(line)) for line in LINES), encoded(text_line(" "))))
    assert [reading["text"] for reading in readings] == [*LINES, ""]
    assert all(reading["score"] > 0.9 for reading in readings[:-1])
    assert readings[-1]["score"] == 0


@pytest.mark.needs("rapidocr")
def test_a_real_classifier_tells_which_way_up_a_line_is_with_the_probabilities_of_the_bare_library(
    tmp_path: Path,
) -> None:
    folder = write_orientation_classifier(tmp_path)
    engine = loaded(folder)
    lines = [text_line(line, angle=angle) for line in LINES[:3] for angle in (0, 180)]
    matrix = ask(engine, CLASSIFY, *map(encoded, lines)).matrix()
    assert matrix.argmax(axis=1).tolist() == [0, 1] * 3
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    for row, line in zip(matrix, lines, strict=True):
        pixels = np.asarray(line.resize((192, 48), Image.Resampling.BILINEAR)).astype(np.float32)
        tensor = ((pixels / 255 - 0.5) / 0.5).transpose(2, 0, 1)[None]
        (bare,) = session.run(None, {"x": tensor})
        np.testing.assert_allclose(row, bare[0], atol=1e-5)


def test_a_picture_that_cannot_be_read_is_the_clients_fault_and_named(tmp_path: Path) -> None:
    engine = loaded(write_classifier(tmp_path))
    failure = ask(engine, CLASSIFY, filled("red"), b"not a picture", filled("red")).refused()
    assert (failure.status, failure.code, failure.param) == (400, "invalid_image", "image")
    assert failure.message.startswith("image[1]: it is no picture of a kind that is read here")
    assert ask(engine, CLASSIFY, filled("red")).matrix().argmax() == 0


def test_other_work_is_refused(tmp_path: Path) -> None:
    engine = loaded(write_classifier(tmp_path))
    assert ask(engine, DETECT, filled("red")).refused().code == "unsupported_operation"
    reply = RecordedReply()
    engine.submit(EmbeddingRequest(("x",)), reply)
    assert reply.refused().code == "unsupported_operation"


def config(folder: Path, name: str, content: object) -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder


def test_what_does_not_fit_together_is_not_served(tmp_path: Path) -> None:
    two = config(write_classifier(tmp_path / "a"), "config.json", labels(("cat", "dog")))
    with pytest.raises(LoadFailed, match=r"tells 3 classes apart, but its labels are 2; put the config\.json"):
        loaded(two)
    detector = write_query_detector(tmp_path / "b")
    with pytest.raises(
        LoadFailed, match=r"tells 4 classes apart, but config\.json names 2; a detector has as many, or"
    ):
        loaded(config(detector, "config.json", labels(("a", "b"))))
    with pytest.raises(LoadFailed, match="nothing says what its classes are called"):
        loaded(config(detector, "config.json", {}))
    with pytest.raises(LoadFailed, match=r"OnnxRuntime has no argument 'pooling' for the task .*; it has provider"):
        loaded(write_classifier(tmp_path / "c"), args={"pooling": "mean"})
    model = replace(detect(tmp_path / "c"), picture=None)
    with pytest.raises(LoadFailed, match=r"put its preprocessor_config\.json beside the graph"):
        loaded(tmp_path / "c", model=model)


def test_a_graph_of_another_task_is_not_served(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path)
    with pytest.raises(LoadFailed, match=r"the graph's outputs \(logits \(1, 3\)\) are not logits and pred_boxes"):
        loaded(folder, task=Task.OBJECT_DETECTION)
    with pytest.raises(LoadFailed, match="are not a row of scores for each step along the line"):
        loaded(folder, task=Task.TEXT_RECOGNITION)
    with pytest.raises(LoadFailed, match="are not one row of scores for each picture"):
        loaded(write_query_detector(tmp_path / "d"), task=Task.IMAGE_CLASSIFICATION)


def test_weights_that_answer_with_no_numbers_are_not_ready(tmp_path: Path) -> None:
    config(
        write_classifier(tmp_path), "preprocessor_config.json", preprocessor(rescale_factor=1e8, image_std=[1e-30] * 3)
    )
    with np.errstate(over="ignore"), pytest.raises(LoadFailed, match="values that are no numbers"):
        loaded(tmp_path)


def test_a_damaged_graph_is_told_in_the_librarys_words(tmp_path: Path) -> None:
    engine = create(settings(write_classifier(tmp_path)))
    (tmp_path / "model.onnx").write_bytes(b"\x08\x09junk")
    with pytest.raises(LoadFailed, match=r"ONNX Runtime can't load model\.onnx"):
        engine.load()
