"""MiniLM with its real weights as TFLite files, behind the real command and the official client."""

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import pytest_asyncio
import tools
from openai import AsyncOpenAI
from runtime_server import start_runtime
from safetensors.numpy import load_file
from tflite_encoder import ANY, bert_tflite

from berth_api.artifact import Task
from berth_store.detect import Pooling, detect_bounded

pytestmark = [pytest.mark.needs("minilm"), pytest.mark.asyncio(loop_scope="module")]

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parents[2] / "reference/minilm.json").read_text())
CASES: dict[str, dict[str, Any]] = {case["name"]: case for case in REFERENCE["cases"]}
LONGEST = REFERENCE["max_tokens"]
# Two files of one model, by the length that their graphs take.
LENGTHS = {"any": ANY, "fixed": 32}
KINDS = {"any": "int64", "fixed": "int32"}
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """MiniLM's own folder, with a graph in place of its weights."""
    weights = tools.find("minilm")
    assert weights is not None
    root, tensors = tmp_path_factory.mktemp("minilm"), load_file(weights)
    for name, length in LENGTHS.items():
        shutil.copytree(weights.parent, root / name, ignore=shutil.ignore_patterns(weights.name))
        content = bert_tflite(tensors, layers=6, heads=12, length=length, kind=KINDS[name])
        (root / name / "model.tflite").write_bytes(content)
    return {name: root / name for name in LENGTHS}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(folders: dict[str, Path]) -> AsyncIterator[AsyncOpenAI]:
    arguments = [word for name, folder in folders.items() for word in ("--model", f"{name}={folder}")]
    async with start_runtime(*arguments) as runtime:
        await runtime.wait_for_states(dict.fromkeys(folders, "Ready"))
        async with AsyncOpenAI(base_url=f"{runtime.base_url}/v1", api_key="none", max_retries=0) as client:
            yield client


def fitting(name: str) -> list[dict[str, Any]]:
    """The texts that a model takes; the official client takes no empty ones."""
    most = LENGTHS[name] if LENGTHS[name] != ANY else LONGEST
    return [case for case in CASES.values() if case["text"] and case["tokens"] <= most]


def check(embedding: Any, case: dict[str, Any]) -> None:
    """That the vector is the one of sentence-transformers, in each number and in where it points."""
    if isinstance(embedding, str):
        embedding = np.frombuffer(base64.b64decode(embedding), "<f4")
    found, wanted = np.array(embedding), np.frombuffer(base64.b64decode(case["vector"]), "<f4")
    assert np.abs(found - wanted).max() < TOLERANCE
    assert found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted) > 1 - TOLERANCE


async def test_the_folders_say_how_the_vectors_are_made(folders: dict[str, Path]) -> None:
    for name, length in {"any": 512, "fixed": 32}.items():
        model = detect_bounded(folders[name])
        assert (model.task, model.artifact.context_length) == (Task.EMBEDDING, length)
        assert model.embedding is not None
        assert (model.embedding.pooling, model.embedding.normalize) == (Pooling.MEAN, True)
        assert (model.embedding.dimensions, model.embedding.output) == (384, "last_hidden_state")


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize("encoding_format", ["float", "base64"])
async def test_vectors_are_those_of_sentence_transformers(client: AsyncOpenAI, name: str, encoding_format: Any) -> None:
    cases = fitting(name)
    assert len(cases) >= 8
    texts = [case["text"] for case in cases]
    answer = await client.embeddings.create(model=name, input=texts, encoding_format=encoding_format)
    assert (answer.model, answer.usage.prompt_tokens) == (name, sum(case["tokens"] for case in cases))
    for row, case in zip(answer.data, cases, strict=True):
        check(row.embedding, case)


async def test_many_clients_at_once_each_get_their_own_vector(client: AsyncOpenAI) -> None:
    cases = [case for case in fitting("fixed") if case["tokens"] > 3] * 4
    names = [list(LENGTHS)[at % 2] for at in range(len(cases))]
    asked = zip(names, cases, strict=True)
    answers = await asyncio.gather(*(client.embeddings.create(model=name, input=case["text"]) for name, case in asked))
    for answer, case in zip(answers, cases, strict=True):
        check(answer.data[0].embedding, case)


@pytest.mark.parametrize(("name", "most"), [("any", LONGEST), ("fixed", 32)])
async def test_a_text_that_is_too_long_is_named(client: AsyncOpenAI, name: str, most: int) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.embeddings.create(model=name, input=["short", CASES["more than 512 tokens"]["text"]])
    assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "input")
    assert f"input[1] has 692 tokens, but this model takes {most} at most" in refused.value.message


async def test_a_long_list_holds_nobody_up_and_a_client_that_leaves_costs_nothing(client: AsyncOpenAI) -> None:
    long = CASES["longest that fits"]["text"]
    held = asyncio.create_task(client.with_options(timeout=600).embeddings.create(model="any", input=[long] * 1000))
    try:
        # Several: the list may come after the first.
        for _ in range(10):
            answer = await client.embeddings.create(model="any", input=CASES["short"]["text"])
            check(answer.data[0].embedding, CASES["short"])
        assert not held.done()
    finally:
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)
    answer = await client.embeddings.create(model="any", input=CASES["code"]["text"])
    check(answer.data[0].embedding, CASES["code"])
