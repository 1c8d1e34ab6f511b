"""An ONNX graph for pictures says how it wants them; what it leaves open is asked for by the name of the file."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from folder_builders import write_files
from onnx_builders import FLOAT, INT64, UINT8, onnx_value, onnx_with_outputs

from berth_api.artifact import Task
from berth_api.errors import UnsupportedModel
from berth_store.detect import (
    ClassifierSettings,
    DetectedModel,
    PictureSettings,
    Problem,
    detect,
    detect_bounded,
)
from berth_store.detect.bounded import Answer
from berth_store.detect.picture_settings import (
    Letterbox,
    Resample,
    ShortestEdgeThenCrop,
    Stretch,
    TextLine,
    WithinEdges,
)

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
LABELS = {"id2label": {"0": "cat", "1": "dog"}}
SQUARE = {"height": 224, "width": 224}
OPEN = ("batch", "channels", "height", "width")


def graph(*dims: int | str | None, kind: int = FLOAT, name: str = "pixel_values", **more: Any) -> bytes:
    """A classifier of two classes."""
    return onnx_with_outputs(onnx_value("logits", ("batch", 2)), inputs=[onnx_value(name, dims or OPEN, kind)], **more)


def found(folder: Path, stated: dict[str, Any] | None, *dims: int | str | None, **more: Any) -> DetectedModel:
    files: dict[str, Any] = {"model.onnx": graph(*dims, **more), "config.json": LABELS}
    if stated is not None:
        files["preprocessor_config.json"] = stated
    return detect(write_files(folder, files))


def picture(folder: Path, stated: dict[str, Any] | None, *dims: int | str | None, **more: Any) -> PictureSettings:
    settings = found(folder, stated, *dims, **more).picture
    assert settings is not None
    return settings


VIT = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "ViTImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "rescale_factor": 1 / 255,
    "size": SQUARE,
}


def test_a_vision_transformer_says_everything(tmp_path: Path) -> None:
    model = found(tmp_path, VIT)
    assert (model.task, model.labels) == (Task.IMAGE_CLASSIFICATION, ("cat", "dog"))
    assert model.picture == PictureSettings(width=224, height=224, mean=(0.5,) * 3, std=(0.5,) * 3)


def crop(width: int, height: int | None = None) -> dict[str, Any]:
    return {"do_center_crop": True, "crop_size": {"height": height or width, "width": width}}


def processor(name: str, **more: Any) -> dict[str, Any]:
    return {"image_processor_type": f"{name}ImageProcessor", **IMAGENET, **more}


SIZES: dict[str, tuple[dict[str, Any], tuple[int, int], object]] = {
    "a square of one number": (processor("ViT", size=224), (224, 224), Stretch()),
    "an old file": ({"feature_extractor_type": "ViTFeatureExtractor", "size": 384, **IMAGENET}, (384, 384), Stretch()),
    "a fast processor": (
        {**processor("ViT", size=96), "image_processor_type": "ViTImageProcessorFast"},
        (96, 96),
        Stretch(),
    ),
    "a stretch and a crop": (
        processor("Deit", size={"height": 256, "width": 240}, **crop(224)),
        (224, 224),
        Stretch(before_crop=(240, 256)),
    ),
    "a crop of the same size": (processor("Beit", size=SQUARE, **crop(224)), (224, 224), Stretch()),
    "a crop that is off": (
        {**processor("Beit", size={"height": 256, "width": 256}, **crop(224)), "do_center_crop": False},
        (256, 256),
        Stretch(),
    ),
    "the shorter edge": (
        processor("CLIP", size={"shortest_edge": 256}, **crop(224, 200)),
        (224, 200),
        ShortestEdgeThenCrop(256),
    ),
    "the shorter edge as a number": (
        processor("MobileNetV2", size=256, do_center_crop=True, crop_size=224),
        (224, 224),
        ShortestEdgeThenCrop(256),
    ),
    "ConvNext": (
        processor("ConvNext", size={"shortest_edge": 224}, crop_pct=0.875),
        (224, 224),
        ShortestEdgeThenCrop(256),
    ),
    "ConvNext, large": (processor("ConvNext", size={"shortest_edge": 384}, crop_pct=0.95), (384, 384), Stretch()),
    "PoolFormer": (
        processor("PoolFormer", size={"shortest_edge": 224}, crop_pct=0.9, **crop(224)),
        (224, 224),
        ShortestEdgeThenCrop(248),
    ),
    "Levit": (processor("Levit", size={"shortest_edge": 224}, **crop(224)), (224, 224), ShortestEdgeThenCrop(256)),
    "DETR": (
        processor("Detr", size={"shortest_edge": 800, "longest_edge": 1333}),
        (1333, 1333),
        WithinEdges(800, 1333),
    ),
    "DETR, old": (processor("Detr", size=800, max_size=1333), (1333, 1333), WithinEdges(800, 1333)),
    "YOLOS": (
        processor("Yolos", size={"shortest_edge": 512, "longest_edge": 864}),
        (864, 864),
        WithinEdges(512, 864, multiple=16),
    ),
}


@pytest.mark.parametrize(("stated", "size", "resize"), SIZES.values(), ids=SIZES.keys())
def test_sizes_are_read_in_each_form(
    tmp_path: Path, stated: dict[str, Any], size: tuple[int, int], resize: object
) -> None:
    settings = picture(tmp_path, stated)
    assert ((settings.width, settings.height), settings.resize) == (size, resize)


def test_values_are_scaled_and_normalised_as_stated(tmp_path: Path) -> None:
    plain = {"size": SQUARE, "do_normalize": False, "do_rescale": False, "resample": 3}
    assert picture(tmp_path / "a", plain) == PictureSettings(
        width=224, height=224, scale=1.0, resample=Resample.BICUBIC
    )
    flipped = picture(tmp_path / "b", {"size": SQUARE, "do_flip_channel_order": True})
    assert (flipped.bgr, flipped.mean, flipped.scale) == (True, (0.0, 0.0, 0.0), 1 / 255)
    gray = picture(tmp_path / "c", {"size": SQUARE, "image_mean": 0.5, "image_std": 0.25})
    assert (gray.mean, gray.std) == ((0.5,) * 3, (0.25,) * 3)
    twice = picture(tmp_path / "d", {"size": SQUARE, "include_top": True, "rescale_offset": True, **IMAGENET})
    assert twice.mean == pytest.approx((1.485, 1.456, 1.406))
    assert twice.std == pytest.approx((0.229**2, 0.224**2, 0.225**2))


def test_the_graphs_shape_says_what_the_file_leaves_out(tmp_path: Path) -> None:
    settings = picture(tmp_path / "a", IMAGENET, "b", 3, 192, 256)
    assert (settings.width, settings.height, settings.channels_first) == (256, 192, True)
    last = picture(tmp_path / "b", IMAGENET, "b", 192, 256, 3)
    assert (last.width, last.height, last.channels_first) == (256, 192, False)
    pixels = picture(tmp_path / "c", None, "b", 192, 256, 3, kind=UINT8)
    assert pixels == PictureSettings(width=256, height=192, scale=1.0, channels_first=False)


def test_the_newer_file_of_all_processors_is_read_too(tmp_path: Path) -> None:
    files = {"model.onnx": graph(), "config.json": LABELS, "processor_config.json": {"image_processor": VIT}}
    assert detect(write_files(tmp_path, files)).picture == PictureSettings(
        width=224, height=224, mean=(0.5,) * 3, std=(0.5,) * 3
    )


REFUSED: dict[str, tuple[dict[str, Any] | None, tuple[int | str | None, ...], str]] = {
    "no file": (None, ("b", 3, 224, 224), r"`pixel_values`; put the model's preprocessor_config\.json there"),
    "whole numbers of any size": (None, OPEN, r"put the model's preprocessor_config\.json there"),
    "no size": (IMAGENET, OPEN, r"preprocessor_config\.json: its `size` is not stated"),
    "a number of unknown meaning": ({"size": 224}, OPEN, r'`size` is a number.*\{"shortest_edge": …\}'),
    "the shorter edge alone": ({"size": {"shortest_edge": 224}}, OPEN, "do_center_crop"),
    "a crop larger than the picture": ({"size": SQUARE, **crop(225)}, OPEN, "`crop_size` is larger"),
    "a crop larger than the edge": ({"size": {"shortest_edge": 200}, **crop(224)}, OPEN, "`crop_size` is larger"),
    "a crop without a size": ({"size": SQUARE, "do_center_crop": True}, OPEN, "`crop_size` gives no width"),
    "another size than the graph's": ({"size": SQUARE}, ("b", 3, 384, 384), "pictures of 224 x 224.* wants 384 x 384"),
    "edges and a fixed graph": (
        {"size": {"shortest_edge": 800, "longest_edge": 1333}},
        ("b", 3, 800, 800),
        "export the graph with dynamic height and width",
    ),
    "no resize": ({"size": SQUARE, "do_resize": False}, OPEN, "do_resize is false"),
    "an enormous size": ({"size": {"height": 99_999, "width": 1}}, OPEN, r"`size\.height` is 99,999"),
    "half a normalisation": ({"size": SQUARE, "image_mean": [0, 0, 0]}, OPEN, "`image_mean` and `image_std`"),
    "a zero": ({"size": SQUARE, "image_mean": [0] * 3, "image_std": [1, 0, 1]}, OPEN, "holds a zero"),
    "no numbers": ({"size": SQUARE, "image_mean": ["a", 0, 0], "image_std": [1] * 3}, OPEN, "is not three numbers"),
    "no factor": ({"size": SQUARE, "rescale_factor": "x"}, OPEN, "`rescale_factor` is no number"),
    "an unknown filter": ({"size": SQUARE, "resample": 9}, OPEN, "none of Pillow's filters"),
    "one channel": ({"size": SQUARE}, ("b", 1, 28, 28), "pictures of 1 channels"),
}


@pytest.mark.parametrize(("stated", "dims", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_what_stays_open_or_contradicts_itself_is_refused(
    tmp_path: Path, stated: dict[str, Any] | None, dims: tuple[int | str | None, ...], why: str
) -> None:
    with pytest.raises(UnsupportedModel, match=why):
        found(tmp_path, stated, *dims)


def test_a_graph_of_other_numbers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="`pixel_values` is I64; export it as float32 or uint8"):
        found(tmp_path, VIT, kind=INT64)


def test_a_task_on_pictures_needs_an_input_for_pictures(tmp_path: Path) -> None:
    text = onnx_with_outputs(onnx_value("logits", ("batch", 2)))
    with pytest.raises(UnsupportedModel, match="has the inputs input_ids, attention_mask, and not one of four"):
        detect(write_files(tmp_path, {"model.onnx": text}), task=Task.IMAGE_CLASSIFICATION)


WRONG: list[object] = [None, -5, 2.5, "x", "", [], {}, True, [None], {"a": []}, 10**40, float("nan"), [[]], "9" * 99]


@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_values_of_the_wrong_type_end_in_settings_or_a_sentence(tmp_path: Path, value: object) -> None:
    for number, key in enumerate((*VIT, "crop_size", "do_center_crop", "crop_pct", "max_size", "include_top")):
        folder = tmp_path / str(number)
        try:
            settings = picture(folder, {**VIT, key: value})
        except UnsupportedModel:
            continue
        assert 0 < settings.width <= 4096
        assert all(settings.std)


def test_one_row_with_a_number_for_each_label_classifies_whatever_its_name(tmp_path: Path) -> None:
    row = onnx_with_outputs(onnx_value("scale_0.tmp_1", (None, 2)), inputs=[onnx_value("x", (None, 3, "?", "?"))])
    files: dict[str, Any] = {"model.onnx": row, "preprocessor_config.json": VIT}
    with pytest.raises(UnsupportedModel, match="its task is open"):
        detect(write_files(tmp_path, files))
    assert detect(write_files(tmp_path, {**files, "config.json": LABELS})).task is Task.IMAGE_CLASSIFICATION


def ultralytics(*, task: str = "detect", names: str | None = None, **more: str) -> dict[str, str]:
    return {"task": task, "names": names or """{0: 'person', 1: "dog's bone"}""", "stride": "32", **more}


def yolo(metadata: dict[str, str], dims: tuple[int | str, ...] = ("batch", 3, 640, 640)) -> bytes:
    return onnx_with_outputs(
        onnx_value("output0", ("batch", 6, 8400)), inputs=[onnx_value("images", dims)], metadata=metadata
    )


def test_a_graph_by_ultralytics_says_all_in_its_metadata(tmp_path: Path) -> None:
    model = detect(write_files(tmp_path / "a", {"model.onnx": yolo(ultralytics())}))
    assert (model.task, model.labels) == (Task.OBJECT_DETECTION, ("person", "dog's bone"))
    assert model.picture == PictureSettings(width=640, height=640, resize=Letterbox(fill=114))
    dynamic = yolo(ultralytics(imgsz="[320, 416]"), ("batch", 3, "height", "width"))
    settings = detect(write_files(tmp_path / "b", {"model.onnx": dynamic})).picture
    assert settings is not None
    assert (settings.height, settings.width) == (320, 416)
    classes = yolo(ultralytics(task="classify"), ("batch", 3, 224, 224))
    model = detect(write_files(tmp_path / "c", {"model.onnx": classes}))
    assert model.task is Task.IMAGE_CLASSIFICATION
    assert model.picture == PictureSettings(width=224, height=224, resize=ShortestEdgeThenCrop(224))


@pytest.mark.parametrize(
    ("metadata", "dims", "why"),
    [
        (ultralytics(task="pose"), ("b", 3, 640, 640), "for the task 'pose', and engines here do detect and classify"),
        (ultralytics(), ("b", 3, "h", "w"), "states no size of pictures"),
        (ultralytics(imgsz="[99999, 1]"), ("b", 3, "h", "w"), "states no size of pictures"),
        (ultralytics(names="__import__('os')"), ("b", 3, 640, 640), "`names` are no list of classes"),
        (ultralytics(names="{0: 'a', 2: 'b'}"), ("b", 3, 640, 640), "`names` are no list of classes"),
        (ultralytics(names="{0: '\\x'}"), ("b", 3, 640, 640), "`names` are no list of classes"),
        (ultralytics(names="{0: 'no end"), ("b", 3, 640, 640), "`names` are no list of classes"),
    ],
)
def test_metadata_of_ultralytics_that_leaves_something_open_is_refused(
    tmp_path: Path, metadata: dict[str, str], dims: tuple[int | str, ...], why: str
) -> None:
    with pytest.raises(UnsupportedModel, match=why):
        detect(write_files(tmp_path, {"model.onnx": yolo(metadata, dims)}))


def recogniser(width: int | str, metadata: dict[str, str] | None = None, height: int | str = "h") -> bytes:
    return onnx_with_outputs(
        onnx_value("softmax", ("b", "t", width)),
        inputs=[onnx_value("x", ("b", 3, height, "w"))],
        metadata=metadata or {},
    )


def test_a_recogniser_has_the_blank_its_charset_and_the_space(tmp_path: Path) -> None:
    charset = {"character": "a\nb\n\u2028\nc"}
    model = detect(write_files(tmp_path / "a", {"model.onnx": recogniser(6, charset)}))
    assert (model.task, model.labels) == (Task.TEXT_RECOGNITION, ("", "a", "b", "\u2028", "c", " "))
    assert model.picture == PictureSettings(
        width=1920, height=48, resize=TextLine(min_width=320), mean=(0.5,) * 3, std=(0.5,) * 3, bgr=True
    )
    without_space = detect(write_files(tmp_path / "b", {"model.onnx": recogniser(5, charset, 32)}))
    assert without_space.labels == ("", "a", "b", "\u2028", "c")
    assert without_space.picture == replace(model.picture, height=32)
    with pytest.raises(UnsupportedModel, match=r"has 4 characters, and the graph tells 9 apart.*characters\.txt"):
        detect(write_files(tmp_path / "c", {"model.onnx": recogniser(9, charset)}))


def test_a_charset_may_lie_beside_the_graph(tmp_path: Path) -> None:
    write_files(tmp_path, {"model.onnx": recogniser(4)})
    with pytest.raises(UnsupportedModel, match=r"put them into characters\.txt beside it, one a line"):
        detect(tmp_path, task=Task.TEXT_RECOGNITION)
    (tmp_path / "characters.txt").write_text("x\r\ny\r\n")
    assert detect(tmp_path, task=Task.TEXT_RECOGNITION).labels == ("", "x", "y", " ")


def test_labels_that_exclude_nothing_are_told(tmp_path: Path) -> None:
    files = {
        "model.onnx": graph(),
        "config.json": {**LABELS, "problem_type": "multi_label_classification"},
        "preprocessor_config.json": VIT,
    }
    assert detect(write_files(tmp_path, files)).classifier == ClassifierSettings(Problem.MULTI_LABEL, output="logits")


@pytest.mark.parametrize("stated", [stated for stated, _, _ in SIZES.values()], ids=SIZES.keys())
def test_settings_cross_to_another_process_unchanged(tmp_path: Path, stated: dict[str, Any]) -> None:
    model = found(tmp_path, stated)
    again = Answer.model_validate_json(json.dumps(json.loads(Answer(model=model).model_dump_json()))).model
    assert again == model


def test_a_process_of_its_own_finds_the_same(tmp_path: Path) -> None:
    model = found(tmp_path, VIT)
    assert detect_bounded(tmp_path) == model
