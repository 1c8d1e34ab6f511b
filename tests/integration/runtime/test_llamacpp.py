"""A real model on llama.cpp, asked by the official OpenAI client: what it answers, and what it lets go."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest
import pytest_asyncio
import tools
from leaving_client import ask_and_leave
from openai_requests import send
from openapi import EVENTS, JSON, Json, answer_content, operations, validator, whole_stream
from runtime_server import RuntimeProcess, eventually, start_runtime

pytestmark = [pytest.mark.needs("smollm2"), pytest.mark.asyncio(loop_scope="module")]

PROMPT: Any = [{"role": "user", "content": "Tell me a long story about a harbour."}]
SEQUENCES = 4
END_OF_TURN = 2
SOME_TOKEN = 28120
LONG = {"max_tokens": 800, "ignore_eos": True, "temperature": 0}  # some seconds on any machine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runtime() -> AsyncIterator[RuntimeProcess]:
    path = tools.find("smollm2")
    arguments = ("--model", f"smollm2={path}", "--context-length", "1024", "--parallel-sequences", str(SEQUENCES))
    async with start_runtime(*arguments) as process:
        await process.wait_for_states({"smollm2": "Ready"})
        yield process


async def test_the_model_is_listed(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["smollm2"]
    assert (await client.models.retrieve("smollm2")).owned_by == "berth"


async def test_a_plain_chat(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="smollm2", messages=PROMPT, max_tokens=12)
    assert answer.model == "smollm2"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 12
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 12


@pytest.mark.parametrize(
    ("path", "operation"), [each for each in operations("post") if EVENTS in answer_content(each[1])]
)
async def test_what_it_says_has_the_form_that_the_document_says(
    runtime: RuntimeProcess, path: str, operation: Json
) -> None:
    asked = operation["requestBody"]["content"][JSON]["example"]
    forms = answer_content(operation)
    async with aiohttp.ClientSession() as session:
        plain = await send(session, runtime.base_url + path, {**asked, "logprobs": 2 if "prompt" in asked else None})
        validator(forms[JSON]["schema"]).validate(plain.json)
        stream = await send(session, runtime.base_url + path, {**asked, "stream": True})
    events = whole_stream(stream.text)
    assert len(events) > 2
    for event in events:
        validator(forms[EVENTS]["schema"]).validate(event)


async def test_the_first_token_of_a_stream_comes_while_the_engine_still_works(
    runtime: RuntimeProcess, client: openai.AsyncOpenAI
) -> None:
    stream = await client.chat.completions.create(model="smollm2", messages=PROMPT, stream=True, extra_body=LONG)
    async for event in stream:
        if event.choices[0].delta.content:
            break
    assert await runtime.has_in_flight("smollm2", 1)
    await stream.close()
    await eventually(lambda: runtime.has_in_flight("smollm2", 0))


async def test_who_ignores_the_end_gets_every_token_that_was_asked_for(client: openai.AsyncOpenAI) -> None:
    more = {"ignore_eos": True, "logit_bias": {str(END_OF_TURN): 100}}
    asked: Any = {"model": "smollm2", "max_tokens": 40, "temperature": 0}
    chat = await client.chat.completions.create(messages=PROMPT, extra_body=more, **asked)
    text = await client.completions.create(prompt="Once", extra_body=more, **asked)
    for answer in (chat, text):
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 40


async def test_a_stream_and_a_plain_answer_say_the_same(client: openai.AsyncOpenAI) -> None:
    plain = await client.chat.completions.create(model="smollm2", messages=PROMPT, max_tokens=20, temperature=0)
    stream = await client.chat.completions.create(
        model="smollm2", messages=PROMPT, max_tokens=20, temperature=0, stream=True
    )
    text = "".join([event.choices[0].delta.content or "" async for event in stream])
    assert text == plain.choices[0].message.content


async def test_usage_of_a_stream_comes_only_when_asked_and_last(client: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": "smollm2", "messages": PROMPT, "max_tokens": 5, "stream": True}
    without = [event async for event in await client.chat.completions.create(**asked)]
    assert all(event.usage is None and event.choices for event in without)
    asked["stream_options"] = {"include_usage": True}
    with_usage = [event async for event in await client.chat.completions.create(**asked)]
    assert with_usage[-1].choices == []
    assert with_usage[-1].usage is not None
    assert with_usage[-1].usage.completion_tokens == 5
    assert all(event.usage is None for event in with_usage[:-1])


async def test_several_choices_differ_and_their_usage_is_summed(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="smollm2", messages=PROMPT, max_tokens=8, n=3, seed=5, temperature=1.5
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) == 3
    one = await client.chat.completions.create(model="smollm2", messages=PROMPT, max_tokens=1)
    assert answer.usage is not None
    assert one.usage is not None
    assert answer.usage.completion_tokens == 24
    assert answer.usage.prompt_tokens == one.usage.prompt_tokens


async def test_several_choices_of_a_stream_keep_their_index(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="smollm2", messages=PROMPT, max_tokens=4, n=2, stream=True, stream_options={"include_usage": True}
    )
    events = [event async for event in stream]
    assert {choice.index for event in events for choice in event.choices} == {0, 1}
    assert [event.usage.completion_tokens for event in events if event.usage] == [8]


async def test_more_choices_than_sequences_are_refused(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model="smollm2", messages=PROMPT, n=SEQUENCES + 1)
    assert refused.value.param == "n"


async def test_the_same_seed_gives_the_same_words(client: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": "smollm2", "messages": PROMPT, "max_tokens": 12, "temperature": 1.5}
    first, second, other = [
        (await client.chat.completions.create(seed=seed, **asked)).choices[0].message.content for seed in (7, 7, 8)
    ]
    assert first == second != other


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 0.001}, {"min_p": 1}, {"typical_p": 0.001}])
async def test_what_narrows_the_choice_leaves_one_answer_whatever_the_seed(
    client: openai.AsyncOpenAI, narrow: dict[str, Any]
) -> None:
    async def write(seed: int, more: dict[str, Any]) -> str:
        answer = await client.completions.create(
            model="smollm2", prompt="Once upon a time", max_tokens=10, temperature=1.5, seed=seed, extra_body=more
        )
        return answer.choices[0].text

    assert await write(1, {}) != await write(2, {})
    assert await write(1, narrow) == await write(2, narrow)


@pytest.mark.parametrize("penalty", [{"presence_penalty": 2}, {"frequency_penalty": 2}, {"repeat_penalty": 1.8}])
async def test_a_penalty_keeps_the_model_from_saying_the_same_again(
    client: openai.AsyncOpenAI, penalty: dict[str, Any]
) -> None:
    async def repeats(more: dict[str, Any]) -> int:
        answer = await client.completions.create(
            model="smollm2", prompt="The sea.", max_tokens=64, temperature=0, logprobs=1, extra_body=more
        )
        assert answer.choices[0].logprobs is not None
        tokens = answer.choices[0].logprobs.tokens or []
        return len(tokens) - len(set(tokens))

    assert await repeats(penalty) < await repeats({}) / 2


async def test_a_bias_brings_a_token_in_and_keeps_it_out(client: openai.AsyncOpenAI) -> None:
    async def write(bias: dict[str, int]) -> list[str]:
        answer = await client.completions.create(
            model="smollm2", prompt="1, 2, 3, 4,", max_tokens=4, temperature=0, logit_bias=bias, logprobs=1
        )
        assert answer.choices[0].logprobs is not None
        return answer.choices[0].logprobs.tokens or []

    usual = await write({})
    always = await write({str(SOME_TOKEN): 100})
    assert len(set(always)) == 1
    assert always[0] not in usual
    assert always[0] not in await write({str(SOME_TOKEN): -100})


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_an_answer_has_no_more_tokens_than_were_asked_for(client: openai.AsyncOpenAI, name: str) -> None:
    asked: Any = {"model": "smollm2", "messages": PROMPT, name: 3}
    answer = await client.chat.completions.create(**asked)
    assert answer.usage is not None
    assert (answer.usage.completion_tokens, answer.choices[0].finish_reason) == (3, "length")


async def test_an_answer_is_an_object_where_one_is_asked_for(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": "Describe a ship in three words."}],
        max_tokens=300,
        temperature=0,
        response_format={"type": "json_object"},
    )
    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)


async def test_what_was_read_for_one_request_is_not_read_again_for_the_next(client: openai.AsyncOpenAI) -> None:
    """And nothing tells so but the time that it takes: how much was known already would tell of others' words."""

    async def write(prompt: str) -> tuple[float, str]:
        started = asyncio.get_running_loop().time()
        answer = await client.completions.create(model="smollm2", prompt=prompt, max_tokens=4, temperature=0)
        assert answer.usage is not None
        assert answer.usage.prompt_tokens_details is None
        return asyncio.get_running_loop().time() - started, answer.choices[0].text

    prompts = [f"Harbour number {number}. " * 90 for number in range(3)]
    first = [await write(prompt) for prompt in prompts]
    again = [await write(prompt) for prompt in prompts]
    assert [text for _, text in again] == [text for _, text in first]
    assert min(took for took, _ in again) < min(took for took, _ in first) / 2


async def test_a_stop_word_ends_the_answer_and_is_left_out(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model="smollm2", prompt="1, 2, 3, 4,", stop=["8"], temperature=0)
    assert answer.choices[0].finish_reason == "stop"
    assert "7" in answer.choices[0].text
    assert "8" not in answer.choices[0].text


async def test_log_probabilities_of_a_chat(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="smollm2", messages=PROMPT, max_tokens=3, logprobs=True, top_logprobs=2
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert [len(token.top_logprobs) for token in logprobs.content] == [2, 2, 2]
    assert "".join(token.token for token in logprobs.content) == answer.choices[0].message.content


@pytest.mark.parametrize("more", [{}, {"top_logprobs": 0}])
async def test_log_probabilities_of_the_chosen_tokens_alone(client: openai.AsyncOpenAI, more: Any) -> None:
    answer = await client.chat.completions.create(
        model="smollm2", messages=PROMPT, max_tokens=3, logprobs=True, extra_body=more
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert [token.top_logprobs for token in logprobs.content] == [[], [], []]
    text = await client.completions.create(model="smollm2", prompt="Once upon", max_tokens=2, logprobs=0)
    assert text.choices[0].logprobs is not None
    assert text.choices[0].logprobs.top_logprobs == [{}, {}]


async def test_a_developer_speaks_as_the_system_where_the_template_has_no_developer(
    client: openai.AsyncOpenAI,
) -> None:
    probabilities = []
    for role in ("system", "developer"):
        messages: Any = [{"role": role, "content": "You are a pirate."}, *PROMPT]
        answer = await client.chat.completions.create(
            model="smollm2", messages=messages, max_tokens=3, temperature=0, logprobs=True
        )
        assert answer.choices[0].logprobs is not None
        probabilities.append([token.logprob for token in answer.choices[0].logprobs.content or []])
    assert probabilities[0] == pytest.approx(probabilities[1], abs=0.01)


async def test_log_probabilities_of_a_completion_have_its_own_form(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model="smollm2", prompt="Once upon", max_tokens=3, logprobs=2)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens is not None
    assert logprobs.text_offset is not None
    assert "".join(logprobs.tokens) == answer.choices[0].text
    assert logprobs.text_offset == [0, len(logprobs.tokens[0]), len(logprobs.tokens[0]) + len(logprobs.tokens[1])]


async def test_several_prompts_are_completed_in_their_order(client: openai.AsyncOpenAI) -> None:
    prompts = ["The sea is", "1 2 3 4 5"]
    both = await client.completions.create(model="smollm2", prompt=prompts, max_tokens=4, temperature=0)
    assert [choice.index for choice in both.choices] == [0, 1]
    assert both.choices[1].text.strip().startswith("6")
    assert both.usage is not None
    assert both.usage.completion_tokens == 8


async def test_a_streamed_completion(client: openai.AsyncOpenAI) -> None:
    stream = await client.completions.create(model="smollm2", prompt="Once upon", max_tokens=5, stream=True)
    events = [event async for event in stream]
    assert events[-1].choices[0].finish_reason == "length"
    assert all(event.usage is None for event in events)


async def test_an_answer_keeps_to_a_json_schema(client: openai.AsyncOpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}, "people": {"type": "integer", "maximum": 99}},
        "required": ["city", "people"],
        "additionalProperties": False,
    }
    answer = await client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": "Name a city."}],
        max_tokens=80,
        response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": schema}},
    )
    assert set(json.loads(answer.choices[0].message.content or "")) == {"city", "people"}


@pytest.mark.parametrize("of", [{"type": "nonsense"}, {"type": "string", "pattern": "^((a{0,500}){0,500}){0,500}$"}])
async def test_a_schema_that_can_not_be_kept_to_is_refused(client: openai.AsyncOpenAI, of: dict[str, Any]) -> None:
    schema: Any = {"name": "x", "schema": of}
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(
            model="smollm2",
            messages=PROMPT,
            response_format={"type": "json_schema", "json_schema": schema},
        )
    assert refused.value.param == "response_format"


async def test_tools_are_refused_where_the_template_has_no_place_for_them(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(
            model="smollm2",
            messages=PROMPT,
            tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        )
    assert refused.value.code == "unsupported_parameter"
    assert refused.value.param == "tools"


async def test_a_prompt_that_is_too_long_says_both_numbers(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.completions.create(model="smollm2", prompt="word " * 3000)
    assert refused.value.code == "context_length_exceeded"
    assert "1024" in refused.value.message


async def test_more_streams_than_sequences_all_come_to_their_end(client: openai.AsyncOpenAI) -> None:
    async def stream() -> int:
        asked = await client.chat.completions.create(model="smollm2", messages=PROMPT, max_tokens=8, stream=True)
        return len([event async for event in asked])

    counts = await asyncio.gather(*(stream() for _ in range(SEQUENCES * 2)))
    assert all(count >= 8 for count in counts)


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_client_that_leaves_stops_the_generation_and_frees_its_sequence(
    runtime: RuntimeProcess, client: openai.AsyncOpenAI, streamed: bool
) -> None:
    generated = await ask_and_leave(
        runtime, client, model="smollm2", streamed=streamed, messages=PROMPT, extra_body=LONG
    )
    assert generated < LONG["max_tokens"]
