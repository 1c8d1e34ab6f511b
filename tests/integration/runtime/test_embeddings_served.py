"""MiniLM behind the real command and the official client: what clients see of embeddings."""

import asyncio
import base64
import json
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

from berth_store.convert.encoder import convert_encoder

pytestmark = [pytest.mark.needs("minilm"), pytest.mark.asyncio(loop_scope="module")]

CASES: dict[str, dict[str, Any]] = {
    case["name"]: case
    for case in json.loads((Path(__file__).parents[2] / "reference/minilm.json").read_text())["cases"]
}
FITTING = [case for case in CASES.values() if case["text"] and case["tokens"] <= 256]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    weights = tools.find("minilm")
    assert weights is not None
    return convert_encoder(weights.parent, tmp_path_factory.mktemp("served")).parent


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(folder: Path) -> AsyncIterator[AsyncOpenAI]:
    async with start_runtime("--model", f"minilm={folder}") as runtime:
        await runtime.wait_for_states({"minilm": "Ready"})
        async with AsyncOpenAI(base_url=f"{runtime.base_url}/v1", api_key="none", max_retries=0) as client:
            yield client


def difference(embedding: list[float], case: dict[str, Any]) -> float:
    return float(np.abs(np.array(embedding) - np.frombuffer(base64.b64decode(case["vector"]), "<f4")).max())


@pytest.mark.parametrize("encoding_format", ["float", "base64"])
async def test_vectors_arrive_as_the_reference_has_them(client: AsyncOpenAI, encoding_format: Any) -> None:
    texts = [case["text"] for case in FITTING]
    answer = await client.embeddings.create(model="minilm", input=texts, encoding_format=encoding_format)
    assert answer.model == "minilm"
    assert answer.usage.prompt_tokens == sum(case["tokens"] for case in FITTING)
    for row, case in zip(answer.data, FITTING, strict=True):
        values = row.embedding
        if isinstance(values, str):
            values = np.frombuffer(base64.b64decode(values), "<f4").tolist()
        assert difference(values, case) < 1e-4


async def test_many_clients_at_once_each_get_their_own_vector(client: AsyncOpenAI) -> None:
    cases = FITTING * 8
    answers = await asyncio.gather(*(client.embeddings.create(model="minilm", input=case["text"]) for case in cases))
    assert all(difference(answer.data[0].embedding, case) < 1e-4 for answer, case in zip(answers, cases, strict=True))


@pytest.mark.parametrize(
    ("inputs", "code", "words"),
    [
        (["short", CASES["more than 512 tokens"]["text"]], "context_length_exceeded", "input[1] has 692 tokens"),
        ([[101, 102], [101, 30522]], "invalid_value", "input[1] has token id 30522"),
    ],
)
async def test_an_input_that_can_not_be_embedded_is_named(
    client: AsyncOpenAI, inputs: Any, code: str, words: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.embeddings.create(model="minilm", input=inputs)
    assert (refused.value.code, refused.value.param) == (code, "input")
    assert words in refused.value.message


async def test_a_client_that_gives_up_costs_the_others_nothing(client: AsyncOpenAI) -> None:
    long = CASES["longest that fits"]["text"]
    with pytest.raises(openai.APITimeoutError):
        await client.with_options(timeout=0.3).embeddings.create(model="minilm", input=[long] * 1000)
    answer = await asyncio.wait_for(client.embeddings.create(model="minilm", input="Berth serves models."), 20)
    assert difference(answer.data[0].embedding, CASES["short"]) < 1e-4
