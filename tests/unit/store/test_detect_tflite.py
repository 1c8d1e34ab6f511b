"""What a TFLite model is, from the file itself and from what lies beside it."""

from pathlib import Path
from typing import Any

import pytest
import tools
from folder_builders import write_files
from tflite_builders import Graph, metadata, picture_graph, picture_tflite, ssd_tflite
from tiny_classifier import LABELS, float_tflite, quantised_tflite

from berth_api.artifact import Format, Task
from berth_api.errors import UnsupportedModel
from berth_store.detect import DetectedModel, detect
from berth_store.detect.picture_settings import Letterbox, ShortestEdgeThenCrop, Stretch

PREPROCESSOR = {
    "do_resize": True,
    "size": {"shortest_edge": 20},
    "crop_size": {"height": 16, "width": 16},
    "do_center_crop": True,
    "do_rescale": True,
    "do_normalize": True,
    "image_mean": [0.5, 0.25, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
NO_PICTURE = Graph()
_IN, _OUT = NO_PICTURE.tensor("samples", (1, 1280)), NO_PICTURE.tensor("scores", (1, 3))


def found(tmp_path: Path, task: Task = Task.AUTO, **files: Any) -> DetectedModel:
    """The model of a folder; `__` in a name stands for a dot."""
    return detect(write_files(tmp_path, {name.replace("__", "."): each for name, each in files.items()}), task=task)


def test_a_classifier_with_its_labels_is_known_without_a_word(tmp_path: Path) -> None:
    model = found(tmp_path, model__tflite=float_tflite())
    assert (model.format, model.task, model.labels) == (Format.TFLITE, Task.IMAGE_CLASSIFICATION, LABELS)
    assert (model.artifact.parameters, model.artifact.quantization) == (253, "FLOAT32")
    assert model.weights == (tmp_path / "model.tflite",)
    assert model.picture is not None
    assert (model.picture.width, model.picture.height, model.picture.channels_first) == (16, 16, False)
    assert (model.picture.mean, model.picture.std, model.picture.scale) == ((127.5,) * 3, (127.5,) * 3, 1.0)
    assert model.picture.resize == Stretch()


@pytest.mark.parametrize("name", ["labels__txt", "labelmap__txt"])
def test_labels_beside_the_file_do_as_well(tmp_path: Path, name: str) -> None:
    model = found(tmp_path, model__tflite=quantised_tflite(), **{name: "a\r\nb\r\nc\r\n\r\n"})
    assert (model.task, model.labels) == (Task.IMAGE_CLASSIFICATION, ("a", "b", "c"))


def test_the_labels_of_config_json_do_as_well(tmp_path: Path) -> None:
    settings = {"id2label": {"0": "a", "1": "b", "2": "c"}, "model_type": "mobilenet_v2"}
    model = found(tmp_path, model__tflite=quantised_tflite(), config__json=settings)
    assert (model.task, model.labels) == (Task.IMAGE_CLASSIFICATION, ("a", "b", "c"))
    assert model.artifact.architecture == "mobilenet_v2"


def test_without_labels_the_task_is_the_users_to_state(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"nor the files beside it tell it; set `spec\.task`") as asked:
        found(tmp_path, model__tflite=quantised_tflite())
    assert "one of ImageClassification, ObjectDetection, Embedding" in str(asked.value)
    model = found(tmp_path, Task.IMAGE_CLASSIFICATION)
    assert model.labels == ("LABEL_0", "LABEL_1", "LABEL_2")


def test_labels_that_do_not_fit_are_refused_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"gives 3 scores, and 2 labels come with it; correct labels\.txt"):
        found(tmp_path, Task.IMAGE_CLASSIFICATION, model__tflite=quantised_tflite(), labels__txt="a\nb\n")


def test_labels_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"labels\.txt is not UTF-8 text; write one label in each line"):
        found(tmp_path, model__tflite=quantised_tflite(), labels__txt=b"\xff\xfea")


@pytest.mark.parametrize("swapped", [False, True], ids=["in order", "in another order"])
def test_a_detector_is_known_by_its_last_operator(tmp_path: Path, swapped: bool) -> None:
    model = found(tmp_path, model__tflite=ssd_tflite(swapped=swapped), labelmap__txt="red\ngreen\nblue\n")
    assert (model.task, model.labels) == (Task.OBJECT_DETECTION, ("red", "green", "blue"))


def test_a_detectors_line_for_no_object_is_no_label(tmp_path: Path) -> None:
    model = found(tmp_path, model__tflite=ssd_tflite(labels="???\nred\n???\nblue\n"))
    assert model.labels == ("red", "???", "blue"), "class 0 is the first thing; later numbers may be unused"


@pytest.mark.needs("blazeface")
def test_a_face_detector_of_mediapipe_is_known_by_its_anchors(tmp_path: Path) -> None:
    path = tools.find("blazeface")
    assert path is not None
    model = detect(path)
    assert (model.task, model.labels) == (Task.OBJECT_DETECTION, ("face",))
    assert model.artifact.quantization == "FLOAT16"
    assert model.picture is not None
    assert (model.picture.width, model.picture.resize) == (128, Letterbox(fill=0.0))


def test_what_lies_beside_the_model_says_how_pictures_are_prepared(tmp_path: Path) -> None:
    model = found(tmp_path, model__tflite=float_tflite(), preprocessor_config__json=PREPROCESSOR)
    assert model.picture is not None
    assert model.picture.resize == ShortestEdgeThenCrop(20)
    assert (model.picture.mean, model.picture.std) == ((0.5, 0.25, 0.5), (0.5, 0.5, 0.5))
    assert model.picture.scale == pytest.approx(1 / 255)


def test_a_model_of_floats_that_does_not_say_how_is_asked(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"how a picture becomes .*`image`; put the model's preprocessor_config"):
        found(tmp_path, Task.IMAGE_CLASSIFICATION, model__tflite=float_tflite(with_metadata=False))


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_a_quantised_model_takes_pixels_as_they_are(tmp_path: Path, kind: str) -> None:
    model = found(tmp_path, Task.IMAGE_CLASSIFICATION, model__tflite=quantised_tflite(kind))
    assert model.picture is not None
    assert (model.picture.mean, model.picture.std, model.picture.scale) == ((0.0,) * 3, (1.0,) * 3, 1.0)


def test_a_deviation_of_nothing_is_refused(tmp_path: Path) -> None:
    graph, place, scores = picture_graph()
    content = graph.build([place], [scores], metadata=metadata(std=[0.0], labels=None))
    with pytest.raises(UnsupportedModel, match=r"the deviation \[0\.0\], which can't be; put a preprocessor_config"):
        found(tmp_path, Task.IMAGE_CLASSIFICATION, model__tflite=content)


@pytest.mark.parametrize(
    ("custom", "remedy"),
    [("TransformLandmarks", "use a model without them"), ("FlexErf", "with TFLite's own operators alone")],
)
def test_operators_that_litert_lacks_are_named(tmp_path: Path, custom: str, remedy: str) -> None:
    graph, place, scores = picture_graph()
    graph.operator(custom, [scores], [graph.tensor("more", (1, 3))])
    with pytest.raises(UnsupportedModel, match=f"needs the operators {custom}, which LiteRT does not have; .*{remedy}"):
        found(tmp_path, Task.IMAGE_CLASSIFICATION, model__tflite=graph.build([place], [scores]))


def test_pictures_beyond_all_measure_are_refused(tmp_path: Path) -> None:
    graph, place, scores = picture_graph(kind="uint8", shape=(1, 5000, 8, 3))
    with pytest.raises(UnsupportedModel, match="wants pictures of 8 x 5,000, and 4,096 is the most here"):
        found(tmp_path, Task.IMAGE_CLASSIFICATION, model__tflite=graph.build([place], [scores]))


def test_classes_beyond_all_measure_are_refused(tmp_path: Path) -> None:
    graph, place, scores = picture_graph(kind="uint8")
    graph.tensors[scores].shape = [1, 1 << 20]
    with pytest.raises(UnsupportedModel, match="gives 1,048,576 scores, and 65,536 classes are the most here"):
        found(tmp_path, Task.IMAGE_CLASSIFICATION, model__tflite=graph.build([place], [scores]))


WRONG = [
    (
        NO_PICTURE.build([_IN], [_OUT]),
        Task.IMAGE_CLASSIFICATION,
        r"takes samples FLOAT32 \[1, 1280\], and not one picture",
    ),
    (ssd_tflite(), Task.IMAGE_CLASSIFICATION, r"gives found:0 FLOAT32 \[1, 3, 4\], .*, and not one row of scores"),
    (picture_tflite(), Task.OBJECT_DETECTION, r"gives scores FLOAT32 \[1, 3\], which are neither the four outputs of"),
]


@pytest.mark.parametrize(("content", "task", "why"), WRONG, ids=["sound", "boxes", "scores"])
def test_a_task_that_the_graph_cannot_do_is_refused(tmp_path: Path, content: bytes, task: Task, why: str) -> None:
    with pytest.raises(UnsupportedModel, match=rf"model\.tflite can't do the task {task}: it {why}"):
        found(tmp_path, task, model__tflite=content)


def test_a_task_of_which_nothing_is_known_is_left_to_the_choice_of_an_engine(tmp_path: Path) -> None:
    model = found(tmp_path, Task.TEXT_CLASSIFICATION, model__tflite=NO_PICTURE.build([_IN], [_OUT]))
    assert (model.task, model.picture) == (Task.TEXT_CLASSIFICATION, None)


def test_two_models_are_asked_about(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"several TFLite models: a\.tflite, b\.tflite; name the file"):
        found(tmp_path, a__tflite=float_tflite(), b__tflite=float_tflite())
