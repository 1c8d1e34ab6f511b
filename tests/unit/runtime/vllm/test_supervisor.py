"""Process 1 around vLLM: how a drain goes, and that nothing of vLLM outlives it or hangs it."""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from folder_builders import write_files
from runtime_server import python_path_with_support
from safetensors_builders import safetensors

from berth_api.artifact import Task
from berth_api.errors import UnsupportedModel
from berth_runtime.arguments import parse_arguments
from berth_runtime.vllm import ending, process
from berth_runtime.vllm import supervisor as module
from berth_runtime.vllm.ending import Signals
from berth_runtime.vllm.link import Link, Word
from berth_runtime.vllm.preparation import listening_address
from berth_runtime.vllm.process import VllmProcess
from berth_runtime.vllm.run import supervise
from berth_runtime.vllm.supervisor import Supervisor, start

DEADLINE_SECONDS = 20.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CUT_SECONDS", 0.3)
    monkeypatch.setattr(process, "STOP_SECONDS", 0.5)
    monkeypatch.setattr(ending, "DEFAULT_LOG", Path("/dev/null"))


@asynccontextmanager
async def watched(*orders: str, drain_seconds: float = 5.0) -> AsyncIterator[tuple[Supervisor, VllmProcess]]:
    options = parse_arguments(["--model", "qwen=/m", "--engine", "VLLM"])
    supervisor = Supervisor(drain_seconds, Signals())
    async with python_path_with_support():
        vllm = await start(["fake_vllm_child", *orders], options, Task.CHAT, supervisor)
        try:
            yield supervisor, vllm
        finally:
            await vllm.stop()


async def said(vllm: VllmProcess, words: str) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while words not in vllm.said:
            await asyncio.sleep(0.01)


async def end_of(supervisor: Supervisor, vllm: VllmProcess, *, told: bool = True) -> int:
    """The exit status, once it is ready and told to end."""
    running = asyncio.create_task(supervisor.run(vllm))
    if told:
        await asyncio.wait_for(supervisor._ready.wait(), DEADLINE_SECONDS)
        supervisor._told.set()
    return await asyncio.wait_for(running, DEADLINE_SECONDS)


async def test_what_is_in_flight_may_finish() -> None:
    async with watched("ready", "drains") as (supervisor, vllm):
        assert await end_of(supervisor, vllm) == 0
        assert "heard drain" in vllm.said
        assert "heard end" not in vllm.said, "time was not up"


async def test_what_is_left_at_the_end_of_the_drain_is_ended_first() -> None:
    async with watched("ready", "ends", drain_seconds=0.2) as (supervisor, vllm):
        assert await end_of(supervisor, vllm) == 0
        assert vllm.said.index("heard drain") < vllm.said.index("heard end")


async def test_a_middleware_that_says_nothing_does_not_hang_the_pod() -> None:
    async with watched("ready", drain_seconds=0.2) as (supervisor, vllm):
        started = time.monotonic()
        assert await end_of(supervisor, vllm) == 0
        assert time.monotonic() - started < 0.2 + 0.3 + 0.5 + 5


async def test_nothing_of_vllm_survives_though_it_is_deaf() -> None:
    async with watched("child", "deaf", "ready", "drains") as (supervisor, vllm):
        await said(vllm, "\n")
        child = int(vllm.said.split()[0])
        assert await end_of(supervisor, vllm) == 0
        async with asyncio.timeout(DEADLINE_SECONDS):
            while is_running(child):
                await asyncio.sleep(0.01)


async def test_before_it_is_ready_there_is_nothing_to_drain() -> None:
    async with watched("drains", drain_seconds=60) as (supervisor, vllm):
        running = asyncio.create_task(supervisor.run(vllm))
        supervisor._told.set()
        assert await asyncio.wait_for(running, DEADLINE_SECONDS) == 0
        assert "heard" not in vllm.said


async def test_an_engine_that_died_ends_the_process_with_an_error() -> None:
    async with watched("ready", "dies", "deaf") as (supervisor, vllm):
        assert await end_of(supervisor, vllm, told=False) == 1


async def test_a_vllm_that_waits_for_an_engine_which_failed_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GIVE_UP_SECONDS", 0.3)
    monkeypatch.setattr(ending, "DEFAULT_LOG", tmp_path / "termination-log")
    async with watched("gives-up", "deaf") as (supervisor, vllm):
        assert await end_of(supervisor, vllm, told=False) == 1
    assert "no compiler" in (tmp_path / "termination-log").read_text()


@pytest.mark.parametrize("is_told", [False, True], ids=["serving", "draining"])
async def test_a_loss_is_told_to_clients_and_left_for_the_kubelet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_told: bool
) -> None:
    log = tmp_path / "termination-log"
    monkeypatch.setattr(ending, "DEFAULT_LOG", log)
    async with watched("ready", "loses") as (supervisor, vllm):
        running = asyncio.create_task(supervisor.run(vllm))
        await asyncio.wait_for(supervisor._ready.wait(), DEADLINE_SECONDS)
        if is_told:
            supervisor._told.set()
            await said(vllm, "heard drain")
        supervisor.lose("Member 1 is gone.")
        supervisor.lose("Member 2 is gone.")
        assert await asyncio.wait_for(running, DEADLINE_SECONDS) == 1
        assert "heard lost" in vllm.said
    assert log.read_text() == "Member 1 is gone."


async def test_a_loss_before_it_is_ready_ends_it_without_a_word() -> None:
    async with watched("loses") as (supervisor, vllm):
        supervisor.lose("Member 1 is gone.")
        assert await end_of(supervisor, vllm, told=False) == 1
        assert "heard" not in vllm.said


@pytest.mark.parametrize(("status", "ours"), [("3", 3), ("0", 1)])
async def test_a_vllm_that_ends_by_itself_is_a_failure_whatever_it_says(status: str, ours: int) -> None:
    async with watched(f"exit={status}") as (supervisor, vllm):
        assert await end_of(supervisor, vllm, told=False) == ours


async def test_why_it_did_not_start_is_left_for_the_kubelet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "termination-log"
    monkeypatch.setattr(ending, "DEFAULT_LOG", log)
    async with watched("exit=1", "say=ERROR_01-02_10:20:30_[x.py:1]_torch.OutOfMemoryError:_CUDA") as (
        supervisor,
        vllm,
    ):
        await end_of(supervisor, vllm, told=False)
    assert log.read_text().startswith("There is not enough memory on the GPU")


async def test_a_second_signal_ends_at_once_and_the_first_does_not_whoever_else_said_so() -> None:
    code = """
import signal
from berth_runtime.vllm.ending import Signals
signals = Signals()
signals.told.set()
signals.take(signal.SIGTERM)
print("the first", flush=True)
signals.take(signal.SIGTERM)
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    said, _ = await asyncio.wait_for(process.communicate(), DEADLINE_SECONDS)
    assert (process.returncode, said) == (143, b"the first\n")


async def test_all_of_vllm_ends_with_its_supervisor() -> None:
    code = """
import asyncio, sys
from berth_api.artifact import Task
from berth_runtime.arguments import parse_arguments
from berth_runtime.vllm.ending import Signals
from berth_runtime.vllm.supervisor import Supervisor, start
async def main():
    options = parse_arguments(["--model", "qwen=/m", "--engine", "VLLM"])
    vllm = await start(["fake_vllm_child", "child", "deaf"], options, Task.CHAT, Supervisor(60, Signals()))
    while not vllm.said:
        await asyncio.sleep(0.01)
    print(vllm.pid, vllm.said.split()[0], flush=True)
    await vllm.wait()
asyncio.run(main())
"""
    async with python_path_with_support():
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        pids = [int(pid) for pid in (await asyncio.wait_for(process.stdout.readline(), DEADLINE_SECONDS)).split()]
        process.kill()
        await process.wait()
        async with asyncio.timeout(DEADLINE_SECONDS):
            while any(is_running(pid) for pid in pids):
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("task", [("--task", "Chat"), ()])
async def test_where_vllm_is_missing_a_sentence_says_so(task: tuple[str, ...], tmp_path: Path) -> None:
    llama = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    write_files(tmp_path, {"model.safetensors": safetensors(), "config.json": llama})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "berth_runtime", "--engine", "VLLM", "--model", str(tmp_path), *task),
        stderr=asyncio.subprocess.PIPE,
    )
    _, text = await asyncio.wait_for(process.communicate(), DEADLINE_SECONDS)
    assert process.returncode == 1
    assert b"vLLM is not installed here" in text
    assert b"Traceback" not in text


async def test_words_arrive_whole_and_strangers_are_not_heard() -> None:
    ours, theirs = socket.socketpair()
    heard: list[Word] = []
    one, other = await Link.open(ours, heard.append), await Link.open(theirs, heard.append)
    other.data_received(b"dra")
    other.data_received(b"in\nnonsense\n\xff\n")
    one.say(Word.READY)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(heard) < 2:
            await asyncio.sleep(0.01)
    assert heard == [Word.DRAIN, Word.READY]
    one.close()
    other.close()
    await asyncio.sleep(0)
    one.say(Word.END)  # nobody hears it, and nothing breaks


def test_words_are_said_over_the_transports_of_other_loops_too() -> None:
    class TransportOfUvloop:
        written = b""

        def is_closing(self) -> bool:
            return False

        def write(self, data: bytes) -> None:
            self.written += data

    transport, link = TransportOfUvloop(), Link(lambda word: None)
    link.connection_made(transport)  # type: ignore[arg-type]
    link.say(Word.READY)
    assert transport.written == b"ready\n"


def test_it_listens_on_every_address() -> None:
    assert listening_address() in ("::", "0.0.0.0")


async def test_several_models_are_refused() -> None:
    options = parse_arguments(["--model", "a=/m", "--model", "b=/n", "--engine", "VLLM", "--task", "Chat"])
    with pytest.raises(UnsupportedModel, match="one model, and 2 are given"):
        await supervise(options)


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
