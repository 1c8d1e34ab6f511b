"""Engine and Envoy processes: started with a log file, in a process group of their own, tied to the life of `berth up`.

A process group of its own, so that Ctrl-C in the terminal reaches `berth up` alone, which then stops things in order;
tied by the parent-death signal, so that nothing survives a SIGKILL of `berth up` either.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

_TETHER = Path(__file__).with_name("tether.py")
_LARGEST_LOG_BYTES = 16 * 1024 * 1024
_TAIL_BYTES = 8192
# What a process may know of this machine: how to find programs and libraries, never credentials.
_PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "PYTHON",
    "OMP_",
    "BERTH_",
)


class Process(Protocol):
    """A running process. `wait` may be awaited by several; `terminate` asks, `kill` ends its whole group at once."""

    @property
    def pid(self) -> int: ...  # noqa: D102

    async def wait(self) -> int: ...  # noqa: D102

    def terminate(self) -> None: ...  # noqa: D102

    def kill(self) -> None: ...  # noqa: D102


class Launcher(Protocol):
    """Starts processes. Raises `OSError` if the system refuses."""

    async def start(self, argv: Sequence[str], env: Mapping[str, str], log: Path) -> Process: ...  # noqa: D102


class LocalProcess:
    """A real child process and its group."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._ended = False

    @property
    def pid(self) -> int:
        """Also the id of its process group."""
        return self._process.pid

    async def wait(self) -> int:
        """The exit code; negative is the signal that ended it. Whatever is left of its group is ended too."""
        code = await self._process.wait()
        if not self._ended:  # Once: later the number may belong to somebody else.
            self._signal_group(signal.SIGKILL)
            self._ended = True
        return code

    def terminate(self) -> None:
        """SIGTERM to the process alone: it knows how to drain and end its own workers."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """SIGKILL to the group."""
        if not self._ended:
            self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


class LocalLauncher:
    """Starts children of this process."""

    async def start(self, argv: Sequence[str], env: Mapping[str, str], log: Path) -> LocalProcess:
        """Starts `argv` with its output appended to `log`."""
        _rotate(log)
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), *argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**passed_on(os.environ), **env},
                process_group=0,
            )
        return LocalProcess(process)


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of the environment that engines get: a pod gives them no more than that."""
    return {name: value for name, value in environ.items() if name.startswith(_PASSED_ON)}


def exit_text(code: int) -> str:
    """`exit code 1`, or `signal SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def last_words(log: Path, *, lines: int = 3) -> str:
    """The last lines of a log that say anything, for a message; empty if there are none."""
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - _TAIL_BYTES, 0))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    said = [line.strip() for line in text.splitlines() if line.strip()]
    return "\n".join(said[-lines:])


def _rotate(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        if log.stat().st_size > _LARGEST_LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
