"""Head and members of a group from their start to their end, each with a process in place of its part of vLLM."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fake_vllm_package import Started, fake_environment, read_journal, write_fake_vllm

from berth_api.errors import Unavailable
from berth_runtime.arguments import parse_arguments
from berth_runtime.vllm import ending, tether
from berth_runtime.vllm import member as member_module
from berth_runtime.vllm.assembly import Assembly
from berth_runtime.vllm.ending import LEAVING, Signals
from berth_runtime.vllm.head import run_head
from berth_runtime.vllm.member import run_member
from berth_runtime.vllm.preparation import Preparation, prepare
from berth_runtime.vllm.tether import Tether, join

DEADLINE_SECONDS = 30.0


@dataclass
class World:
    """One place for pods to run: a port for the group, a journal of what was started, a log for the kubelet."""

    folder: Path
    port: int
    pods: list["asyncio.Task[int]"] = field(default_factory=list)
    signals: list[Signals] = field(default_factory=list)

    @property
    def started(self) -> list[Started]:
        return read_journal(self.folder / "journal")

    @property
    def reason(self) -> str:
        """The termination message."""
        return (self.folder / "termination-log").read_text()

    async def head(self, size: int = 2) -> "Pod":
        return self._run(run_head, await self.prepare(size))

    async def member(self, size: int = 2, *, drain_seconds: float = 20) -> "Pod":
        return self._run(run_member, await self.prepare(size, "--head", "127.0.0.1", drain_seconds=drain_seconds))

    async def prepare(self, size: int = 2, *words: str, drain_seconds: float = 20) -> Preparation:
        group = ("--group-size", str(size), "--group-port", str(self.port), "--drain-timeout", str(drain_seconds))
        options = parse_arguments(["--model", "qwen=/m", "--engine", "VLLM", "--task", "Chat", *group, *words])
        return await prepare(options, self.folder)

    def _run(self, run: Callable[..., "asyncio.Future[int]"], preparation: Preparation) -> "Pod":
        signals = Signals()
        pod = Pod(asyncio.ensure_future(run(preparation, signals, "r1")), signals)
        self.pods.append(pod.running)
        self.signals.append(signals)
        return pod


@dataclass
class Pod:
    """Process 1 of a pod, here a task."""

    running: "asyncio.Task[int]"
    signals: Signals

    def terminate(self) -> None:
        self.signals.take(signal.SIGTERM)

    async def status(self) -> int:
        return await asyncio.wait_for(asyncio.shield(self.running), DEADLINE_SECONDS)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    write_fake_vllm(tmp_path)
    for name, value in fake_environment(tmp_path, tmp_path / "journal", "ready drains loses").items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(ending, "DEFAULT_LOG", tmp_path / "termination-log")
    (tmp_path / "termination-log").touch()
    monkeypatch.setattr(tether, "LONGEST_PAUSE_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    world = World(tmp_path, port)
    yield world
    for signals in world.signals:
        signals.told.set()
    await asyncio.wait_for(asyncio.gather(*world.pods, return_exceptions=True), DEADLINE_SECONDS)
    assert not [one for one in world.started if one.is_running()]


@asynccontextmanager
async def an_assembly(world: World, *, size: int = 2) -> AsyncIterator[tuple[Assembly, asyncio.Event, asyncio.Event]]:
    """A head without vLLM, and when it has lost a member or hears that one has to end."""
    lost, leaving = asyncio.Event(), asyncio.Event()
    assembly = Assembly(size, "r1", on_lost=lambda sentence: lost.set(), on_leaving=leaving.set)
    await assembly.listen(world.port)
    try:
        yield assembly, lost, leaving
    finally:
        await assembly.close()


async def a_tether(world: World) -> Tether:
    """A member without vLLM."""
    return await asyncio.wait_for(join("127.0.0.1", world.port, "r1"), DEADLINE_SECONDS)


async def eventually(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not is_so():
            await asyncio.sleep(0.01)


async def says(capfd: pytest.CaptureFixture[str], words: str) -> None:
    """Wait until some vLLM has said the words."""
    said = ""

    def is_said() -> bool:
        nonlocal said
        said += capfd.readouterr().err
        return words in said

    await eventually(is_said)


async def test_vllm_starts_in_each_pod_once_all_are_there_and_ends_with_the_head(world: World) -> None:
    head, one = await world.head(3), await world.member(3)
    await eventually(lambda: _is_connected(world.port))
    assert world.started == []
    other = await world.member(3)
    await eventually(lambda: len(world.started) == 3)
    server, first, second = sorted(world.started, key=lambda started: started.rank)
    assert {each.after("--nnodes") for each in (server, first, second)} == {"3"}
    assert {each.after("--master-addr") for each in (server, first, second)} == {"127.0.0.1"}
    assert len({each.after("--master-port") for each in (server, first, second)}) == 1
    assert {each.address for each in (server, first, second)} == {"127.0.0.1"}
    assert [("--middleware" in each.words, "--headless" in each.words) for each in (server, first, second)] == [
        (True, False),
        (False, True),
        (False, True),
    ]
    head.terminate()
    assert await head.status() == 0
    await eventually(lambda: not any(each.is_running() for each in (server, first, second)))
    assert not one.running.done(), "a member waits for the next head"
    assert not other.running.done()


async def test_a_head_that_lost_a_member_ends_and_says_which(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    head = await world.head()
    lost = await a_tether(world)
    await says(capfd, "is ready")
    lost.close()
    assert await head.status() == 1
    assert "heard lost" in capfd.readouterr().err, "clients are told first"
    assert world.reason.startswith("Member 1 of the group, at 127.0.0.1, is gone")
    assert "The group of 2 pods starts anew" in world.reason


async def test_a_member_that_has_to_end_has_the_head_drain_and_end_well(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    head, member = await world.head(), await world.member()
    await says(capfd, "is ready")
    member.terminate()
    assert (await head.status(), await member.status()) == (0, 0)
    assert "heard drain" in capfd.readouterr().err
    assert world.reason == LEAVING


async def test_a_member_joins_the_next_head_without_an_end_of_its_own(world: World) -> None:
    member = await world.member()
    for turn in (1, 2):
        async with an_assembly(world):
            await eventually(lambda turn=turn: len(world.started) == turn)  # type: ignore[misc]
            assert world.started[-1].is_running()
        await eventually(lambda: not world.started[-1].is_running())
    assert not member.running.done()


async def test_a_member_whose_part_fails_ends_with_the_reason(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_module, "SUSPECT_SECONDS", 0.1)
    monkeypatch.setenv("FAKE_MEMBER", "3")
    async with an_assembly(world) as (_, lost, _):
        member = await world.member()
        assert await member.status() == 3
        await asyncio.wait_for(lost.wait(), DEADLINE_SECONDS)
    assert "no such layers" in world.reason


async def test_a_part_that_fails_because_its_head_does_is_no_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member_module, "SUSPECT_SECONDS", DEADLINE_SECONDS)
    monkeypatch.setenv("FAKE_MEMBER", "1")
    member = await world.member()
    for turn in (1, 2):
        async with an_assembly(world):
            await eventually(lambda turn=turn: len(world.started) == turn)  # type: ignore[misc]
            await eventually(lambda: not world.started[-1].is_running())
    assert not member.running.done()
    assert world.reason == ""


async def test_a_member_that_has_to_end_computes_until_its_head_lets_go(world: World) -> None:
    async with an_assembly(world) as (_, lost, leaving):
        member = await world.member()
        await eventually(lambda: len(world.started) == 1)
        member.terminate()
        await asyncio.wait_for(leaving.wait(), DEADLINE_SECONDS)
        assert world.started[0].is_running()
        assert not lost.is_set()
    assert await member.status() == 0


async def test_a_member_that_has_to_end_does_not_wait_for_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_module, "MARGIN_SECONDS", 0.1)
    async with an_assembly(world):
        member = await world.member(drain_seconds=0.1)
        await eventually(lambda: len(world.started) == 1)
        member.terminate()
        assert await member.status() == 0


async def test_who_has_no_part_yet_ends_at_once(world: World) -> None:
    alone = await world.member()
    alone.terminate()
    assert await alone.status() == 0
    head, waiting = await world.head(3), await world.member(3)
    await eventually(lambda: _is_connected(world.port))
    for pod in (waiting, head):
        pod.terminate()
        assert await pod.status() == 0
    assert world.started == []


async def test_a_port_that_is_taken_is_said(world: World) -> None:
    with socket.create_server(("", world.port)):
        head = await world.head()
        with pytest.raises(Unavailable, match=f"can't be waited for at port {world.port}.*--group-port"):
            await head.status()


async def test_a_pod_on_the_command_line_is_a_member_of_its_revision(world: World) -> None:
    words = ("--engine", "VLLM", "--model", "qwen=/m", "--task", "Chat", "--group-size", "2", "--head", "127.0.0.1")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "berth_runtime", *words, "--group-port", str(world.port)),
        env={**fake_environment(world.folder, world.folder / "journal", ""), "BERTH_GROUP_REVISION": "r1"},
        stderr=asyncio.subprocess.PIPE,
    )
    async with an_assembly(world) as (_, lost, _):
        await eventually(lambda: len(world.started) == 1)
        process.kill()
        await asyncio.wait_for(lost.wait(), DEADLINE_SECONDS)
    await process.communicate()
    await eventually(lambda: not world.started[0].is_running())


def _is_connected(port: int) -> bool:
    """Whether somebody has a connection to the port, seen from the head."""
    local = f":{port:04X}"
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    return any(fields[1].endswith(local) and fields[3] == "01" for fields in lines)
