"""A real model as an ONNX graph that writes text, asked by the official OpenAI client: what it answers and lets go."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
import pytest_asyncio
import tools
from leaving_client import ask_and_leave
from onnx_decoder import smollm2_onnx
from openai_requests import send
from openapi import EVENTS, JSON, answer_content, operations, validator, whole_stream
from runtime_server import RuntimeProcess, eventually, start_runtime

from berth_api.artifact import Format, Task
from berth_store.detect import detect

pytestmark = [pytest.mark.needs("smollm2"), pytest.mark.asyncio(loop_scope="module")]

NAME = "smollm2-onnx"
SEQUENCES, CONTEXT = 3, 512
PROMPT: Any = [{"role": "user", "content": "Tell me a long story about a harbour."}]
LONG: Any = {"max_tokens": 450, "temperature": 0, "extra_body": {"ignore_eos": True}}
PROMPTS = ("1, 2, 3, 4, 5, 6,", "2 4 6 8 10 12", "The opposite of hot is", "The capital of France is")
SURE = 2.0  # how much likelier the first token is than the second, as a logarithm


@pytest.fixture(scope="module")
def folder() -> Path:
    return smollm2_onnx()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runtime(folder: Path) -> AsyncIterator[RuntimeProcess]:
    arguments = ("--context-length", str(CONTEXT), "--parallel-sequences", str(SEQUENCES))
    async with start_runtime("--model", f"{NAME}={folder}", *arguments) as process:
        await process.wait_for_states({NAME: "Ready"})
        yield process


async def test_its_files_say_what_it_is(folder: Path) -> None:
    found = detect(folder)
    assert (found.format, found.task) == (Format.ONNX, Task.CHAT)
    assert (found.artifact.architecture, found.artifact.quantization) == ("llama", "INT4")
    assert found.artifact.context_length == 8192
    assert found.artifact.parameters == pytest.approx(134_515_008, rel=0.02)
    assert [path.name for path in found.weights] == ["model.onnx", "model.onnx.data"]


async def test_it_says_what_llama_cpp_says_where_that_is_sure(client: openai.AsyncOpenAI) -> None:
    """Of the same weights, but for their second rounding: the second likeliest token is far behind."""
    source, sure = tools.find("smollm2"), 0
    async with start_runtime("--model", f"smollm2={source}", "--context-length", str(CONTEXT)) as process:
        await process.wait_for_states({"smollm2": "Ready"})
        async with openai.AsyncOpenAI(base_url=f"{process.base_url}/v1", api_key="none") as other:
            for prompt in PROMPTS:
                asked: Any = {"prompt": prompt, "max_tokens": 8, "temperature": 0}
                theirs = await other.completions.create(model="smollm2", logprobs=2, **asked)
                ours = await client.completions.create(model=NAME, **asked)
                words = sure_beginning(theirs.choices[0].logprobs)
                sure += len(words)
                assert ours.choices[0].text.startswith("".join(words))
                assert ours.usage is not None
                assert theirs.usage is not None
                assert ours.usage.prompt_tokens == theirs.usage.prompt_tokens
            chats = [
                await each.chat.completions.create(model=name, messages=PROMPT, max_tokens=1, temperature=0)
                for each, name in ((client, NAME), (other, "smollm2"))
            ]
    assert sure >= 10
    assert chats[0].usage == chats[1].usage  # both write a chat down by the same template


def sure_beginning(found: Any) -> list[str]:
    """The tokens before the first one that was chosen narrowly."""
    words: list[str] = []
    for word, likeliest in zip(found.tokens, found.top_logprobs, strict=True):
        second, first = sorted(likeliest.values())[-2:]
        if first - second < SURE:
            break
        words.append(word)
    return words


@pytest.mark.parametrize(
    ("path", "operation"), [each for each in operations("post") if EVENTS in answer_content(each[1])]
)
async def test_what_it_says_has_the_form_that_the_document_says(
    runtime: RuntimeProcess, path: str, operation: dict[str, Any]
) -> None:
    asked = {**operation["requestBody"]["content"][JSON]["example"], "model": NAME}
    forms = answer_content(operation)
    async with aiohttp.ClientSession() as session:
        plain = await send(session, runtime.base_url + path, asked)
        validator(forms[JSON]["schema"]).validate(plain.json)
        stream = await send(session, runtime.base_url + path, {**asked, "stream": True})
    events = whole_stream(stream.text)
    assert len(events) > 2
    for event in events:
        validator(forms[EVENTS]["schema"]).validate(event)


async def test_a_stream_says_the_same_as_a_plain_answer_and_its_usage_last(client: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": NAME, "messages": PROMPT, "max_tokens": 20, "temperature": 0}
    plain = await client.chat.completions.create(**asked)
    stream = await client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    *events, last = [event async for event in stream]
    assert "".join(event.choices[0].delta.content or "" for event in events) == plain.choices[0].message.content
    assert events[0].choices[0].delta.role == "assistant"
    assert [event.choices[0].finish_reason for event in events if event.choices[0].finish_reason] == ["length"]
    assert (last.choices, last.usage) == ([], plain.usage)
    assert plain.usage is not None
    assert plain.usage.completion_tokens == 20


async def test_characters_of_several_tokens_come_whole(client: openai.AsyncOpenAI) -> None:
    prompt = "日本 日本 日本 日本 日本 日本"
    stream = await client.completions.create(model=NAME, prompt=prompt, max_tokens=12, temperature=0, stream=True)
    pieces = [event.choices[0].text async for event in stream]
    assert "日本" in "".join(pieces)
    assert "�" not in "".join(pieces)


async def test_a_stop_word_ends_the_answer_and_is_left_out(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model=NAME, prompt="1, 2, 3, 4,", stop=["8", "never"], temperature=0)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].text == " 5, 6, 7, "


async def test_several_prompts_and_choices_keep_their_order(client: openai.AsyncOpenAI) -> None:
    both = await client.completions.create(
        model=NAME, prompt=["The sea is", "1 2 3 4 5"], max_tokens=4, temperature=0, n=2
    )
    assert [choice.index for choice in both.choices] == [0, 1, 2, 3]
    assert both.choices[2].text == both.choices[3].text
    assert both.choices[2].text.startswith(" 6")
    assert both.usage is not None
    assert both.usage.completion_tokens == 16


async def test_choices_differ_and_a_seed_gives_them_again(client: openai.AsyncOpenAI) -> None:
    async def words() -> list[str | None]:
        answer = await client.chat.completions.create(
            model=NAME, messages=PROMPT, max_tokens=8, n=SEQUENCES, seed=5, temperature=1.2
        )
        return [choice.message.content for choice in answer.choices]

    await words()  # the prompt is read in one piece now, and after that not again: numbers differ by rounding
    first = await words()
    assert len(set(first)) == SEQUENCES
    assert await words() == first


async def test_more_answers_than_there_is_room_for_come_one_after_the_other(client: openai.AsyncOpenAI) -> None:
    async def stream() -> int:
        asked = await client.chat.completions.create(model=NAME, messages=PROMPT, max_tokens=6, stream=True)
        return len([event async for event in asked])

    assert all(count >= 2 for count in await asyncio.gather(*(stream() for _ in range(2 * SEQUENCES))))


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_client_that_leaves_frees_its_place(
    runtime: RuntimeProcess, client: openai.AsyncOpenAI, streamed: bool
) -> None:
    generated = await ask_and_leave(runtime, client, model=NAME, streamed=streamed, messages=PROMPT, **LONG)
    assert generated < LONG["max_tokens"]


async def test_one_that_comes_later_is_answered_before_a_long_one_ends(
    runtime: RuntimeProcess, client: openai.AsyncOpenAI
) -> None:
    await eventually(lambda: runtime.has_in_flight(NAME, 0))
    stream = await client.chat.completions.create(model=NAME, messages=PROMPT, stream=True, **LONG)
    await anext(aiter(stream))
    short = await client.completions.create(model=NAME, prompt="1, 2, 3,", max_tokens=2, temperature=0)
    assert short.choices[0].text
    assert await runtime.has_in_flight(NAME, 1)
    await stream.close()


BAD: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "a prompt that is too long": ({"prompt": "word " * 600}, "context_length_exceeded", None),
    "a prompt that is far too long": ({"prompt": "word" * 100_000}, "context_length_exceeded", "prompt"),
    "a token that is none": ({"prompt": [1, 999_999]}, "invalid_value", "prompt"),
    "a bias for a token that is none": ({"prompt": "a", "logit_bias": {"999999": 1}}, "invalid_value", "logit_bias"),
    "log probabilities": ({"prompt": "a", "logprobs": 1}, "unsupported_parameter", "logprobs"),
    "too many choices": ({"prompt": "a", "n": SEQUENCES + 1}, "invalid_value", "n"),
    "a temperature that can't be": ({"prompt": "a", "temperature": 9}, "invalid_value", "temperature"),
}


@pytest.mark.parametrize(("asked", "code", "param"), BAD.values(), ids=BAD.keys())
async def test_a_bad_request_says_what_is_wrong(
    runtime: RuntimeProcess, asked: dict[str, Any], code: str, param: str | None
) -> None:
    async with aiohttp.ClientSession() as session:
        answer = await send(session, f"{runtime.base_url}/v1/completions", {"model": NAME, **asked})
    assert answer.status == 400
    assert answer.json["error"]["code"] == code
    assert answer.json["error"]["param"] == param


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
    ],
)
async def test_what_it_can_not_do_is_refused_by_name(
    client: openai.AsyncOpenAI, more: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model=NAME, messages=PROMPT, **more)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", param)


async def test_it_tells_its_limits(runtime: RuntimeProcess) -> None:
    status = (await runtime.status())[NAME]
    assert (status["contextLength"], status["parallelRequests"]) == (CONTEXT, SEQUENCES)
