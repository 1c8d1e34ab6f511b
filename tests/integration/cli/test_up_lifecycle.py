"""How `berth up` begins and ends: detached, handed over, refused, killed. Nothing is ever left behind."""

import json
import os
import signal
import socket
from collections.abc import AsyncIterator

import openai
import pytest
import tools
from laptop import Laptop, children_of, laptop_in, processes_of
from long_stream import LongStream, tokens_that_run_for

from berth_cli.laptop.serve import STOP_SECONDS

pytestmark = [pytest.mark.needs("envoy", "smollm2"), pytest.mark.timeout(240)]

HEAD = "apiVersion: berth.dev/v1alpha1\nkind: Model\n"


def smollm2(name: str = "smollm2", *, context: int = 512) -> str:
    source = f"source: {{uri: 'file://{tools.find('smollm2')}'}}"
    return f"{HEAD}metadata: {{name: {name}}}\nspec: {{{source}, contextLength: {context}, parallelSequences: 1}}\n"


def missing(name: str = "missing") -> str:
    return f"{HEAD}metadata: {{name: {name}}}\nspec: {{source: {{uri: 'oci://localhost/nothing'}}}}\n"


@pytest.fixture
async def laptop() -> AsyncIterator[Laptop]:
    async with laptop_in() as one:
        yield one
    assert processes_of(one.home) == []


async def ask(laptop: Laptop, model: str = "smollm2") -> str | None:
    async with openai.AsyncOpenAI(base_url=laptop.base_url, api_key="none") as client:
        messages: list[object] = [{"role": "user", "content": "Say hello."}]
        answer = await client.chat.completions.create(model=model, messages=messages, max_tokens=4)  # type: ignore[arg-type]
        return answer.choices[0].message.content


async def test_detached_it_returns_when_all_is_ready_and_down_ends_it(laptop: Laptop) -> None:
    path = laptop.write(smollm2())
    up = await laptop.run("up", "-d", "-f", str(path))
    assert up.code == 0, up.err
    assert "smollm2: ready after" in up.out
    assert "berth down stops all" in up.out
    assert await ask(laptop)
    record = laptop.record
    assert os.getsid(record.pid) == record.pid
    again = await laptop.run("up", "-d", "-f", "-", stdin=smollm2("second"))
    assert again.code == 0, again.err
    assert f"Ready at {laptop.base_url}: smollm2, second" in again.out
    assert await ask(laptop, "second")
    down = await laptop.run("down")
    assert (down.code, down.out.splitlines()[-1]) == (0, "Stopped.")
    assert processes_of(laptop.home) == []
    assert (await laptop.run("down")).out == "No berth is running.\n"


async def test_killed_hard_it_leaves_no_process_and_the_next_start_works(laptop: Laptop) -> None:
    path = laptop.write(smollm2())
    await laptop.up(path)
    assert laptop.process is not None
    below = children_of(laptop.process.pid)
    assert len(below) >= 3, below
    assert await laptop.stop(signal.SIGKILL) == -signal.SIGKILL
    await laptop.until(lambda: processes_of(laptop.home) == [], seconds=10)
    assert (await laptop.run("down")).out == "No berth is running.\n"
    up = await laptop.run("up", "-d", "-f", str(path))
    assert up.code == 0, up.err
    assert (await laptop.run("down")).code == 0


async def test_a_second_ctrl_c_ends_it_at_once(laptop: Laptop) -> None:
    await laptop.up(laptop.write(smollm2(context=2048)))
    async with openai.AsyncOpenAI(base_url=laptop.base_url, api_key="none", max_retries=0) as client:
        tokens = await tokens_that_run_for(client, "smollm2", seconds=3 * STOP_SECONDS, most=1900)
        stream = await LongStream.begin(client, "smollm2", tokens)
        assert laptop.process is not None
        laptop.process.send_signal(signal.SIGINT)
        await laptop.until(lambda: "Stopping:" in laptop.output)
        assert stream.is_running
        await laptop.stop()
        await stream.ends_cut_short()


async def test_a_port_that_is_taken_is_explained(laptop: Laptop) -> None:
    path = laptop.write(missing())
    with socket.create_server(("127.0.0.1", laptop.port)):
        for arguments in (["up"], ["up", "-d"]):
            up = await laptop.run(*arguments, "-f", str(path))
            assert up.code == 1
            assert up.err.startswith(f"Error: port {laptop.port} of 127.0.0.1 is taken: ")
            assert f"(process {os.getpid()}) listens there" in up.err
            assert f"berth up --port {laptop.port + 1}" in up.err


async def test_where_nothing_can_be_served_it_says_why_and_ends(laptop: Laptop) -> None:
    path = laptop.write(missing())
    for arguments in (["up"], ["up", "-d"]):
        up = await laptop.run(*arguments, "-f", str(path))
        assert up.code == 1
        assert "missing: can't be served: localhost/nothing:latest" in up.out
        assert "make it with `berth package`" in up.out
        assert "No Model is Ready." in up.out
        assert (await laptop.run("down")).out == "No berth is running.\n"


async def test_time_is_up_for_a_model_that_loads_too_long(laptop: Laptop) -> None:
    up = await laptop.run("up", "-f", str(laptop.write(smollm2())), "--timeout", "0.5")
    assert up.code == 1
    assert "Not Ready within 0.5 s: smollm2 (" in up.out


async def test_only_routes_are_served_too(laptop: Laptop) -> None:
    spec = "names: [r], rules: [{backends: [{backendRef: {kind: Model, name: none}}]}]"
    route = f"apiVersion: berth.dev/v1alpha1\nkind: ModelRoute\nmetadata: {{name: r}}\nspec: {{{spec}}}\n"
    up = await laptop.run("up", "-d", "-f", str(laptop.write(route)))
    assert up.code == 0, up.err
    assert "there is no Model" in up.out
    assert (await laptop.run("down")).code == 0


async def test_the_running_instance_is_known_by_another_address(laptop: Laptop) -> None:
    path = laptop.write(smollm2())
    assert (await laptop.run("up", "-d", "-f", str(path))).code == 0
    other = await laptop.run("up", "-d", "-f", str(path), "--port", str(laptop.port + 1))
    assert other.code == 1
    assert f"runs already at {laptop.url}" in other.err
    # A control socket that is gone is no reason to be stuck.
    laptop.record.control_socket.unlink()
    down = await laptop.run("down")
    assert (down.code, down.out.splitlines()[-1]) == (0, "Stopped.")


async def test_a_hung_instance_is_ended(laptop: Laptop) -> None:
    assert (await laptop.run("up", "-d", "-f", str(laptop.write(smollm2())))).code == 0
    os.kill(laptop.record.pid, signal.SIGSTOP)
    down = await laptop.run("down", "--timeout", "0.5")
    assert "was ended" in down.out
    await laptop.until(lambda: processes_of(laptop.home) == [], seconds=10)


async def test_a_deep_home_works(laptop: Laptop) -> None:
    laptop.home = laptop.folder / ("deep" * 30)
    assert (await laptop.run("up", "-d", "-f", str(laptop.write(smollm2())))).code == 0
    sockets = laptop.record.control_socket.parent
    assert await ask(laptop)
    assert (await laptop.run("down")).code == 0
    assert not sockets.exists()
    assert json.loads((await laptop.run("list", "--json")).out) == []
