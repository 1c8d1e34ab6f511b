"""The example for rerank, classification and pictures runs as it is written."""

import asyncio
import json
import os
from pathlib import Path

import tools
from runtime_server import a_fake_model, serve_fakes

from berth_api.artifact import Task

EXAMPLE = tools.REPOSITORY / "examples/rerank_and_classify.sh"
MODELS = (
    a_fake_model("reranker", task=Task.RERANK),
    a_fake_model("moods", task=Task.TEXT_CLASSIFICATION),
    a_fake_model("detector", task=Task.OBJECT_DETECTION),
)


async def test_the_example_is_answered_as_it_is_written(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(os.urandom(300_000))
    async with serve_fakes(*MODELS) as server:
        names = {"BERTH_URL": f"{server.base_url}/v1", "CLASSIFIER": "moods", "PICTURE": str(picture)}
        process = await asyncio.create_subprocess_exec(
            str(EXAMPLE), env={**os.environ, **names}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
    assert process.returncode == 0, (out, err)
    ranked, classified, detected = [json.loads(line) for line in out.decode().splitlines() if line.startswith("{")]
    assert ranked["results"][0]["document"]["text"] == "Ships lie at the quay."
    assert len(classified["data"]) == 2
    assert detected["data"][0]["width"] == 300_000
    assert [each["label"] for each in detected["data"][0]["objects"]] == ["cat"]
