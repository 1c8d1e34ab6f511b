"""Process 1 around vLLM: starts its server, owns signals and the end. `berth_runtime.__main__` calls `run_vllm`.

SIGTERM: the middleware takes nothing new and fails its probe; what runs may end within the drain time; what is left
gets an error event; only then is vLLM told to end, and killed with all its processes if it does not. vLLM by itself
would leave open streams without an end, and live as long as their clients. A second signal ends at once.

A vLLM of several pods ends with any of them: the head, which has the server, and each member have their own process 1
(`head`, `member`).
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Sequence
from typing import Final

from berth_api.artifact import Task
from berth_runtime.arguments import Options
from berth_runtime.vllm.arguments import build_environment
from berth_runtime.vllm.ending import STATUS_FAILED, Signals, report_failure, wait_first
from berth_runtime.vllm.link import Link, Word
from berth_runtime.vllm.preparation import Preparation, cores_of_vllm
from berth_runtime.vllm.process import VllmProcess, spawn
from berth_runtime.vllm.settings import FrontSettings, write_settings
from berth_runtime.vllm.words import explain_end

CUT_SECONDS: Final = 2.0
"""For error events to reach their clients."""
GIVE_UP_SECONDS: Final = 20.0
"""For a vLLM whose engine failed to start to say why and end; then it is ended."""

log = logging.getLogger(__name__)


class Supervisor:
    """One vLLM's server from its start to its end."""

    def __init__(self, drain_timeout_seconds: float, signals: Signals) -> None:
        self._drain_timeout_seconds = drain_timeout_seconds
        self._told = signals.told
        self._ready = asyncio.Event()
        self._drained = asyncio.Event()
        self._died = asyncio.Event()
        self._lost = asyncio.Event()
        self._loss = ""
        self._has_failed = False

    def hear(self, word: Word) -> None:
        """The middleware said something."""
        match word:
            case Word.READY:
                log.info("model is ready")
                self._ready.set()
            case Word.DRAINED:
                self._drained.set()
            case Word.DIED:
                self._died.set()

    def lose(self, sentence: str) -> None:
        """A part of this vLLM in another pod is gone, without which no request ends; the first sentence counts."""
        self._loss = self._loss or sentence
        self._lost.set()

    async def run(self, vllm: VllmProcess) -> int:
        """Watch over it until it ends or is to end; the exit status."""
        await self.watch(vllm)
        return await self.stop(vllm)

    async def watch(self, vllm: VllmProcess) -> None:
        """Until it ends, or is to be stopped: then all requests have ended, or their time has."""
        end = asyncio.create_task(vllm.wait())
        await wait_first(end, self._told, self._died, self._lost, vllm.gave_up)
        if vllm.gave_up.is_set():
            await wait_first(end, self._told, seconds=GIVE_UP_SECONDS)
        self._has_failed = not self._told.is_set()
        if not self._has_failed:
            await self._drain(vllm, end)
        if self._lost.is_set() and self._ready.is_set():
            vllm.say(Word.LOST)
            await wait_first(end, self._died, seconds=CUT_SECONDS)

    async def stop(self, vllm: VllmProcess) -> int:
        """Stop it; the exit status."""
        status = await vllm.stop()
        if self._loss:
            return report_failure(STATUS_FAILED, self._loss)
        if self._has_failed:
            return report_failure(status, explain_end(status, vllm.said, has_served=self._ready.is_set()))
        return 0

    async def _drain(self, vllm: VllmProcess, end: asyncio.Task[int]) -> None:
        if not self._ready.is_set():
            return  # nobody was let in yet
        log.info("draining")
        vllm.say(Word.DRAIN)
        over = (end, self._drained, self._lost)
        if await wait_first(*over, seconds=self._drain_timeout_seconds):
            return
        log.warning("drain time is up")
        vllm.say(Word.END)
        await wait_first(*over, seconds=CUT_SECONDS)


async def run_alone(preparation: Preparation, signals: Signals) -> int:
    """A vLLM that computes in this pod alone; the exit status."""
    options = preparation.options
    supervisor = Supervisor(options.drain_timeout_seconds, signals)
    return await supervisor.run(await start(preparation.words(), options, preparation.task, supervisor))


async def start(
    words: Sequence[str], options: Options, task: Task, supervisor: Supervisor, *, address: str | None = None
) -> VllmProcess:
    """Start `python -m WORDS` with a connection to its middleware; `address` is for `build_environment`."""
    ours, theirs = socket.socketpair()
    settings = FrontSettings(
        name=options.models[0].name,
        task=task,
        started=time.monotonic(),
        link_fd=theirs.fileno(),
        tools=options.engine_args.get("enable-auto-tool-choice") == "true",
        adapters=tuple(options.adapters),
    )
    environment = build_environment(os.environ, cores=cores_of_vllm(), address=address) | write_settings(settings)
    with theirs:
        process, guardian = await spawn(words, environment, link_fd=theirs.fileno())
    return VllmProcess(process, guardian, await Link.open(ours, supervisor.hear))
