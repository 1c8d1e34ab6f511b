"""Fakes of what an instance of laptop mode needs: nothing is started, and each can be told how to behave."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from berth_api.artifact import Artifact, EngineType, Format, Task
from berth_api.launch import Launch
from berth_api.model import Model
from berth_cli.laptop.parts import EngineStatus, Preparation, Report
from berth_cli.laptop.view import ModelStage
from berth_gateway.snapshot import ModelState, Snapshot

if TYPE_CHECKING:
    from berth_api.errors import BerthError


class FakePreparer:
    """Prepares at once; the fingerprint follows the context length. `failures` are raised, one for each call."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failures: dict[str, list[BerthError]] = {}
        self.size_bytes = 100

    async def prepare(self, model: Model, report: Report) -> Preparation:
        self.calls.append(model.key)
        report(ModelStage.RESOLVING, "", None)
        await asyncio.sleep(0)
        if failures := self.failures.get(model.key):
            raise failures.pop(0)
        fingerprint = f"{model.key}@{model.spec.context_length}"
        return Preparation(
            artifact=Artifact(format=Format.GGUF, task=Task.CHAT, size_bytes=self.size_bytes),
            engine=EngineType.LLAMA_CPP,
            fingerprint=fingerprint,
            launch=lambda port: Launch(("python", fingerprint), port, 1, EngineType.LLAMA_CPP),
            start_deadline_seconds=60.0,
        )


class FakeProcess:
    """Runs until it is told to end; `stubborn` ones end by `kill` only."""

    def __init__(self, pid: int, fingerprint: str, *, stubborn: bool = False) -> None:
        self.pid = pid
        self.fingerprint = fingerprint
        self.stubborn = stubborn
        self.exit_code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def is_running(self) -> bool:
        return not self.exit_code.done()

    async def wait(self) -> int:
        return await asyncio.shield(self.exit_code)

    def terminate(self) -> None:
        if not self.stubborn:
            self.end(0)

    def kill(self) -> None:
        self.end(-9)

    def end(self, code: int) -> None:
        if not self.exit_code.done():
            self.exit_code.set_result(code)


class FakeLauncher:
    """Remembers all processes, in the order of their start."""

    def __init__(self) -> None:
        self.processes: list[FakeProcess] = []
        self.stubborn = False
        self.refusal: OSError | None = None

    async def start(self, argv: Sequence[str], env: Mapping[str, str], log: Path) -> FakeProcess:
        if self.refusal is not None:
            raise self.refusal
        process = FakeProcess(len(self.processes) + 1, argv[1], stubborn=self.stubborn)
        self.processes.append(process)
        return process

    @property
    def running(self) -> list[str]:
        return [process.fingerprint for process in self.processes if process.is_running]


class FakeProbe:
    """Every process is Ready, but for those of `slow` fingerprints, and what `statuses` says of a fingerprint."""

    def __init__(self, launcher: FakeLauncher) -> None:
        self._launcher = launcher
        self.statuses: dict[str, EngineStatus] = {}

    async def observe(self, port: int) -> EngineStatus:
        process = self._launcher.processes[port - 1]
        if not process.is_running:
            return EngineStatus()
        return self.statuses.get(process.fingerprint, EngineStatus(answering=True, ready=True))


class FakeGateway:
    """Keeps every snapshot that was applied; `failures` are raised, one for each call."""

    def __init__(self) -> None:
        self.trouble = ""
        self.applied: list[Snapshot] = []
        self.failures: list[BerthError] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def apply(self, snapshot: Snapshot) -> None:
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        self.applied.append(snapshot)

    @property
    def states(self) -> dict[str, ModelState]:
        return {key: model.state for key, model in self.applied[-1].models.items()} if self.applied else {}
