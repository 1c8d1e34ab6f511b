"""Adapters beside their base model in one process, addressed as `model:adapter`."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
import pytest_asyncio
import tools
from real_gguf import write_adapter
from runtime_server import RuntimeProcess, start_runtime

pytestmark = [pytest.mark.needs("smollm2"), pytest.mark.asyncio(loop_scope="module")]

NAMES = ("m", "m:red", "m:blue")
ROUNDING = 0.05
Likely = dict[str, float]
QUESTION = "What is the sea? Answer at length, and speak of ships, of harbours and of the wind."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runtime(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RuntimeProcess]:
    folder = tmp_path_factory.mktemp("adapters")
    adapters = [
        f"{name}={write_adapter(folder / f'{name}.gguf', seed=seed)}" for name, seed in (("red", 3), ("blue", 5))
    ]
    arguments = ("--model", f"m={tools.find('smollm2')}", "--context-length", "512", "--parallel-sequences", "3")
    async with start_runtime(*arguments, "--adapter", adapters[0], "--adapter", adapters[1]) as process:
        await process.wait_for_states({"m": "Ready"})
        yield process


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone() -> Likely:
    """What the model says in a process without adapters."""
    arguments = ("--model", f"m={tools.find('smollm2')}", "--context-length", "512")
    async with start_runtime(*arguments, "--parallel-sequences", "1") as process:
        await process.wait_for_states({"m": "Ready"})
        async with openai.AsyncOpenAI(base_url=f"{process.base_url}/v1", api_key="none", max_retries=0) as client:
            return await write(client, "m")


async def write(client: openai.AsyncOpenAI, model: str) -> Likely:
    """How likely the model finds each first word: of a whole answer, a rounding could turn one word into another."""
    answer = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": QUESTION}], max_tokens=1, logprobs=True, top_logprobs=20
    )
    assert answer.model == model
    assert answer.choices[0].logprobs is not None
    (token,) = answer.choices[0].logprobs.content or ()
    return {each.token: each.logprob for each in token.top_logprobs}


def same(left: Likely, right: Likely) -> bool:
    """Whether the likeliest words of one are as likely for the other."""
    likeliest = sorted(left, key=lambda token: -left[token])[:3]
    return all(abs(left[token] - right.get(token, -100)) < ROUNDING for token in likeliest)


async def test_adapters_are_listed_beside_their_model(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == list(NAMES)
    assert (await client.models.retrieve("m:red")).id == "m:red"


async def test_an_adapter_changes_the_answers_that_are_asked_of_it_and_no_others(
    client: openai.AsyncOpenAI, alone: Likely
) -> None:
    base, red, blue = [await write(client, name) for name in NAMES]
    assert same(base, alone)
    assert not same(base, red)
    assert not same(base, blue)
    assert not same(red, blue)


async def test_who_asks_after_an_adapter_reads_nothing_of_it(client: openai.AsyncOpenAI, alone: Likely) -> None:
    """Each question goes to a sequence that has read the same words by another adapter just before."""
    first = [await write(client, name) for name in NAMES]
    again = [await write(client, name) for name in (*NAMES, *reversed(NAMES))]
    assert all(same(*pair) for pair in zip(again, [*first, *reversed(first)], strict=True))
    assert same(again[-1], alone)


async def test_what_an_adapter_read_long_ago_is_not_kept_for_the_base(tmp_path: Path, alone: Likely) -> None:
    arguments = ("--model", f"m={tools.find('smollm2')}", "--context-length", "512", "--parallel-sequences", "1")
    adapter = write_adapter(tmp_path / "red.gguf")
    async with start_runtime(*arguments, "--adapter", f"red={adapter}") as process:
        await process.wait_for_states({"m": "Ready"})
        async with openai.AsyncOpenAI(base_url=f"{process.base_url}/v1", api_key="none", max_retries=0) as client:
            await write(client, "m:red")
            await client.completions.create(model="m", prompt="1 2 3 4 5 6 7 8 9 " * 10, max_tokens=1)
            assert same(await write(client, "m"), alone)


async def test_all_may_be_asked_at_once(client: openai.AsyncOpenAI, alone: Likely) -> None:
    one_by_one = {name: await write(client, name) for name in NAMES}
    asked = NAMES * 4
    answers = await asyncio.gather(*(write(client, name) for name in asked))
    assert all(same(answer, one_by_one[name]) for answer, name in zip(answers, asked, strict=True))
    assert same(one_by_one["m"], alone)


async def test_a_completion_may_ask_an_adapter_too(client: openai.AsyncOpenAI) -> None:
    texts = {
        name: (await client.completions.create(model=name, prompt="The sea", max_tokens=12, temperature=0))
        .choices[0]
        .text
        for name in NAMES
    }
    assert len(set(texts.values())) == 3


async def test_an_adapter_that_is_not_there_is_named_with_those_that_are(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        await client.chat.completions.create(model="m:rad", messages=[{"role": "user", "content": "a"}])
    assert refused.value.code == "model_not_found"
    assert "'m:red'" in refused.value.message


async def test_an_adapter_that_the_gateway_knows_and_this_process_does_not_is_still_to_come(
    client: openai.AsyncOpenAI,
) -> None:
    """While a new adapter is rolled out, the gateway may ask a pod of the older revision for it."""
    with pytest.raises(openai.InternalServerError) as refused:
        await client.completions.create(model="m", prompt="a", extra_headers={"x-berth-model": "m:green"})
    assert (refused.value.status_code, refused.value.code) == (503, "model_loading")
    assert refused.value.response.headers["retry-after"] == "5"


async def test_a_file_that_is_no_adapter_for_this_model_is_named(tmp_path: Path) -> None:
    path = write_adapter(tmp_path / "narrow.gguf", inner=64)
    async with start_runtime("--model", f"m={tools.find('smollm2')}", "--adapter", f"sql={path}") as process:
        status = await process.wait_for_states({"m": "Failed"})
    assert "the adapter 'sql' (narrow.gguf)" in status["m"]["message"]
