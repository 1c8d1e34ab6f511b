"""A draft model beside its model, with real weights: SmolLM2 guesses for itself."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import openai
import pytest
import tools
from runtime_server import start_runtime

pytestmark = [pytest.mark.needs("smollm2"), pytest.mark.timeout(180)]
CHILD = Path(tools.__file__).with_name("draft_child.py")


def test_the_likeliest_answer_is_the_same_and_guesses_are_taken() -> None:
    done = subprocess.run(
        [sys.executable, CHILD, str(tools.find("smollm2"))],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    alone, drafted = json.loads(done.stdout)
    assert [answer["text"] for answer in drafted] == [answer["text"] for answer in alone]
    assert all(answer["drafted"] == 0 for answer in alone)
    assert all(0 < answer["accepted"] <= answer["drafted"] for answer in drafted)


async def test_a_runtime_with_a_draft_model_answers_several_at_once() -> None:
    path = tools.find("smollm2")
    words = ("--model", f"m={path}", "--draft", str(path), "--context-length", "256", "--parallel-sequences", "2")
    async with start_runtime(*words) as process:
        await process.wait_for_states({"m": "Ready"})
        async with openai.AsyncOpenAI(base_url=f"{process.base_url}/v1", api_key="none", max_retries=0) as client:
            asked = (client.completions.create(model="m", prompt=text, max_tokens=4) for text in ("One", "Two", "Red"))
            answers = await asyncio.gather(*asked)
    assert all(0 < answer.usage.completion_tokens <= 4 for answer in answers if answer.usage)
    assert all(answer.choices[0].text for answer in answers)
