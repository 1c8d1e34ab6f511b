"""What the command line changes in llama.cpp: another task, another template, another length."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tools
from real_gguf import write_shards
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


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ raise_exception('no messages of this sort') }}", "no messages of this sort"),
        # llama.cpp tries a template with an example of its own first, which is longer than the least chat.
        ("{% if messages|length == 1 %}{{ raise_exception('one alone') }}{% endif %}", "one alone"),
        ("{% if messages", "is no Jinja that llama.cpp can read"),
    ],
)
async def test_a_model_with_a_template_that_fails_is_never_ready(tmp_path: Path, template: str, why: str) -> None:
    path = tmp_path / "broken.jinja"
    path.write_text(template)
    async with start_runtime("--model", f"m={tools.find('smollm2')}", "--chat-template", str(path)) as runtime:
        status = await runtime.wait_for_states({"m": "Failed"})
    assert why in status["m"]["message"]


async def test_a_template_that_reaches_for_the_inside_of_things_finds_nothing(tmp_path: Path) -> None:
    """llama.cpp's Jinja is its own and in C++: an attribute that a value does not have is an undefined one."""
    path = tmp_path / "reaching.jinja"
    path.write_text("{% for m in messages %}{{ m.content.__class__.__mro__ }}{{ m.content }}{% endfor %}")
    async with start_runtime("--model", f"m={tools.find('smollm2')}", "--chat-template", str(path)) as runtime:
        await runtime.wait_for_states({"m": "Ready"})
        messages = [{"role": "user", "content": "Once upon a"}]
        status, answer = await post(runtime, "/v1/chat/completions", {"messages": messages, "max_tokens": 1})
        assert status == 200
        _, alone = await post(runtime, "/v1/completions", {"prompt": "Once upon a", "max_tokens": 1})
        assert answer["usage"]["prompt_tokens"] == alone["usage"]["prompt_tokens"]


async def test_the_shards_of_a_model_are_served_as_one(tmp_path: Path) -> None:
    whole = tools.find("smollm2")
    assert whole is not None
    shards = write_shards(whole, tmp_path, 3)
    body = {"prompt": "Once upon a time", "max_tokens": 12, "temperature": 0}
    texts = []
    for path in (whole, shards[0], tmp_path):
        async with start_runtime("--model", f"m={path}", "--context-length", "256") as runtime:
            await runtime.wait_for_states({"m": "Ready"})
            _, answer = await post(runtime, "/v1/completions", body)
            texts.append(answer["choices"][0]["text"])
    assert texts[0]
    assert texts == [texts[0]] * 3
    shards[1].unlink()
    async with start_runtime("--model", f"m={tmp_path}") as runtime:
        status = await runtime.wait_for_states({"m": "Failed"})
    assert shards[1].name in status["m"]["message"]


async def test_a_shard_that_was_cut_off_is_named(tmp_path: Path) -> None:
    whole = tools.find("smollm2")
    assert whole is not None
    last = write_shards(whole, tmp_path, 2)[1]
    last.write_bytes(last.read_bytes()[:-1000])
    async with start_runtime("--model", f"m={tmp_path}") as runtime:
        status = await runtime.wait_for_states({"m": "Failed"})
    assert last.name in status["m"]["message"]
    assert "cut off" in status["m"]["message"]


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
