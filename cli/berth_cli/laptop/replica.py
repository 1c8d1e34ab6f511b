"""One engine process from its start to its end: started, asked how it is, told to drain, and ended if it will not.

Owned by `berth_cli.laptop.unit`. It only observes and reports; what is to be done about it is the plan's matter.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from berth_api.launch import Launch
from berth_cli.laptop.parts import EngineStatus, Probe
from berth_cli.laptop.plan import Stage
from berth_cli.laptop.process import Launcher, Process, exit_text, last_words

STARTING_POLL_SECONDS = 0.15
READY_POLL_SECONDS = 1.0
# A process that was up and gives no sign for this long is taken for hung; a pod's liveness probe gives it as long.
SILENCE_SECONDS = 30.0
KILL_AFTER_SECONDS = 5.0


@dataclass(frozen=True)
class Timing:
    """The patience with one process, in seconds."""

    start_deadline_seconds: float
    silence_seconds: float = SILENCE_SECONDS


@dataclass(frozen=True)
class Ended:
    """Why a process ended. `final` means that the same launch will hardly do better."""

    message: str
    final: bool = False


class EngineReplica:
    """One process. `run` lives as long as it; `changed` is called whenever what is observed changes."""

    def __init__(
        self, number: int, fingerprint: str, *, launch: Launch, log: Path, timing: Timing, changed: Callable[[], None]
    ) -> None:
        self.number = number
        self.fingerprint = fingerprint
        self.launch = launch
        self.log = log
        self.stage = Stage.STARTING
        self.status = EngineStatus()
        self.was_ready = False
        self._timing = timing
        self._changed = changed
        self._process: Process | None = None
        self._verdict: Ended | None = None
        self._ending: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process, once it is started."""
        return self._process.pid if self._process else None

    async def run(self, launcher: Launcher, probe: Probe) -> Ended:
        """Returns why the process ended. Whatever happens, no process is left when this returns or is cancelled."""
        argv = (sys.executable, *self.launch.argv[1:])
        try:
            self._process = await launcher.start(argv, self.launch.env, self.log)
        except OSError as error:
            return Ended(f"the engine can't be started: {error.strerror or error}")
        if self.stage is Stage.DRAINING:  # It was told to go while it was being started.
            self._process.kill()
        watcher = asyncio.create_task(self._watch(probe))
        try:
            code = await self._process.wait()
        finally:
            self._process.kill()
            for task in (watcher, self._ending):
                await cancel(task)
        return self._verdict or Ended(self._exit_message(code))

    def retire(self) -> None:
        """Marks the process for the gateway to stop using it."""
        self.stage = Stage.LEAVING

    def drain(self, *, longest_seconds: float | None = None) -> None:
        """Tells the process to finish what it has; it is killed if that takes longer than the launch allows."""
        if self.stage is Stage.DRAINING:
            return
        self.stage = Stage.DRAINING
        if self._process is None:
            return
        allowed = self.launch.drain_timeout_seconds + KILL_AFTER_SECONDS
        self._process.terminate()
        self._ending = asyncio.create_task(
            self._kill_after(allowed if longest_seconds is None else min(allowed, longest_seconds))
        )

    def kill(self) -> None:
        """Ends the process at once."""
        self.stage = Stage.DRAINING
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()

    async def _kill_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._end()

    async def _watch(self, probe: Probe) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        heard: float | None = None
        while True:
            status = await probe.observe(self.launch.port)
            now = loop.time()
            heard = now if status.answering else heard
            self._observe(status)
            self._verdict = self._judge(status, now - started, now - (heard or now))
            if self._verdict is not None:
                self._end()
                return
            await asyncio.sleep(READY_POLL_SECONDS if self.stage is Stage.READY else STARTING_POLL_SECONDS)

    def _observe(self, status: EngineStatus) -> None:
        stage = self.stage
        if stage in {Stage.STARTING, Stage.READY}:
            self.stage = Stage.READY if status.ready else Stage.STARTING
            self.was_ready = self.was_ready or status.ready
        if status != self.status or stage is not self.stage:
            self.status = status
            self._changed()

    def _judge(self, status: EngineStatus, age_seconds: float, silent_seconds: float) -> Ended | None:
        if silent_seconds > self._timing.silence_seconds:
            return Ended(f"the engine gave no sign of life for {silent_seconds:.0f} s")
        deadline_seconds = self._timing.start_deadline_seconds
        if not (self.was_ready or status.failed) and age_seconds > deadline_seconds:
            remedy = "a larger spec.rollout.startDeadline gives it more time"
            last = f"; it said last:\n{status.message}" if status.message else ""
            return Ended(f"it was not Ready within {deadline_seconds:.0f} s; {remedy}{last}", final=True)
        return None

    def _exit_message(self, code: int) -> str:
        words = last_words(self.log)
        return f"the engine ended with {exit_text(code)}" + (f"; its last words:\n{words}" if words else "")


async def cancel(task: asyncio.Future[Any] | None) -> None:
    """Cancels a task and waits until it is over; its own failure is raised."""
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
