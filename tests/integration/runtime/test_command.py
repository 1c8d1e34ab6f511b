"""The command itself: several models, files that are no models, signals, the end of a worker and of its parent."""

import asyncio
import json
import os
import signal
from pathlib import Path

import aiohttp
import pytest
import tools
from runtime_server import RuntimeProcess, eventually, read_stream, start_runtime

pytestmark = pytest.mark.needs("smollm2")

SMALL = ("--context-length", "512", "--parallel-sequences", "1")
STORY = {"prompt": "Once upon a time", "max_tokens": 150, "temperature": 0, "stream": True}
ENDLESS = STORY | {"max_tokens": 480, "ignore_eos": True}
PATIENT = ("--drain-timeout", "300")


def weights() -> Path:
    path = tools.find("smollm2")
    assert path is not None
    return path


async def test_damaged_files_fail_with_a_sentence_and_the_others_serve(tmp_path: Path) -> None:
    whole = weights().read_bytes()
    files = {"truncated": whole[: len(whole) // 2], "junk": b"no model at all" * 100, "empty": b""}
    arguments = ["--model", f"good={weights()}"]
    for name, content in files.items():
        (tmp_path / f"{name}.gguf").write_bytes(content)
        arguments += ["--model", str(tmp_path / f"{name}.gguf")]
    async with start_runtime(*arguments, *SMALL) as runtime:
        status = await runtime.wait_for_states({"good": "Ready", **dict.fromkeys(files, "Failed")})
        assert "cut off" in status["truncated"]["message"]
        assert all(status[name]["message"] for name in files)
        assert [stage["name"] for stage in status["good"]["stages"]] == ["Detected", "Spawned", "Loaded", "Answered"]
        assert await ask(runtime, "good") == 200
        assert await ask(runtime, "junk") == 503
        assert await runtime.end() == 0


async def test_one_process_serves_a_model_twice_under_two_names() -> None:
    async with start_runtime("--model", f"one={weights()}", "--model", f"two={weights()}", *SMALL) as runtime:
        await runtime.wait_for_states({"one": "Ready", "two": "Ready"})
        assert [await ask(runtime, name) for name in ("one", "two", "three")] == [200, 200, 404]


async def test_sigterm_lets_a_stream_end_and_exits_with_0() -> None:
    async with start_runtime("--model", f"smollm2={weights()}", *SMALL, *PATIENT) as runtime:
        await runtime.wait_for_states({"smollm2": "Ready"})
        async with aiohttp.ClientSession() as session, stream(session, runtime, STORY) as response:
            await response.content.readany()
            runtime.process.send_signal(signal.SIGTERM)
            text = (await response.read()).decode()
        assert text.endswith("data: [DONE]\n\n")
        assert await asyncio.wait_for(runtime.process.wait(), 20) == 0


async def test_a_second_signal_ends_at_once_and_takes_the_worker_along() -> None:
    async with start_runtime("--model", f"smollm2={weights()}", *SMALL) as runtime:
        await runtime.wait_for_states({"smollm2": "Ready"})
        worker = worker_pid(runtime)
        async with aiohttp.ClientSession() as session, stream(session, runtime, ENDLESS) as response:
            await response.content.readany()
            runtime.process.send_signal(signal.SIGTERM)
            await eventually(lambda: is_draining(runtime))
            assert await runtime.end() == 143
        await eventually(lambda: has_ended(worker))


async def test_a_killed_worker_breaks_its_stream_and_comes_back() -> None:
    async with start_runtime("--model", f"smollm2={weights()}", *SMALL) as runtime:
        await runtime.wait_for_states({"smollm2": "Ready"})
        async with aiohttp.ClientSession() as session, stream(session, runtime, ENDLESS) as response:
            await response.content.readany()
            os.kill(worker_pid(runtime), signal.SIGKILL)
            text, ended = await read_stream(response)
        assert not ended
        assert "[DONE]" not in text
        assert json.loads(text.split("data: ")[-1])["error"]["code"] == "engine_died"
        status = await runtime.wait_for_states({"smollm2": "Ready"})
        assert status["smollm2"]["restarts"] == 1
        assert await ask(runtime, "smollm2") == 200


async def test_a_worker_does_not_outlive_its_parent() -> None:
    async with start_runtime("--model", f"smollm2={weights()}", *SMALL) as runtime:
        await runtime.wait_for_states({"smollm2": "Ready"})
        worker = worker_pid(runtime)
        await runtime.end(signal.SIGKILL)
        await eventually(lambda: has_ended(worker))


async def test_a_model_is_served_however_long_the_name_of_the_folder_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    async with start_runtime("--model", f"smollm2={weights()}", *SMALL) as runtime:
        await runtime.wait_for_states({"smollm2": "Ready"})
        assert await ask(runtime, "smollm2") == 200
    assert list(folder.iterdir()) == []


def stream(
    session: aiohttp.ClientSession, runtime: RuntimeProcess, body: dict[str, object]
) -> "aiohttp.client._RequestContextManager":
    return session.post(f"{runtime.base_url}/v1/completions", json=body)


async def ask(runtime: RuntimeProcess, model: str) -> int:
    body = {"model": model, "prompt": "Hello", "max_tokens": 2}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{runtime.base_url}/v1/completions", json=body) as answer,
    ):
        return answer.status


async def is_draining(runtime: RuntimeProcess) -> bool:
    return bool((await runtime.status())["smollm2"]["state"] == "Draining")


async def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def worker_pid(runtime: RuntimeProcess) -> int:
    pid = runtime.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    commands = {int(child): Path(f"/proc/{child}/cmdline").read_text() for child in children}
    return next(child for child, command in commands.items() if "berth_runtime.worker" in command)
