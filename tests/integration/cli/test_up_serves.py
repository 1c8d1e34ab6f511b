"""`berth up` in the foreground with real parts: what it serves, and what an edit or a crash does to it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import openai
import pytest
import pytest_asyncio
import tools
from laptop import Laptop, children_of, laptop_in, processes_of
from long_stream import LongStream, tokens_that_run_for
from real_gguf import write_adapter

from berth_cli.laptop.serve import STOP_SECONDS

pytestmark = [
    pytest.mark.needs("envoy", "smollm2"),
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]

MODEL = """\
apiVersion: berth.dev/v1alpha1
kind: Model
metadata: {{name: {name}}}
spec:
  source: {{uri: "file://{path}"}}
  contextLength: {context}
  parallelSequences: 4
  rollout: {{drainTimeout: 2m}}
  aliases: [{aliases}]
  adapters: [{adapters}]
"""
ROUTE = """\
apiVersion: berth.dev/v1alpha1
kind: ModelRoute
metadata: {{name: chat}}
spec:
  names: [{names}]
  rules: [{{backends: [{{backendRef: {{kind: Model, name: {model}}}}}]}}]
"""


CONTEXT, OTHER_CONTEXT = 2048, 1920
MOST_TOKENS = 1900


def manifest(
    *, aliases: str = "smol", context: int = CONTEXT, names: str = "chat", adapters: str = "", extra: str = ""
) -> str:
    model = MODEL.format(
        name="smollm2", path=tools.find("smollm2"), context=context, aliases=aliases, adapters=adapters
    )
    return model + "---\n" + ROUTE.format(names=names, model="smollm2") + extra


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def laptop() -> AsyncIterator[Laptop]:
    async with laptop_in() as one:
        await one.up(one.write(manifest()))
        yield one


@pytest_asyncio.fixture(loop_scope="module")
async def client(laptop: Laptop) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official client; each test begins with the first manifest served, by one process."""
    laptop.write(manifest())
    async with openai.AsyncOpenAI(base_url=laptop.base_url, api_key="none", max_retries=0) as one:
        await laptop.until(lambda: [command for _, command in engines_of(laptop) if serves_context(command, CONTEXT)])
        await laptop.until(lambda: len(engines_of(laptop)) == 1)
        await answered(one, "chat")
        await answered(one, "smol")
        yield one


async def ask(client: openai.AsyncOpenAI, model: str) -> str:
    answer = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Say hello."}], max_tokens=4, temperature=0
    )
    return answer.model


async def answered(client: openai.AsyncOpenAI, model: str, *, seconds: float = 60) -> str:
    """Asks until there is an answer; unknown and loading models are asked again."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await ask(client, model)
            except (openai.NotFoundError, openai.InternalServerError, openai.APIConnectionError):
                await asyncio.sleep(0.1)


def engines_of(laptop: Laptop) -> list[tuple[int, str]]:
    """The processes of the runtime, with their command lines."""
    assert laptop.process is not None
    below = children_of(laptop.process.pid)
    return [(pid, command) for pid, command in below.items() if "-m berth_runtime --model" in command]


def serves_context(command: str, tokens: int) -> bool:
    return f"--context-length {tokens} " in f"{command} "


async def is_ready(command: str) -> bool:
    """Whether the process of this command line says so itself."""
    port = int(command.partition("--port ")[2].split()[0])
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"http://127.0.0.1:{port}/health/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False


def engine_of(laptop: Laptop) -> int:
    """The one process of the runtime."""
    ((pid, _),) = engines_of(laptop)
    return pid


async def test_the_official_client_is_answered_by_every_name(client: openai.AsyncOpenAI) -> None:
    listed = [model.id async for model in client.models.list()]
    assert listed == ["chat", "smol", "smollm2"]
    for name in [*listed, "default/smollm2"]:
        assert await ask(client, name) == "smollm2"


async def test_a_stream_arrives_piece_by_piece(client: openai.AsyncOpenAI) -> None:
    loop = asyncio.get_running_loop()
    stream = await client.chat.completions.create(
        # Of the likeliest words, for by chance the answer may be a handful.
        model="smollm2",
        messages=[{"role": "user", "content": "Tell me a story of a ship."}],
        max_tokens=40,
        temperature=0,
        stream=True,
    )
    times = [loop.time() async for event in stream if event.choices and event.choices[0].delta.content]
    assert len(times) > 5
    assert times[-1] - times[0] > 0.05


async def test_an_edit_of_names_takes_effect_without_cutting_a_stream(
    laptop: Laptop, client: openai.AsyncOpenAI
) -> None:
    engine = engine_of(laptop)
    stream = await LongStream.begin(
        client, "chat", await tokens_that_run_for(client, "chat", seconds=4, most=MOST_TOKENS)
    )
    laptop.write(manifest(aliases="fresh", names="talk"))
    assert await answered(client, "fresh") == "smollm2"
    assert await answered(client, "talk") == "smollm2"
    with pytest.raises(openai.NotFoundError):
        await ask(client, "smol")
    assert stream.is_running
    await stream.ends_whole()
    assert engine_of(laptop) == engine


async def test_a_bad_edit_is_shown_with_its_line_and_takes_nothing_away(
    laptop: Laptop, client: openai.AsyncOpenAI
) -> None:
    path = laptop.write(manifest().replace(f"contextLength: {CONTEXT}", "contextLength: many"))
    await laptop.until(lambda: f"{path}:6: spec.contextLength" in laptop.output)
    assert "What served before serves on." in laptop.output
    assert await ask(client, "smol") == "smollm2"
    laptop.write(manifest(aliases="good"))
    assert await answered(client, "good") == "smollm2"
    assert "the manifests are good again" in laptop.output


async def test_a_changed_launch_takes_over_and_the_old_one_finishes_its_stream(
    laptop: Laptop, client: openai.AsyncOpenAI
) -> None:
    ((old, old_command),) = engines_of(laptop)
    tokens = await tokens_that_run_for(client, "chat", seconds=3, most=MOST_TOKENS // 2)
    streams = [await LongStream.begin(client, "chat", tokens + more * tokens // 3) for more in (0, 1, 2)]
    laptop.write(manifest(context=OTHER_CONTEXT))
    new = await newer_engine(laptop, client, streams, tokens)
    while await is_ready(old_command):
        await asyncio.sleep(0.05)
    # The old one drains now, and answers what it has begun.
    assert [stream for stream in streams if stream.is_running]
    assert Path(f"/proc/{old}").exists()
    assert await ask(client, "smollm2") == "smollm2"
    for stream in streams:
        await stream.ends_whole()
    await laptop.until(lambda: [pid for pid, _ in engines_of(laptop)] == [new])


async def newer_engine(laptop: Laptop, client: openai.AsyncOpenAI, streams: list[LongStream], tokens: int) -> int:
    """Waits until the process with the other context is Ready. Meanwhile streams run, and no request may fail."""
    async with asyncio.timeout(120):
        while True:
            assert await ask(client, "smollm2") == "smollm2"
            for ended in [stream for stream in streams if not stream.is_running]:
                await ended.ends_whole()
                streams.remove(ended)
                streams.append(await LongStream.begin(client, "chat", tokens))
            for pid, command in engines_of(laptop):
                if serves_context(command, OTHER_CONTEXT) and await is_ready(command):
                    return pid
            await asyncio.sleep(0.1)


async def test_an_adapter_comes_with_a_new_process_and_answers_beside_its_model(
    laptop: Laptop, client: openai.AsyncOpenAI
) -> None:
    lora = write_adapter(laptop.folder / "red.gguf")
    before = engine_of(laptop)
    laptop.write(manifest(adapters=f'{{name: red, source: {{uri: "file://{lora}"}}}}'))
    assert await answered(client, "smollm2:red") == "smollm2:red"
    assert await ask(client, "smol:red") == "smollm2:red"
    assert [model.id async for model in client.models.list()] == [
        *("chat", "smol", "smol:red", "smollm2", "smollm2:red")
    ]
    texts = [
        (await client.completions.create(model=name, prompt="The sea", max_tokens=12, temperature=0)).choices[0].text
        for name in ("smollm2", "smollm2:red")
    ]
    assert texts[0] != texts[1]
    with pytest.raises(openai.NotFoundError, match="Did you mean `smollm2:red`"):
        await ask(client, "smollm2:rad")
    await laptop.until(lambda: len(engines_of(laptop)) == 1 and engine_of(laptop) != before)
    laptop.write(manifest())
    await laptop.until(lambda: all("--adapter" not in command for _, command in engines_of(laptop)))
    assert await ask(client, "smollm2") == "smollm2"


async def test_an_engine_that_is_killed_is_started_again(laptop: Laptop, client: openai.AsyncOpenAI) -> None:
    engine = engine_of(laptop)
    os.kill(engine, signal.SIGKILL)
    await laptop.until(lambda: "ended with signal SIGKILL" in laptop.output)
    assert await answered(client, "chat") == "smollm2"
    assert engine_of(laptop) != engine


async def test_a_worker_that_is_killed_is_started_again_by_its_runtime(
    laptop: Laptop, client: openai.AsyncOpenAI
) -> None:
    engine = engine_of(laptop)
    (worker,) = children_of(engine)
    os.kill(worker, signal.SIGKILL)
    await laptop.until(lambda: worker not in children_of(engine))
    assert await answered(client, "chat") == "smollm2"
    assert engine_of(laptop) == engine


async def test_an_envoy_that_is_killed_is_started_again(laptop: Laptop, client: openai.AsyncOpenAI) -> None:
    assert laptop.process is not None
    (envoy,) = (pid for pid, command in children_of(laptop.process.pid).items() if "envoy --config-path" in command)
    os.kill(envoy, signal.SIGKILL)
    assert await answered(client, "chat") == "smollm2"


async def test_a_second_up_adds_to_what_serves(laptop: Laptop, client: openai.AsyncOpenAI) -> None:
    engine = engine_of(laptop)
    more = laptop.write(ROUTE.format(names="more", model="smollm2").replace("name: chat", "name: more"), "more.yaml")
    finished = await laptop.run("up", "-f", str(more))
    assert finished.code == 0, finished.err
    assert f"A berth runs already at {laptop.url}" in finished.out
    assert "Ready at" in finished.out
    assert await answered(client, "more") == "smollm2"
    more.write_text("kind: Modle\n")
    refused = await laptop.run("up", "-f", str(more))
    assert (refused.code, "did you mean" in refused.err) == (2, True)
    assert await ask(client, "more") == "smollm2"
    assert engine_of(laptop) == engine


async def test_one_model_that_fails_leaves_the_others_serving(laptop: Laptop, client: openai.AsyncOpenAI) -> None:
    broken = laptop.folder / "broken.gguf"
    broken.write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(40))
    text = MODEL.format(name="broken", path=broken, context=512, aliases="", adapters="")
    laptop.write(manifest(extra="---\n" + text))
    await laptop.until(lambda: "broken: can't be served:" in laptop.output)
    assert await ask(client, "smollm2") == "smollm2"
    with pytest.raises(openai.InternalServerError) as caught:
        await ask(client, "broken")
    assert caught.value.code == "model_failed"


async def test_ctrl_c_lets_a_stream_end_and_leaves_nothing(laptop: Laptop, client: openai.AsyncOpenAI) -> None:
    await laptop.until(lambda: "broken: can't" not in laptop.output or "broken: removed" in laptop.output)
    tokens = await tokens_that_run_for(client, "chat", seconds=STOP_SECONDS / 3, most=MOST_TOKENS)
    sockets = laptop.record.control_socket.parent
    assert list(sockets.glob("*.sock"))
    stream = await LongStream.begin(client, "chat", tokens)
    assert laptop.process is not None
    laptop.process.send_signal(signal.SIGINT)
    await laptop.until(lambda: "Stopping:" in laptop.output, seconds=STOP_SECONDS)
    assert stream.is_running
    await stream.ends_whole()
    assert await asyncio.wait_for(laptop.process.wait(), 30) == 0
    assert processes_of(laptop.home) == []
    assert list(sockets.glob("*.sock")) == []
    assert not (laptop.home / "run" / "instance.json").exists()
