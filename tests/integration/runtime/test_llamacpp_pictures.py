"""Pictures in a chat: SmolLM2 with a projector that sees by chance, so that what it sees changes what it says."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio
import tools
from pictures import lying_png, picture_part, png
from real_gguf import write_projector
from runtime_server import start_runtime

pytestmark = [pytest.mark.needs("smollm2"), pytest.mark.asyncio(loop_scope="module")]

RED, BLUE = png(40, 30, (255, 0, 0)), png(40, 30, (0, 0, 255))
QUESTION = {"type": "text", "text": "What is in this picture?"}


def a_folder(folder: Path, **more: Any) -> Path:
    weights = tools.find("smollm2")
    assert weights is not None
    (folder / "model.gguf").hardlink_to(weights)
    write_projector(folder / "mmproj-model.gguf", **more)
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[openai.AsyncOpenAI]:
    folder = a_folder(tmp_path_factory.mktemp("seeing"))
    arguments = ("--model", f"m={folder}", "--context-length", "512", "--parallel-sequences", "2")
    async with start_runtime(*arguments) as runtime:
        await runtime.wait_for_states({"m": "Ready"})
        async with openai.AsyncOpenAI(base_url=f"{runtime.base_url}/v1", api_key="none", max_retries=0) as client:
            yield client


async def ask(client: openai.AsyncOpenAI, *parts: dict[str, object]) -> tuple[str, int]:
    """What the model says, and how many tokens it read."""
    messages: Any = [{"role": "user", "content": [QUESTION, *parts]}]
    answer = await client.chat.completions.create(model="m", messages=messages, max_tokens=6, temperature=0)
    assert answer.usage is not None
    return answer.choices[0].message.content or "", answer.usage.prompt_tokens


async def test_what_a_picture_shows_changes_the_answer(client: openai.AsyncOpenAI) -> None:
    none, red, blue = await ask(client), await ask(client, picture_part(RED)), await ask(client, picture_part(BLUE))
    assert len({none[0], red[0], blue[0]}) == 3
    assert red[1] == blue[1] > none[1]
    assert await ask(client, picture_part(RED)) == red


async def test_several_pictures_are_all_read(client: openai.AsyncOpenAI) -> None:
    _, one = await ask(client, picture_part(RED))
    _, two = await ask(client, picture_part(RED), picture_part(BLUE))
    _, none = await ask(client)
    assert two - one == one - none


@pytest.mark.parametrize(
    ("part", "code", "param"),
    [
        (
            {"type": "image_url", "image_url": {"url": "http://127.0.0.1:1/a.png"}},
            "unsupported_content",
            "messages[0].content[1].image_url.url",
        ),
        (
            {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
            "unsupported_content",
            "messages[0].content[1].image_url.url",
        ),
        (picture_part(lying_png(60_000, 60_000)), "invalid_image", "messages[0].content[1]"),
        (picture_part(b"nonsense"), "invalid_image", "messages[0].content[1]"),
        (picture_part(RED[:50]), "invalid_image", "messages"),
    ],
)
async def test_a_picture_that_can_not_be_read_is_refused_and_harms_nothing(
    client: openai.AsyncOpenAI, part: dict[str, object], code: str, param: str
) -> None:
    before = await ask(client, picture_part(RED))
    with pytest.raises(openai.BadRequestError) as refused:
        await ask(client, part)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert await ask(client, picture_part(RED)) == before


async def test_a_projector_for_another_model_is_told_as_one(tmp_path: Path) -> None:
    async with start_runtime("--model", f"m={a_folder(tmp_path, out=64)}") as runtime:
        status = await runtime.wait_for_states({"m": "Failed"})
    assert "The projector 'mmproj-model.gguf' can't be loaded" in status["m"]["message"]


async def test_pictures_in_the_words_of_other_apis_are_the_same_pictures(client: openai.AsyncOpenAI) -> None:
    said, tokens = await ask(client, picture_part(RED))
    url = f"data:image/png;base64,{base64.b64encode(RED).decode()}"
    parts: Any = [{"type": "input_text", "text": QUESTION["text"]}, {"type": "input_image", "image_url": url}]
    response = await client.responses.create(
        model="m", input=[{"role": "user", "content": parts}], max_output_tokens=6, temperature=0
    )
    assert response.usage is not None
    assert (response.output_text, response.usage.input_tokens) == (said, tokens)
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(RED).decode()}
    blocks: Any = [QUESTION, {"type": "image", "source": source}]
    base_url = str(client.base_url).removesuffix("/v1/")
    async with anthropic.AsyncAnthropic(base_url=base_url, api_key="none", max_retries=0) as claude:
        message = await claude.messages.create(
            model="m",
            messages=[{"role": "user", "content": blocks}],
            max_tokens=6,
            extra_body={"temperature": 0},
        )
    assert [getattr(block, "text", "") for block in message.content] == [said]
    assert message.usage.input_tokens == tokens
