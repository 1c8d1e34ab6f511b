"""The engine LiteRT with small models of our own, beside numpy; and MediaPipe's face detector."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tools
from folder_builders import write_files
from numpy.typing import NDArray
from picture_builders import drawn_face, encoded, noise
from PIL import Image
from recorded_reply import RecordedReply
from tflite_builders import picture_graph, picture_tflite, ssd_tflite
from tiny_classifier import LABELS, expected, float_tflite, quantised_tflite, striped

from berth_api.artifact import Task
from berth_runtime.engines.litert import create
from berth_runtime.engines.litert_answers import finite
from berth_runtime.engines.litert_workers import PictureWorkers
from berth_runtime.engines.pictures import BadPicture, Placement, Prepared
from berth_runtime.engines.protocol import (
    EmbeddingRequest,
    Engine,
    EngineSettings,
    ImageRequest,
    LoadFailed,
    Operation,
)
from berth_store.detect import detect

CLASSIFY, DETECT = Operation.IMAGE_CLASSIFICATION, Operation.OBJECT_DETECTION
# The quantised model has steps of 1/127 in its logits; probabilities move by less than this.
QUANTISED_BOUND = 0.05


def settings_of(path: Path, *, task: Task = Task.AUTO, served: Task | None = None, **more: Any) -> EngineSettings:
    """What the engine is started with for the model at `path`."""
    model = detect(path, task=task)
    fields: dict[str, Any] = {"threads": 2, "memory_bytes": 1 << 30, **more}
    return EngineSettings(model=model, name="m", task=served or model.task, **fields)


def engine_of(path: Path, *, task: Task = Task.AUTO, **more: Any) -> Engine:
    """The engine for the model at `path`, with nothing loaded."""
    return create(settings_of(path, task=task, **more))


def serving(folder: Path, content: bytes, *, task: Task = Task.AUTO, **files: Any) -> Engine:
    """A proven engine for a file with these bytes."""
    write_files(folder, {"model.tflite": content, **{name.replace("__", "."): each for name, each in files.items()}})
    engine = engine_of(folder / "model.tflite", task=task)
    engine.load()
    engine.prove()
    return engine


def asked(
    engine: Engine, pictures: list[bytes], operation: Operation = CLASSIFY, threshold: float | None = None
) -> RecordedReply:
    reply = RecordedReply()
    engine.submit(ImageRequest(operation, tuple(pictures), threshold), reply)
    return reply.wait()


def scenes(reply: RecordedReply) -> list[dict[str, Any]]:
    (said,) = reply.chunks
    assert reply.usage is not None
    found: list[dict[str, Any]] = json.loads(said)
    return found


def plain(red: int, green: int, blue: int, *, size: tuple[int, int] = (120, 60)) -> bytes:
    """A picture of one colour; `size` is (width, height)."""
    return encoded(Image.new("RGB", size, (red, green, blue)))


@pytest.mark.parametrize("ends_in_softmax", [True, False], ids=["probabilities", "logits"])
def test_a_classifier_answers_as_numpy_does(tmp_path: Path, ends_in_softmax: bool) -> None:
    pictures, classes = striped(100, seed=9)
    engine = serving(tmp_path, float_tflite(ends_in_softmax=ends_in_softmax))
    found = asked(engine, [encoded(each) for each in pictures]).matrix()
    np.testing.assert_allclose(found, expected(pictures), atol=1e-5)
    assert (found.argmax(axis=1) == classes).mean() > 0.9, "it has learned something"


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_a_quantised_classifier_stays_close_to_numpy(tmp_path: Path, kind: str) -> None:
    pictures, classes = striped(100, seed=9)
    engine = serving(tmp_path, quantised_tflite(kind), task=Task.IMAGE_CLASSIFICATION, labels__txt="\n".join(LABELS))
    found = asked(engine, [encoded(each) for each in pictures]).matrix()
    np.testing.assert_allclose(found, expected(pictures), atol=QUANTISED_BOUND)
    assert (found.argmax(axis=1) == classes).mean() > 0.9


def test_what_lies_beside_the_model_decides_its_numbers(tmp_path: Path) -> None:
    settings = {
        "size": {"height": 8, "width": 8},
        "image_mean": [0.0, 0.0, 1.0],
        "image_std": [1.0, 0.5, 1.0],
    }
    engine = serving(tmp_path, picture_tflite(labels=LABELS), preprocessor_config__json=settings)
    found = asked(engine, [plain(255, 51, 255)]).matrix()[0]
    powers = np.exp(8.0 * np.array([1.0, 0.4, 0.0]))
    np.testing.assert_allclose(found, powers / powers.sum(), atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "signature"), [((2, 8, 8, 3), None), ((1, 1, 1, 3), (-1, -1, -1, 3))], ids=["two at once", "any size"]
)
def test_an_input_of_another_size_is_resized(
    tmp_path: Path, shape: tuple[int, ...], signature: tuple[int, ...] | None
) -> None:
    graph, place, scores = picture_graph(shape=shape, signature=signature)
    settings = {"size": {"height": 8, "width": 8}, "image_mean": [0.0] * 3, "image_std": [1.0] * 3}
    content = graph.build([place], [scores])
    engine = serving(tmp_path, content, task=Task.IMAGE_CLASSIFICATION, preprocessor_config__json=settings)
    found = asked(engine, [plain(255, 0, 0), plain(0, 0, 255)]).matrix()
    assert found.argmax(axis=1).tolist() == [0, 2]


def test_capabilities_name_the_classes(tmp_path: Path) -> None:
    write_files(tmp_path, {"model.tflite": float_tflite()})
    capabilities = engine_of(tmp_path / "model.tflite").load()
    assert capabilities.labels == LABELS
    assert dict(capabilities.parameters) == {CLASSIFY: frozenset()}
    assert capabilities.parallel_requests == 32


def test_a_detector_finds_each_colour_where_it_is(tmp_path: Path) -> None:
    engine = serving(tmp_path, ssd_tflite(labels="???\nred\ngreen\nblue\n"))
    (first, second) = scenes(asked(engine, [plain(255, 0, 220), plain(0, 255, 0)], DETECT, 0.3))
    assert (first["width"], first["height"]) == (120, 60)
    red, blue = first["objects"]
    assert (red["label"], blue["label"]) == ("red", "blue")
    assert red["score"] == pytest.approx(1 / (1 + np.exp(-4.0)), abs=1e-4)
    assert red["box"] == pytest.approx({"x": 0, "y": 0, "width": 60, "height": 30}, abs=1e-3)
    assert blue["box"] == pytest.approx({"x": 0, "y": 45, "width": 120, "height": 15}, abs=1e-3)
    (green,) = second["objects"]
    assert green["label"] == "green"
    assert green["box"] == pytest.approx({"x": 48, "y": 24, "width": 24, "height": 12}, abs=1e-3)


def test_outputs_in_another_order_are_read_all_the_same(tmp_path: Path) -> None:
    straight = serving(tmp_path / "a", ssd_tflite(labels="red\ngreen\nblue\n"))
    swapped = serving(tmp_path / "b", ssd_tflite(labels="red\ngreen\nblue\n", swapped=True))
    picture = [plain(255, 0, 220)]
    assert scenes(asked(straight, picture, DETECT)) == scenes(asked(swapped, picture, DETECT))


def test_the_threshold_is_the_requests_else_one_half(tmp_path: Path) -> None:
    engine = serving(tmp_path, ssd_tflite())
    picture = [plain(255, 0, 190)]
    counts = [len(scenes(asked(engine, picture, DETECT, threshold))[0]["objects"]) for threshold in (0.01, None, 0.99)]
    assert counts == [2, 1, 0]


@pytest.mark.needs("blazeface")
@pytest.mark.parametrize("file", ["face_detection_short_range.tflite", "face_detection_full_range_sparse.tflite"])
@pytest.mark.parametrize(("width", "height"), [(320, 320), (640, 320), (320, 480)])
def test_a_real_detector_finds_a_face_in_the_pictures_own_pixels(file: str, width: int, height: int) -> None:
    path = tools.find("blazeface")
    assert path is not None
    engine = engine_of(path.with_name(file))
    engine.load()
    engine.prove()
    left, top, edge = width // 2 - 20, height // 2 - 70, 120
    faced, empty = scenes(asked(engine, [drawn_face(width, height, left, top, edge), plain(90, 120, 90)], DETECT))
    assert (empty["objects"], faced["width"], faced["height"]) == ([], width, height)
    (face,) = faced["objects"]
    assert face["label"] == "face"
    box = face["box"]
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert middle == pytest.approx((left + edge / 2, top + edge / 2), abs=edge / 5)
    assert box["width"] == pytest.approx(edge, rel=0.35)


def test_a_picture_that_is_none_is_the_clients_fault(tmp_path: Path) -> None:
    engine = serving(tmp_path, float_tflite())
    failure = asked(engine, [encoded(noise(16, 16)), b"no picture"]).refused()
    assert (failure.status, failure.code, failure.param) == (400, "invalid_image", "image")
    assert failure.message.startswith("image[1]: it is no picture")
    assert asked(engine, [encoded(noise(16, 16))]).matrix().shape == (1, 3), "and the next request is answered"


def test_a_picture_too_large_for_the_memory_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path, {"model.tflite": float_tflite()})
    engine = engine_of(tmp_path / "model.tflite", memory_bytes=1 << 20)
    engine.load()
    assert "has more than" in asked(engine, [encoded(noise(200, 200))]).refused().message


def test_a_request_for_other_work_is_refused(tmp_path: Path) -> None:
    engine = serving(tmp_path, float_tflite())
    assert asked(engine, [b""], DETECT).refused().code == "unsupported_operation"
    reply = RecordedReply()
    engine.submit(EmbeddingRequest(("text",)), reply)
    assert reply.refused().code == "unsupported_operation"


def test_many_requests_at_once_get_their_own_answers(tmp_path: Path) -> None:
    engine = serving(tmp_path, float_tflite())
    pictures, _ = striped(60, seed=4)
    replies = [RecordedReply() for _ in range(20)]
    for number, reply in enumerate(replies):
        three = tuple(encoded(each) for each in pictures[3 * number : 3 * number + 3])
        engine.submit(ImageRequest(CLASSIFY, three), reply)
    found = np.concatenate([reply.matrix() for reply in replies])
    np.testing.assert_allclose(found, expected(pictures), atol=1e-5)
    assert all(reply.ends == 1 for reply in replies)


def test_arguments_are_refused_by_name(tmp_path: Path) -> None:
    write_files(tmp_path, {"model.tflite": float_tflite()})
    with pytest.raises(LoadFailed, match="has no argument 'threads'"):
        engine_of(tmp_path / "model.tflite", args={"threads": "4"}).load()


def test_a_task_that_is_not_there_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path, {"model.tflite": float_tflite()})
    words = "does not do the task Rerank; it does ImageClassification, ObjectDetection, Embedding"
    with pytest.raises(LoadFailed, match=words):
        create(settings_of(tmp_path / "model.tflite", served=Task.RERANK))


def test_a_file_that_was_damaged_meanwhile_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(float_tflite())
    engine = engine_of(path)
    path.write_bytes(float_tflite()[:900])
    with pytest.raises(LoadFailed, match=r"^model\.tflite: "):
        engine.load()


def test_a_graph_that_litert_cannot_run_is_a_sentence(tmp_path: Path) -> None:
    graph, place, scores = picture_graph()
    graph.operators[1].inputs = [0, 3, -1]  # the picture itself in place of its mean colour
    content = graph.build([place], [scores])
    write_files(tmp_path, {"model.tflite": content, "preprocessor_config.json": {"size": {"height": 8, "width": 8}}})
    with pytest.raises(LoadFailed, match=r"LiteRT can't load model\.tflite: .+; convert or fetch it again"):
        engine_of(tmp_path / "model.tflite", task=Task.IMAGE_CLASSIFICATION).load()


def test_weights_that_are_no_numbers_are_found_by_the_proof(tmp_path: Path) -> None:
    graph, place, scores = picture_graph()
    graph.constant("x", np.zeros(1, np.float32))
    graph.buffers[2].data = np.full(9, np.nan, np.float32).view(np.uint8)
    content = graph.build([place], [scores])
    write_files(tmp_path, {"model.tflite": content, "preprocessor_config.json": {"size": {"height": 8, "width": 8}}})
    engine = engine_of(tmp_path / "model.tflite", task=Task.IMAGE_CLASSIFICATION)
    engine.load()
    with pytest.raises(LoadFailed, match=r"gave no answer: the model's answer .* no numbers"):
        engine.prove()


class GatedModel:
    """A model that waits for a gate, and answers with what it got; a second output, that nobody reads, is no number."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.began = threading.Event()
        self.runs = 0

    def run(self, tensor: NDArray[np.float32]) -> dict[int, NDArray[np.float32]]:
        self.runs += 1
        self.began.set()
        assert self.gate.wait(30)
        if tensor[0] < 0:
            raise RuntimeError("Node number 3 failed\nat kernel.cc:1")
        return {0: tensor, 1: np.full(3, np.nan, np.float32)}


def prepared(data: bytes) -> Prepared:
    if data == b"bad":
        raise BadPicture("it is bad")
    return Prepared(np.array([float(data)], np.float32), (1, 1), Placement(1, 1, 1, 1, 0, 0))


def gated() -> tuple[GatedModel, PictureWorkers]:
    model = GatedModel()
    workers = PictureWorkers([model], prepared, lambda outputs, _prepared, _threshold: finite(outputs[0]))
    workers.start()
    return model, workers


def test_what_no_answer_is_made_of_may_be_no_number() -> None:
    model, workers = gated()
    model.gate.set()
    reply = RecordedReply()
    workers.submit(ImageRequest(CLASSIFY, (b"1", b"2")), reply)
    assert reply.matrix().tolist() == [[1.0], [2.0]]


def test_a_client_that_left_is_not_worked_for() -> None:
    model, workers = gated()
    stays, leaves = RecordedReply(), RecordedReply()
    workers.submit(ImageRequest(CLASSIFY, (b"1", b"2")), stays)
    assert model.began.wait(30)
    workers.submit(ImageRequest(CLASSIFY, tuple(b"%d" % number for number in range(50))), leaves)
    leaves.gone = True
    model.gate.set()
    assert stays.matrix().tolist() == [[1.0], [2.0]]
    assert leaves.wait().usage is not None
    assert model.runs == 2


def test_a_long_request_does_not_hold_a_short_one_up() -> None:
    model, workers = gated()
    long, short = RecordedReply(), RecordedReply()
    workers.submit(ImageRequest(CLASSIFY, (b"1",) * 200), long)
    assert model.began.wait(30)
    workers.submit(ImageRequest(CLASSIFY, (b"2",)), short)
    model.gate.set()
    assert short.matrix().tolist() == [[2.0]]
    assert long.matrix().shape == (200, 1)


@pytest.mark.parametrize(
    ("pictures", "status", "says"),
    [
        ((b"1", b"bad", b"3"), 400, "image[1]: it is bad"),
        ((b"1", b"-1"), 500, "LiteRT could not run the model on this picture: Node number 3 failed"),
        ((b"nan",), 500, "holds values that are no numbers"),
    ],
)
def test_one_bad_picture_ends_its_own_request_once(pictures: tuple[bytes, ...], status: int, says: str) -> None:
    model, workers = gated()
    model.gate.set()
    bad, good = RecordedReply(), RecordedReply()
    workers.submit(ImageRequest(CLASSIFY, pictures), bad)
    workers.submit(ImageRequest(CLASSIFY, (b"5",)), good)
    assert good.matrix().tolist() == [[5.0]]
    failure = bad.refused()
    assert (failure.status, bad.ends) == (status, 1)
    assert says in failure.message
