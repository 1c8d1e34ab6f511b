"""TFLite models by the command and in a worker process of their own: from a file to Ready, and to an answer."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import tools
from folder_builders import write_files
from picture_builders import encoded
from runtime_server import RuntimeProcess, eventually, start_runtime
from tflite_builders import picture_graph, ssd_tflite
from tiny_classifier import LABELS, expected, float_tflite, quantised_tflite, striped

from berth_runtime.arguments import parse_arguments
from berth_runtime.engines.protocol import Failure, ImageRequest, Operation, Rows, Usage
from berth_runtime.messages import Outcome
from berth_runtime.resolution import resolve_model
from berth_runtime.served import Running, ServedModel

DEADLINE_SECONDS = 60


@asynccontextmanager
async def served(*argv: str) -> AsyncIterator[ServedModel]:
    """The one model of this command line in a worker of its own, once it has answered."""
    options = parse_arguments(argv)
    (argument,) = options.models
    model = ServedModel(argument.name, lambda: resolve_model(argument, options), lambda _: None)
    running = asyncio.create_task(model.run())

    async def there() -> Running | None:
        assert not running.done(), model.life
        return model.running

    try:
        await eventually(there, seconds=DEADLINE_SECONDS)
        yield model
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def asked(model: ServedModel, request: ImageRequest) -> tuple[bytes, Outcome]:
    """All chunks of the answer, and its end."""
    exchange = await model.open(request)
    said: list[bytes] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            chunks, outcome = await exchange.take()
            said += chunks
            if outcome is not None:
                return b"".join(said), outcome


async def test_a_classifier_answers_from_its_worker(tmp_path: Path) -> None:
    write_files(tmp_path, {"stripes.tflite": float_tflite()})
    pictures, _ = striped(12, seed=5)
    async with served("--model", str(tmp_path / "stripes.tflite")) as model:
        assert model.name == "stripes"
        assert model.require_running().capabilities.labels == LABELS
        request = ImageRequest(Operation.IMAGE_CLASSIFICATION, tuple(encoded(each) for each in pictures))
        _, outcome = await asked(model, request)
        assert isinstance(outcome, Rows)
        found = np.frombuffer(outcome.values, "<f4").reshape(-1, outcome.columns)
        np.testing.assert_allclose(found, expected(pictures), atol=1e-5)
        _, outcome = await asked(model, ImageRequest(Operation.IMAGE_CLASSIFICATION, (b"junk",)))
        assert isinstance(outcome, Failure)
        assert (outcome.status, outcome.code) == (400, "invalid_image")


@pytest.mark.needs("blazeface")
async def test_a_real_face_detector_answers_from_its_worker() -> None:
    path = tools.find("blazeface")
    assert path is not None
    grey = encoded(np.full((90, 160, 3), 128, np.uint8))
    async with served("--model", f"faces={path}") as model:
        said, outcome = await asked(model, ImageRequest(Operation.OBJECT_DETECTION, (grey, grey), 0.6))
        assert outcome == Usage(0)
        assert json.loads(said) == [{"width": 160, "height": 90, "objects": []}] * 2


async def posted(runtime: RuntimeProcess, path: str, body: Mapping[str, object]) -> tuple[int, Any]:
    """Status and body of the answer over HTTP."""
    async with aiohttp.ClientSession() as session, session.post(runtime.base_url + path, json=body) as response:
        return response.status, await response.json()


async def test_pictures_are_answered_over_http(tmp_path: Path) -> None:
    write_files(tmp_path, {"stripes.tflite": float_tflite(), "boxes.tflite": ssd_tflite(labels="red\ngreen\nblue\n")})
    (picture,), (kind,) = striped(1, seed=5)
    red = np.zeros((60, 120, 3), np.uint8)
    red[..., 0] = 255
    names = ("stripes.tflite", "boxes.tflite")
    async with start_runtime(*(word for name in names for word in ("--model", str(tmp_path / name)))) as runtime:
        await runtime.wait_for_states({"stripes": "Ready", "boxes": "Ready"})
        body = {"model": "stripes", "image": base64.b64encode(encoded(picture)).decode(), "top_k": 1}
        status, answer = await posted(runtime, "/v1/images/classify", body)
        assert status == 200, answer
        (best,) = answer["data"][0]["classes"]
        assert best["label"] == LABELS[kind]
        assert best["score"] == pytest.approx(float(expected(picture[np.newaxis])[0, kind]), abs=1e-5)
        image = base64.b64encode(encoded(red)).decode()
        status, answer = await posted(runtime, "/v1/images/detect", {"model": "boxes", "image": image})
        assert status == 200, answer
        (found,) = answer["data"][0]["objects"]
        assert found["label"] == "red"
        assert found["box"] == pytest.approx({"x": 0, "y": 0, "width": 60, "height": 30}, abs=1e-3)
        status, answer = await posted(runtime, "/v1/images/classify", {"model": "stripes", "image": "anVuaw=="})
        assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, "invalid_image", "image")


async def test_the_command_serves_what_it_can_and_says_why_not(tmp_path: Path) -> None:
    graph, place, scores = picture_graph()
    graph.operator("TransformLandmarks", [scores], [graph.tensor("more", (1, 3))])
    whole = ssd_tflite(labels="red\ngreen\nblue\n")
    files = {
        "stripes/model.tflite": quantised_tflite(),
        "stripes/labels.txt": "\n".join(LABELS),
        "boxes.tflite": whole,
        "open/model.tflite": quantised_tflite(),
        "cut.tflite": whole[: len(whole) // 2],
        "foreign.tflite": graph.build([place], [scores]),
    }
    write_files(tmp_path, files)
    names = ("stripes", "boxes.tflite", "open", "cut.tflite", "foreign.tflite")
    arguments = [word for name in names for word in ("--model", str(tmp_path / name))]
    async with start_runtime(*arguments) as runtime:
        wanted = {"stripes": "Ready", "boxes": "Ready", "open": "Failed", "cut": "Failed", "foreign": "Failed"}
        status = await runtime.wait_for_states(wanted)
        assert "set `spec.task` (or `--task`) to one of ImageClassification" in status["open"]["message"]
        assert "cut.tflite: " in status["cut"]["message"]
        assert "needs the operators TransformLandmarks, which LiteRT does not have" in status["foreign"]["message"]
        assert [stage["name"] for stage in status["stripes"]["stages"]] == ["Detected", "Spawned", "Loaded", "Answered"]
        assert await runtime.end() == 0
