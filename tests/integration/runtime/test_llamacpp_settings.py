"""What the command line changes in llama.cpp: another task, another template, tools."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tools
from runtime_server import RuntimeProcess, start_runtime

pytestmark = pytest.mark.needs("smollm2")

# The form of Hermes and Qwen: tools in the system message, calls between tags.
TOOL_TEMPLATE = """
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


async def test_a_chat_model_embeds_if_it_is_told_how_to_pool() -> None:
    arguments = ("--model", f"m={tools.find('smollm2')}", "--task", "Embedding", "--context-length", "200")
    async with start_runtime(*arguments, "--engine-arg", "pooling=mean") as runtime:
        await runtime.wait_for_states({"m": "Ready"})
        status, answer = await post(runtime, "/v1/embeddings", {"input": ["a harbour", "a harbour", "blue"]})
        assert status == 200
        same, twin, other = [row["embedding"] for row in answer["data"]]
        assert len(same) == 576
        assert cosine(same, twin) > 0.999 > 0.99 > cosine(same, other)
        assert answer["usage"]["prompt_tokens"] > 3

        status, answer = await post(runtime, "/v1/embeddings", {"input": ["short", "word " * 300]})
        assert status == 400
        assert answer["error"]["param"] == "input[1]"
        assert "256 tokens, and the prompt has 30" in answer["error"]["message"]

        status, answer = await post(runtime, "/v1/chat/completions", {"messages": []})
        assert (status, answer["error"]["code"]) == (404, "operation_not_supported")


async def test_a_chat_model_that_is_not_told_how_to_pool_is_refused_with_the_remedy() -> None:
    async with start_runtime("--model", f"m={tools.find('smollm2')}", "--task", "Embedding") as runtime:
        status = await runtime.wait_for_states({"m": "Failed"})
    assert "pooling=mean" in status["m"]["message"]


async def test_a_template_with_tools_lets_the_model_call_them(tmp_path: Path) -> None:
    template = tmp_path / "tools.jinja"
    template.write_text(TOOL_TEMPLATE)
    arguments = ("--model", f"m={tools.find('smollm2')}", "--chat-template", str(template), "--context-length", "1024")
    messages = [message for city in ("Paris", "London", "Madrid", "Berlin") for message in a_call(city)]
    body = {
        "messages": [*messages, {"role": "user", "content": "What is the weather in Rome?"}],
        "tools": [WEATHER],
        "temperature": 0,
        "max_tokens": 60,
    }
    async with start_runtime(*arguments, "--parallel-sequences", "1") as runtime:
        await runtime.wait_for_states({"m": "Ready"})
        status, answer = await post(runtime, "/v1/chat/completions", body)
        assert status == 200, answer
        choice = answer["choices"][0]
        assert choice["finish_reason"] == "tool_calls"
        call = choice["message"]["tool_calls"][0]
        assert call["id"]
        assert call["function"] == {"name": "weather", "arguments": '{"city": "Rome"}'}

        status, answer = await post(runtime, "/v1/chat/completions", {**body, "tool_choice": "required"})
        assert (status, answer["error"]["param"]) == (400, "tool_choice")


def a_call(city: str) -> list[dict[str, Any]]:
    """A question and the call that answers it; a few of them, and the smallest model does the same."""
    call = {"name": "weather", "arguments": json.dumps({"city": city})}
    return [
        {"role": "user", "content": f"What is the weather in {city}?"},
        {"role": "assistant", "tool_calls": [{"id": city, "type": "function", "function": call}]},
    ]


async def post(runtime: RuntimeProcess, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.post(f"{runtime.base_url}{path}", json=body) as answer:
        return answer.status, await answer.json()


def cosine(left: list[float], right: list[float]) -> float:
    lengths = sum(x * x for x in left) ** 0.5 * sum(x * x for x in right) ** 0.5
    return sum(x * y for x, y in zip(left, right, strict=True)) / float(lengths)
