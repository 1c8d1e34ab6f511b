"""What the command line changes in llama.cpp: another task, another template, another length."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tools
from runtime_server import RuntimeProcess, start_runtime

pytestmark = pytest.mark.needs("smollm2")


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


async def test_a_template_that_fails_is_no_template_to_be_ready_with(tmp_path: Path) -> None:
    template = tmp_path / "broken.jinja"
    template.write_text("{{ raise_exception('no messages of this sort') }}")
    arguments = ("--model", f"m={tools.find('smollm2')}", "--chat-template", str(template))
    async with start_runtime(*arguments) as runtime:
        status = await runtime.wait_for_states({"m": "Failed"})
    assert "no messages of this sort" in status["m"]["message"]


async def test_a_context_is_never_longer_than_the_models_own(tmp_path: Path) -> None:
    path = tools.find("smollm2")
    async with start_runtime(
        "--model", f"m={path}", "--context-length", "10000", "--parallel-sequences", "1"
    ) as runtime:
        status = await runtime.wait_for_states({"m": "Ready"})
    assert status["m"]["contextLength"] == 8192


async def post(runtime: RuntimeProcess, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.post(f"{runtime.base_url}{path}", json=body) as answer:
        return answer.status, await answer.json()


def cosine(left: list[float], right: list[float]) -> float:
    lengths = sum(x * x for x in left) ** 0.5 * sum(x * x for x in right) ** 0.5
    return sum(x * y for x, y in zip(left, right, strict=True)) / float(lengths)
