"""Models for pictures behind the real command and in real worker processes, from folders as users have them."""

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from laptop import laptop_in
from numpy.typing import NDArray
from picture_builders import encoded, text_line
from PIL import Image
from runtime_server import eventually, start_runtime
from vision_models import (
    labels,
    paint,
    preprocessor,
    write_classifier,
    write_orientation_classifier,
    write_query_detector,
    write_recogniser,
)

from berth_api.artifact import EngineType, Task
from berth_runtime.arguments import parse_arguments
from berth_runtime.engines.protocol import Failure, ImageRequest, Operation, Rows
from berth_runtime.resolution import resolve_model
from berth_runtime.served import ServedModel

CLASSIFY, DETECT, READ = Operation.IMAGE_CLASSIFICATION, Operation.OBJECT_DETECTION, Operation.TEXT_RECOGNITION
LINE = "Hello Kubernetes 2026"


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[ServedModel]:
    """The model in a worker process, as the runtime keeps it, without HTTP."""
    options = parse_arguments(["--model", f"pictures={folder}"])
    model = ServedModel("pictures", lambda: resolve_model(options.models[0], options), lambda _: None)
    task = asyncio.create_task(model.run())
    try:

        async def there() -> bool:
            assert not task.done(), model.life.message
            return model.running is not None

        await eventually(there)
        yield model
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ask(model: ServedModel, operation: Operation, *pictures: bytes, threshold: float | None = None) -> Any:
    """The JSON that the worker says, or how it ended."""
    exchange = await model.open(ImageRequest(operation, pictures, threshold))
    chunks: list[bytes] = []
    while True:
        more, outcome = await exchange.take()
        chunks += more
        if outcome is not None:
            return json.loads(b"".join(chunks)) if chunks else outcome


@pytest.mark.needs("rapidocr")
async def test_a_worker_reads_lines_and_survives_what_is_no_picture(tmp_path: Path) -> None:
    async with served(write_recogniser(tmp_path)) as model:
        (reading,) = await ask(model, READ, encoded(text_line(LINE), "JPEG", quality=90))
        assert reading["text"] == LINE
        assert 0.9 < reading["score"] <= 1
        failure = await ask(model, READ, encoded(text_line(LINE)), b"\x89PNG\r\n\x1a\n" + b"\0" * 100)
        assert isinstance(failure, Failure)
        assert (failure.status, failure.code, failure.param) == (400, "invalid_image", "image")
        assert failure.message.startswith("image[1]: it is ")
        words = ["alpha", "bravo", "charlie", "delta"]
        assert await asyncio.gather(*(read(model, word) for word in words)) == words


async def read(model: ServedModel, text: str) -> str:
    (reading,) = await ask(model, READ, encoded(text_line(text)))
    return str(reading["text"])


async def test_a_worker_finds_objects_and_classes(tmp_path: Path) -> None:
    async with served(write_query_detector(tmp_path / "detector")) as model:
        (scene,) = await ask(model, DETECT, encoded(paint((1, 2, "green"), size=(128, 64))))
        (thing,) = scene["objects"]
        assert (thing["label"], thing["box"]) == ("green", {"x": 32.0, "y": 32.0, "width": 32.0, "height": 16.0})
        assert (await ask(model, DETECT, encoded(paint((1, 2, "green"))), threshold=1.0))[0]["objects"] == []
    async with served(write_classifier(tmp_path / "classifier")) as model:
        assert model.running is not None
        assert model.running.capabilities.labels == ("red", "green", "blue")
        rows = await ask(model, CLASSIFY, *(encoded(np.full((9, 9, 3), value, np.uint8)) for value in (0, 255)))
        assert isinstance(rows, Rows)
        np.testing.assert_allclose(np.frombuffer(rows.values, "<f4"), 1 / 3, rtol=1e-5)


@pytest.mark.needs("rapidocr")
async def test_the_command_serves_each_kind_of_folder_and_tells_what_another_lacks(tmp_path: Path) -> None:
    folders = {
        "reads": write_recogniser(tmp_path / "reads"),
        "turns": write_orientation_classifier(tmp_path / "turns"),
        "finds": write_query_detector(tmp_path / "finds"),
        "lacks": write_classifier(tmp_path / "lacks"),
    }
    (folders["lacks"] / "preprocessor_config.json").unlink()
    arguments = [word for name, folder in folders.items() for word in ("--model", f"{name}={folder}")]
    async with start_runtime(*arguments) as runtime:
        status = await runtime.wait_for_states({**dict.fromkeys(folders, "Ready"), "lacks": "Failed"})
        assert {name: model["task"] for name, model in status.items() if name != "lacks"} == {
            "reads": Task.TEXT_RECOGNITION,
            "turns": Task.IMAGE_CLASSIFICATION,
            "finds": Task.OBJECT_DETECTION,
        }
        assert {model["engine"] for name, model in status.items() if name != "lacks"} == {EngineType.ONNX_RUNTIME}
        assert "put the model's preprocessor_config.json there" in status["lacks"]["message"]
        async with aiohttp.ClientSession(f"{runtime.base_url}/v1/images/") as session:
            answer = await post(session, "recognize", model="reads", image=sent(text_line(LINE)))
            assert answer["data"][0]["text"] == LINE
            upside_down = sent(text_line(LINE, angle=180))
            answer = await post(session, "classify", model="turns", image=[sent(text_line(LINE)), upside_down])
            assert [each["label"] for each in answer["data"]] == ["0", "180"]
            answer = await post(session, "detect", model="finds", image=sent(paint((1, 2, "green"))), threshold=0.9)
            (thing,) = answer["data"][0]["objects"]
            assert (thing["label"], thing["box"]) == ("green", {"x": 16, "y": 32, "width": 16, "height": 16})
            answer = await post(session, "detect", model="finds", image=base64.b64encode(b"no picture").decode())
            assert (answer["error"]["code"], answer["error"]["param"]) == ("invalid_image", "image")


def sent(picture: NDArray[np.uint8] | Image.Image) -> str:
    return f"data:image/png;base64,{base64.b64encode(encoded(picture)).decode()}"


async def post(session: aiohttp.ClientSession, path: str, **body: Any) -> Any:
    async with session.post(path, json=body) as response:
        return await response.json()


async def test_a_package_takes_settings_and_labels_along(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "colours")
    async with laptop_in() as laptop:
        packaged = await laptop.run("package", str(folder), "--tag", "localhost/colours:1")
        assert packaged.code == 0, packaged.err
        digest = packaged.out.split()[-1]
        blobs = laptop.home / "store" / "blobs" / "sha256"
        manifest = json.loads((blobs / digest.removeprefix("sha256:")).read_bytes())
        view = tmp_path / "view"
        view.mkdir()
        for layer in manifest["layers"]:
            name = layer["annotations"]["org.cncf.model.filepath"]
            shutil.copy(blobs / layer["digest"].removeprefix("sha256:"), view / name)
        assert sorted(path.name for path in view.iterdir()) == ["config.json", "model.onnx", "preprocessor_config.json"]
        assert json.loads((view / "preprocessor_config.json").read_text()) == preprocessor()
        assert json.loads((view / "config.json").read_text()) == labels()
    async with served(view) as model:
        assert model.running is not None
        assert model.running.capabilities.labels == ("red", "green", "blue")


async def test_a_folder_that_leaves_something_open_is_not_packaged(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "colours")
    (folder / "preprocessor_config.json").unlink()
    async with laptop_in() as laptop:
        refused = await laptop.run("package", str(folder), "--tag", "localhost/colours:1")
        assert refused.code == 1
        assert "put the model's preprocessor_config.json there" in refused.err.replace("\n", " ")
