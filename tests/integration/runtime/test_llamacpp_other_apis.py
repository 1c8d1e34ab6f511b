"""Responses and Messages on llama.cpp, asked by the clients of OpenAI and Anthropic."""

from collections.abc import AsyncIterator
from typing import Any, Literal

import anthropic
import openai
import pydantic
import pytest
import pytest_asyncio
import tools
from runtime_server import RuntimeProcess, eventually, start_runtime

pytestmark = [pytest.mark.needs("smollm2"), pytest.mark.asyncio(loop_scope="module")]

PROMPT: Any = [{"role": "user", "content": "Tell me a long story about a harbour."}]
BRIEF: Any = {"role": "system", "content": "You are a pirate."}
COLD = {"temperature": 0}


class Ship(pydantic.BaseModel):
    name: Literal["Argo", "Beagle"]
    masts: Literal[1, 2]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runtime() -> AsyncIterator[RuntimeProcess]:
    async with start_runtime("--model", f"smollm2={tools.find('smollm2')}", "--context-length", "1024") as process:
        await process.wait_for_states({"smollm2": "Ready"})
        yield process


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def claude(runtime: RuntimeProcess) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=runtime.base_url, api_key="none", max_retries=0) as client:
        yield client


async def test_they_say_what_a_chat_says_whole_and_as_a_stream(
    client: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic
) -> None:
    chat = await client.chat.completions.create(
        model="smollm2", messages=[BRIEF, *PROMPT], max_tokens=20, temperature=0
    )
    said, usage = chat.choices[0].message.content, chat.usage
    assert usage is not None
    asked: Any = {"model": "smollm2", "input": PROMPT, "instructions": BRIEF["content"], "max_output_tokens": 20}
    response = await client.responses.create(**asked, temperature=0)
    async with client.responses.stream(**asked, temperature=0) as responses:
        events: list[Any] = [event async for event in responses]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    streamed = events[-1].response
    asked = {"model": "smollm2", "messages": PROMPT, "system": BRIEF["content"], "max_tokens": 20}
    message = await claude.messages.create(**asked, extra_body=COLD)
    async with claude.messages.stream(**asked, extra_body=COLD) as messages:
        words = [text async for text in messages.text_stream]
        final = await messages.get_final_message()
    assert message.content[0].type == final.content[0].type == "text"
    texts = [response.output_text, streamed.output_text, "".join(deltas), message.content[0].text, "".join(words)]
    assert texts == [said] * 5
    assert min(len(deltas), len(words)) > 10
    for told in (response.usage, streamed.usage, message.usage, final.usage):
        assert told is not None
        assert (told.input_tokens, told.output_tokens) == (usage.prompt_tokens, usage.completion_tokens)
    assert response.status == streamed.status == "incomplete"
    assert message.stop_reason == final.stop_reason == "max_tokens"


async def test_their_answers_keep_to_a_schema(client: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic) -> None:
    asked: Any = {"model": "smollm2", "extra_body": COLD}
    response = await client.responses.parse(**asked, input=PROMPT, text_format=Ship, max_output_tokens=40)
    assert isinstance(response.output_parsed, Ship)
    assert (response.status, response.store) == ("completed", False)
    message = await claude.messages.parse(**asked, messages=PROMPT, output_format=Ship, max_tokens=40)
    assert isinstance(message.parsed_output, Ship)
    assert message.stop_reason == "end_turn"


async def test_a_conversation_goes_on_with_what_came_back(
    client: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic
) -> None:
    turns: Any = [*PROMPT]
    response = await client.responses.create(model="smollm2", input=turns, max_output_tokens=6)
    turns += [item.model_dump() for item in response.output]
    again = await client.responses.create(
        model="smollm2", input=[*turns, {"role": "user", "content": "Go on."}], max_output_tokens=6
    )
    assert again.output_text
    message = await claude.messages.create(model="smollm2", messages=PROMPT, max_tokens=6)
    later: Any = [*PROMPT, {"role": "assistant", "content": message.content}, {"role": "user", "content": "Go on."}]
    more = await claude.messages.create(model="smollm2", messages=later, max_tokens=6)
    assert more.usage.input_tokens > message.usage.input_tokens


async def test_their_clients_know_what_they_are_refused(
    client: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model="smollm2", input="x", previous_response_id="resp_1")
    assert (refused.value.param, refused.value.code) == ("previous_response_id", "unsupported_parameter")
    with pytest.raises(openai.NotFoundError, match="Answers are not kept here"):
        await client.responses.retrieve("resp_1")
    with pytest.raises(anthropic.NotFoundError, match="'smollm3' does not exist"):
        await claude.messages.create(model="smollm3", messages=PROMPT, max_tokens=5)
    words: Any = [{"role": "user", "content": "word " * 3000}]
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
        await claude.messages.create(model="smollm2", messages=words, max_tokens=5)
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model="smollm2", input=words)
    assert refused.value.code == "context_length_exceeded"


async def test_a_stream_begins_while_the_engine_works_and_ends_when_its_client_leaves(
    runtime: RuntimeProcess, claude: anthropic.AsyncAnthropic
) -> None:
    stream = await claude.messages.create(model="smollm2", messages=PROMPT, max_tokens=800, stream=True)
    async for event in stream:
        if event.type == "content_block_delta":
            break
    assert await runtime.has_in_flight("smollm2", 1)
    await stream.close()
    await eventually(lambda: runtime.has_in_flight("smollm2", 0))
