"""Start the programs that a measurement needs, pin them, count their processor time, and end them.

Processor time is read from /proc, of a program and everything it started: on a shared machine it is a far steadier
figure than throughput.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class NotStarted(RuntimeError):  # noqa: N818 - reads as what happened
    """A program that a measurement needs ended, or did not answer in time; the message ends with its last words."""


class Program:
    """One running program, its output in `log`; a context manager that ends it and whatever it started."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        pinned_to: Sequence[int] | None = None,
        environment: Mapping[str, str] | None = None,
        conversing: bool = False,
    ) -> None:
        """Start `argv`, on the cores `pinned_to` alone if given; `conversing` keeps pipes for `ask`."""
        pin = ["taskset", "-c", ",".join(map(str, pinned_to))] if pinned_to is not None else []
        # An orphan would go on using the cores, and spoil every figure that is taken after.
        ends_with_us = ["setpriv", "--pdeathsig", "KILL"]
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*ends_with_us, *pin, *argv],
                stdin=subprocess.PIPE if conversing else subprocess.DEVNULL,
                stdout=subprocess.PIPE if conversing else output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id of the program itself."""
        return self._process.pid

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """One JSON line in, one JSON line out; the way a peer that is a Python process is driven."""
        pipe = self._process.stdin
        assert pipe is not None
        with suppress(BrokenPipeError):
            pipe.write(json.dumps(question).encode() + b"\n")
            pipe.flush()
        return self.read_line()

    def read_line(self) -> dict[str, Any]:
        """The next JSON line that a program says which is `conversing`."""
        pipe = self._process.stdout
        assert pipe is not None
        line = pipe.readline()
        if not line:
            raise NotStarted(f"{self._describe()} ended instead of answering: {self.last_words()}")
        return dict(json.loads(line))

    def wait_until_answers(self, port: int, path: str, *, seconds: float = 120.0, every_seconds: float = 0.05) -> None:
        """Return when GET `path` on 127.0.0.1:`port` answers 200; `NotStarted` if the program ends or time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise NotStarted(f"{self._describe()} ended with {self._process.returncode}: {self.last_words()}")
            if _status_of(port, path) == 200:
                return
            time.sleep(every_seconds)
        raise NotStarted(f"{self._describe()} did not answer {path} within {seconds:g} s: {self.last_words()}")

    def processor_seconds(self) -> dict[int, float]:
        """User and system time so far of the program and of each process under it, by process id."""
        return {pid: seconds for pid in process_tree(self.pid) if (seconds := processor_seconds_of(pid)) is not None}

    def last_words(self, size_bytes: int = 600) -> str:
        """The end of what the program has written."""
        return self._log.read_bytes()[-size_bytes:].decode(errors="replace").strip()

    def stop(self) -> None:
        """Ask it to end, wait 15 s, then kill it and what it left behind."""
        if self._process.poll() is None:
            self._process.terminate()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _describe(self) -> str:
        return " ".join(map(str, self._process.args if isinstance(self._process.args, list) else []))[:200]


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def process_tree(root: int) -> set[int]:
    """`root` and every process under it, as /proc shows it now."""
    parent_of = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat_fields(int(entry.name))) is not None:
            parent_of[int(entry.name)] = int(fields[1])
    family, grown = {root}, True
    while grown:
        more = {pid for pid, parent in parent_of.items() if parent in family} - family
        family, grown = family | more, bool(more)
    return family


def processor_seconds_of(pid: int) -> float | None:
    """User plus system time of one process, or None once it is gone."""
    fields = _stat_fields(pid)
    return None if fields is None else (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def _stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from `state` on: the name before them may hold spaces and brackets."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def read_json(port: int, path: str) -> dict[str, Any]:
    """What 127.0.0.1:`port` answers to a GET of `path`."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", path)
        return dict(json.loads(connection.getresponse().read()))


def _status_of(port: int, path: str) -> int | None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
