"""A whole laptop for tests: `berth up` as a process of its own, with its own BERTH_HOME and a free port.

    async with laptop_with(manifest) as laptop:   # or: laptop = Laptop(folder); await laptop.up(...)
        client = openai.AsyncOpenAI(base_url=laptop.base_url, api_key="none")

Everything goes through the command line, as a user would; what it leaves behind is looked for in /proc.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from berth_cli.laptop.home import InstanceRecord, RunFolder
from berth_cli.laptop.ports import free_port

READY_SECONDS = 120.0
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    code: int
    out: str
    err: str


class Laptop:
    """One BERTH_HOME and, once `up`, the foreground `berth up` in it."""

    def __init__(self, folder: Path, *, home: Path | None = None) -> None:
        self.folder = folder
        self.home = home or folder / "home"
        self.port = free_port()
        self.process: asyncio.subprocess.Process | None = None
        self._output = folder / "up.out"

    @property
    def url(self) -> str:
        """The gateway's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What OpenAI's clients want."""
        return f"{self.url}/v1"

    @property
    def output(self) -> str:
        """All that `berth up` printed so far, of both streams."""
        return self._output.read_text()

    @property
    def record(self) -> InstanceRecord:
        """Who runs."""
        record = RunFolder(self.home).record()
        assert record is not None
        return record

    def write(self, text: str, name: str = "models.yaml") -> Path:
        """Writes a manifest as editors do: beside, then renamed over."""
        path = self.folder / name
        temporary = path.with_suffix(".tmp")
        temporary.write_text(text)
        temporary.replace(path)
        return path

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Starts `berth ARGUMENTS…` with its output in a file."""
        with self._output.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "berth_cli", *arguments), stdout=output, stderr=output, env=self._environment()
            )

    async def up(self, *files: Path, arguments: Sequence[str] = ()) -> None:
        """Starts `berth up` in the foreground and waits until it says what to try."""
        await self._try_up(files, arguments)
        if f"port {self.port} of 127.0.0.1 is taken" in self.output:
            # Between the choice of a free port and its use, another program was quicker.
            self.port = free_port()
            await self._try_up(files, arguments)
        assert self.process is not None
        assert self.process.returncode is None, self.output

    async def _try_up(self, files: Sequence[Path], arguments: Sequence[str]) -> None:
        self._output.unlink(missing_ok=True)  # What an earlier one said is no sign that this one is Ready.
        named = [part for file in files for part in ("-f", str(file))]
        self.process = await self.start("up", *named, "--port", str(self.port), *arguments)
        await self.until(lambda: "Try:" in self.output or self.process is None or self.process.returncode is not None)

    async def run(self, *arguments: str, stdin: str | None = None) -> Finished:
        """Runs `berth ARGUMENTS…` to its end."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "berth_cli", *arguments),
            stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment(),
        )
        out, err = await communicate(process, stdin.encode() if stdin else None)
        assert process.returncode is not None
        return Finished(process.returncode, out.decode(), err.decode())

    async def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ends `berth up` by a signal and returns its exit code."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), STOP_SECONDS)

    async def until(self, holds: Callable[[], object], *, seconds: float = READY_SECONDS) -> None:
        """Polls until `holds`; a failure shows the output."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, self.output if self._output.exists() else "no output"
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """Ends whatever still runs here."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        if RunFolder(self.home).running() is not None:
            await self.run("down", "--timeout", "5")

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "BERTH_HOME": str(self.home), "BERTH_PORT": str(self.port)}


@asynccontextmanager
async def laptop_in(folder: Path | None = None) -> AsyncIterator[Laptop]:
    """A laptop that is not up yet, in a new short folder unless one is given."""
    with tempfile.TemporaryDirectory(prefix="berth-laptop-") as temporary:
        laptop = Laptop(folder or Path(temporary))
        try:
            yield laptop
        finally:
            await laptop.close()


@asynccontextmanager
async def laptop_with(manifest: str) -> AsyncIterator[Laptop]:
    """A laptop on which a manifest is Ready."""
    async with laptop_in() as laptop:
        await laptop.up(laptop.write(manifest))
        yield laptop


async def communicate(
    process: asyncio.subprocess.Process, stdin: bytes | None = None, *, seconds: float = READY_SECONDS
) -> tuple[bytes, bytes]:
    """What a command says until its end; one that does not end in time is killed."""
    try:
        return await asyncio.wait_for(process.communicate(stdin), seconds)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def processes_of(home: Path) -> list[int]:
    """The processes of this machine that were started for this BERTH_HOME, by their environment."""
    mark = f"BERTH_HOME={home}".encode()
    return [pid for pid in _all_processes() if mark in _environment_of(pid)]


def children_of(pid: int) -> dict[int, str]:
    """All processes below one, with their command lines."""
    parents = {child: _parent_of(child) for child in _all_processes()}
    below: dict[int, str] = {}
    todo = [pid]
    while todo:
        above = todo.pop()
        for child, parent in parents.items():
            if parent == above:
                below[child] = _command_of(child)
                todo.append(child)
    return below


def _all_processes() -> Iterator[int]:
    return (int(folder.name) for folder in Path("/proc").glob("[0-9]*"))


def _environment_of(pid: int) -> list[bytes]:
    with contextlib.suppress(OSError):
        return (Path("/proc") / str(pid) / "environ").read_bytes().split(b"\0")
    return []


def _parent_of(pid: int) -> int:
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _command_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""
