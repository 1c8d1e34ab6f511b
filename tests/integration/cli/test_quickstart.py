"""The quick start as a newcomer runs it: prepared, up, asked by the examples, down."""

import asyncio
import os
import sys

import pytest
import tools
from laptop import communicate, laptop_in, processes_of

EXAMPLES = tools.REPOSITORY / "examples"


@pytest.mark.needs("envoy", "smollm2", "minilm")
@pytest.mark.timeout(300)
async def test_the_quick_start_answers_a_chat_a_stream_and_an_embedding() -> None:
    async with laptop_in() as laptop:
        environment = {**os.environ, "BERTH_HOME": str(laptop.home), "BERTH_URL": laptop.base_url}
        for _ in range(2):  # What is there already is left alone.
            assert await run(environment, "-m", "examples.quickstart.prepare")
        up = await laptop.run("up", "--detach", "--filename", str(EXAMPLES / "quickstart.yaml"))
        assert up.code == 0, up.err
        assert f"Ready at {laptop.base_url}: smollm2, minilm; routes: chat" in up.out
        said = await run(environment, str(EXAMPLES / "openai_client.py"))
        for what in ("models:", "chat:", "stream:", "embeddings: 384 numbers each"):
            assert what in said
        said = await run(environment, program=str(EXAMPLES / "curl.sh"))
        assert said.count("\n# ") + said.startswith("# ") == 6
        assert "data: [DONE]" in said
        assert '"code":"model_not_found"' in said.replace(" ", "")
        assert (await laptop.run("down")).code == 0
        assert processes_of(laptop.home) == []


async def run(environment: dict[str, str], *arguments: str, program: str = sys.executable) -> str:
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=asyncio.subprocess.PIPE, env=environment, cwd=tools.REPOSITORY
    )
    out, _ = await communicate(process)
    assert process.returncode == 0, out.decode()
    return out.decode()
