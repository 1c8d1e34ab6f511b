"""Calls of functions, asked by the official client of a model whose template has a place for them."""

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio
import tools
from runtime_server import start_runtime

pytestmark = [pytest.mark.needs("smollm2"), pytest.mark.asyncio(loop_scope="module")]

# The form of Hermes and Qwen: tools in the system message, calls between tags.
TOOL_TEMPLATE = """
{%- if tone %}<|im_start|>system
{{ tone }}<|im_end|>
{% endif %}
{%- if tools %}<|im_start|>system
You may call functions. They are described within <tools></tools>:
<tools>
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
</tools>
For each call answer with <tool_call>
{"name": "...", "arguments": {...}}
</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == "assistant" and message.tool_calls %}<|im_start|>assistant
{%- for call in message.tool_calls %}{{ "\\n" }}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% elif message.role == "tool" %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% else %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 10}},
            "required": ["city"],
        },
    },
}

ADD: Any = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/digit"}, "b": {"$ref": "#/$defs/digit"}},
            "required": ["a", "b"],
            "additionalProperties": False,
            "$defs": {"digit": {"type": "integer", "minimum": 0, "maximum": 9}},
        },
    },
}
STORY: Any = [{"role": "user", "content": "Tell me a long story."}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[openai.AsyncOpenAI]:
    template = tmp_path_factory.mktemp("template") / "tools.jinja"
    template.write_text(TOOL_TEMPLATE)
    arguments = ("--model", f"m={tools.find('smollm2')}", "--chat-template", str(template), "--context-length", "1024")
    async with start_runtime(*arguments, "--parallel-sequences", "2") as runtime:
        await runtime.wait_for_states({"m": "Ready"})
        async with openai.AsyncOpenAI(base_url=f"{runtime.base_url}/v1", api_key="none", max_retries=0) as client:
            yield client


def a_call(city: str) -> list[dict[str, Any]]:
    """A question and the call that answers it; a few of them, and the smallest model does the same."""
    call = {"name": "weather", "arguments": json.dumps({"city": city})}
    return [
        {"role": "user", "content": f"What is the weather in {city}?"},
        {"role": "assistant", "tool_calls": [{"id": city, "type": "function", "function": call}]},
    ]


def two_calls(first: str, second: str) -> list[dict[str, Any]]:
    question, answer = a_call(first)
    _, other = a_call(second)
    question["content"] = f"What is the weather in {first} and in {second}?"
    return [question, {**answer, "tool_calls": [*answer["tool_calls"], *other["tool_calls"]]}]


ROME: Any = [
    *(message for city in ("Paris", "London", "Madrid", "Berlin") for message in a_call(city)),
    {"role": "user", "content": "What is the weather in Rome?"},
]


async def test_a_model_calls_a_function_by_itself(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="m", messages=ROME, tools=[WEATHER], temperature=0, max_tokens=60
    )
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls
    call: Any = choice.message.tool_calls[0]
    assert call.id
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Rome"})


async def test_a_stream_of_a_call_says_the_same(client: openai.AsyncOpenAI) -> None:
    asked = await client.chat.completions.create(
        model="m", messages=ROME, tools=[WEATHER], temperature=0, max_tokens=60, stream=True
    )
    name, arguments, end = await collect(asked)
    assert (name, json.loads(arguments), end) == ("weather", {"city": "Rome"}, "tool_calls")


RESPONSES_WEATHER: Any = {"type": "function", **WEATHER["function"]}
MESSAGES_WEATHER: Any = {"name": "weather", "input_schema": WEATHER["function"]["parameters"]}


def as_items(messages: Any) -> list[dict[str, Any]]:
    """The same chat in the words of the Responses API."""
    items: list[dict[str, Any]] = []
    for message in messages:
        calls = message.get("tool_calls", ())
        items += [{"type": "function_call", "call_id": call["id"], **call["function"]} for call in calls]
        items += [] if calls else [message]
    return items


def as_blocks(messages: Any) -> list[Any]:
    """The same chat in the words of the Messages API."""
    turns: list[Any] = []
    for message in messages:
        calls = [
            {
                "type": "tool_use",
                "id": call["id"],
                "name": call["function"]["name"],
                "input": json.loads(call["function"]["arguments"]),
            }
            for call in message.get("tool_calls", ())
        ]
        turns.append({"role": message["role"], "content": calls or message["content"]})
    return turns


async def test_a_model_calls_a_function_in_the_responses_api(client: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": "m", "input": as_items(ROME), "tools": [RESPONSES_WEATHER], "temperature": 0}
    response = await client.responses.create(**asked, max_output_tokens=60)
    (call,) = [item for item in response.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments), response.status) == ("weather", {"city": "Rome"}, "completed")
    async with client.responses.stream(**asked, max_output_tokens=60) as stream:
        kinds = {event.type async for event in stream}
        final = await stream.get_final_response()
    assert {"response.function_call_arguments.delta", "response.function_call_arguments.done"} <= kinds
    assert [item.arguments for item in final.output if item.type == "function_call"] == [call.arguments]
    told = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    turns = [*as_items(ROME), *(item.model_dump(exclude_none=True) for item in response.output), told]
    assert (await client.responses.create(**{**asked, "input": turns}, max_output_tokens=8)).output


async def test_a_model_calls_a_function_in_the_messages_api(client: openai.AsyncOpenAI) -> None:
    base_url = str(client.base_url).removesuffix("/v1/")
    asked: Any = {
        "model": "m",
        "messages": as_blocks(ROME),
        "tools": [MESSAGES_WEATHER],
        "extra_body": {"temperature": 0},
    }
    async with anthropic.AsyncAnthropic(base_url=base_url, api_key="none", max_retries=0) as claude:
        message = await claude.messages.create(**asked, max_tokens=60)
        assert message.stop_reason == "tool_use"
        (call,) = [block for block in message.content if block.type == "tool_use"]
        assert (call.name, call.input) == ("weather", {"city": "Rome"})
        async with claude.messages.stream(**asked, max_tokens=60) as stream:
            final = await stream.get_final_message()
        assert [block.input for block in final.content if block.type == "tool_use"] == [call.input]
        told: Any = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]}
        turns = [*asked["messages"], {"role": "assistant", "content": message.content}, told]
        assert (await claude.messages.create(**{**asked, "messages": turns}, max_tokens=8)).content
        forced: Any = {"messages": as_blocks(STORY), "tool_choice": {"type": "any"}}
        told_to = await claude.messages.create(**{**asked, **forced}, max_tokens=60)
        assert [block.type for block in told_to.content] == ["tool_use"]


async def test_a_required_call_is_made_whatever_the_model_would_rather_say(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="m", messages=STORY, tools=[WEATHER, ADD], tool_choice="required", temperature=0, max_tokens=80
    )
    choice = answer.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert choice.message.tool_calls
    [call] = choice.message.tool_calls
    assert call.type == "function"
    check_arguments(call.function.name, call.function.arguments)


@pytest.mark.parametrize("name", ["weather", "add"])
async def test_the_function_that_is_named_is_called_with_arguments_of_its_schema(
    client: openai.AsyncOpenAI, name: str
) -> None:
    choice: Any = {"type": "function", "function": {"name": name}}
    answer = await client.chat.completions.create(
        model="m", messages=STORY, tools=[WEATHER, ADD], tool_choice=choice, n=2, seed=3, max_tokens=80
    )
    for each in answer.choices:
        assert each.finish_reason == "tool_calls"
        assert each.message.tool_calls
        [call] = each.message.tool_calls
        assert call.type == "function"
        assert call.function.name == name
        check_arguments(name, call.function.arguments)


async def test_a_forced_call_streams_as_any_other(client: openai.AsyncOpenAI) -> None:
    asked = await client.chat.completions.create(
        model="m", messages=STORY, tools=[ADD], tool_choice="required", max_tokens=80, stream=True
    )
    name, arguments, end = await collect(asked)
    assert (name, end) == ("add", "tool_calls")
    check_arguments(name, arguments)


async def test_several_calls_are_made_at_once_unless_the_client_says_no(client: openai.AsyncOpenAI) -> None:
    pairs = [("Paris", "London"), ("Madrid", "Berlin"), ("Oslo", "Bern"), ("Lima", "Cairo")]
    messages: Any = [message for pair in pairs for message in two_calls(*pair)]
    messages.append({"role": "user", "content": "What is the weather in Rome and in Delhi?"})
    asked: Any = {"model": "m", "messages": messages, "tools": [WEATHER], "temperature": 0, "max_tokens": 90}
    cities = []
    for parallel in (True, False):
        answer = await client.chat.completions.create(parallel_tool_calls=parallel, **asked)
        calls: Any = answer.choices[0].message.tool_calls or []
        cities.append([json.loads(call.function.arguments)["city"] for call in calls])
    assert len(cities[0]) == 2
    assert cities[1] == cities[0][:1] == ["Rome"]


async def test_a_template_gets_the_arguments_that_are_meant_for_it(client: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": "m", "messages": STORY, "max_tokens": 1}
    plain = await client.chat.completions.create(**asked)
    rough = await client.chat.completions.create(**asked, extra_body={"chat_template_kwargs": {"tone": "Be rough."}})
    assert plain.usage is not None
    assert rough.usage is not None
    assert rough.usage.prompt_tokens > plain.usage.prompt_tokens


async def test_an_answer_of_a_function_is_read(client: openai.AsyncOpenAI) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    messages: Any = [
        {"role": "user", "content": "What is the weather in Rome?"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "Sunny, 24 degrees."},
    ]
    answer = await client.chat.completions.create(model="m", messages=messages, tools=[WEATHER], max_tokens=20)
    assert answer.choices[0].message.content


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tool_choice": {"type": "function", "function": {"name": "wether"}}}, "tool_choice"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "nonsense"}}}]}, "tools"),
    ],
)
async def test_what_can_not_be_honoured_is_refused_by_name(
    client: openai.AsyncOpenAI, more: dict[str, Any], param: str
) -> None:
    asked: Any = {"model": "m", "messages": STORY, "tools": [WEATHER], "max_tokens": 5, **more}
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(**asked)
    assert refused.value.param == param


def check_arguments(name: str, arguments: str) -> None:
    found = json.loads(arguments)
    if name == "weather":
        assert set(found) == {"city"}
        assert len(found["city"]) <= 10
    else:
        assert set(found) == {"a", "b"}
        assert all(type(value) is int and 0 <= value <= 9 for value in found.values())


async def collect(asked: Any) -> tuple[str, str, str]:
    """Name, arguments and end of the one call in a stream."""
    name, arguments, end = "", "", ""
    async for event in asked:
        for choice in event.choices:
            end = choice.finish_reason or end
            for call in choice.delta.tool_calls or ():
                assert call.index == 0
                name += call.function.name or ""
                arguments += call.function.arguments or ""
    return name, arguments, end
