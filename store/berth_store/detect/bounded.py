"""`detect_bounded`: detection of a file from elsewhere, in a process of its own with limits, so that no file can hurt
the caller. The runtime, the CLI and packaging call it; `python -m berth_store.detect` is the other end. For files that
are not all there, `berth_store.detect.paged` talks with the same child.

The child sets its limits on itself before it opens the file: the code is ours, only the file is not.
"""

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from pydantic import BaseModel, ValidationError

from berth_api.artifact import Format, Task
from berth_api.errors import PickleRefused, Unavailable, UnsupportedModel
from berth_store.detect.model import DetectedAdapter, DetectedModel
from berth_store.detect.wish import Sought, Wish

DEFAULT_CPU_SECONDS = 10
# Beyond this it is the machine that is too slow, not the file: the bound on processor time comes first otherwise.
DEFAULT_TIMEOUT_SECONDS = 60.0
RETRY_AFTER_SECONDS = 5.0
# All that the child may map; Python with its libraries takes about 50 MB of it before it reads anything.
DEFAULT_MEMORY_BYTES = 1 << 30
MAX_ANSWER_BYTES = 64 << 20
MAX_OPEN_FILES = 64
REFUSED_EXIT_CODE = 3
_REMEDY = "fetch it again from a source that you trust"


class Want(BaseModel):
    """A stretch that has to be there before the child reads on: from the byte `start` up to, and without, `stop`."""

    path: Path
    start: int
    stop: int


class Answer(BaseModel):
    """A line that the child prints: what it found, why there is nothing, or what it wants first."""

    model: DetectedModel | None = None
    adapter: DetectedAdapter | None = None
    refused: str | None = None
    is_pickle: bool = False
    want: Want | None = None


def detect_bounded(
    path: Path,
    *,
    task: Task = Task.AUTO,
    formats: Collection[Format] = (),
    own_template: bool = False,
    pickles: bool = False,
    cpu_seconds: int = DEFAULT_CPU_SECONDS,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
) -> DetectedModel:
    """What `detect` says of `path`, within these bounds.

    A file that takes more processor time or memory is an `UnsupportedModel` too. One that is not read in time although
    it took neither (a busy machine, a hanging network file system) is `Unavailable`.
    """
    wish = Wish(task, frozenset(formats), own_template, pickles=pickles)
    return model_in(_ask(path, wish, cpu_seconds, timeout_seconds, memory_bytes), path)


def detect_adapter_bounded(path: Path) -> DetectedAdapter:
    """What `detect_adapter` says of `path`, within the same bounds."""
    return adapter_in(_ask(path, Wish(sought=Sought.ADAPTER)), path)


def detect_either_bounded(
    path: Path, *, task: Task = Task.AUTO, own_template: bool = False, pickles: bool = False
) -> DetectedModel | DetectedAdapter:
    """The model at `path`, or the adapter where there is no model."""
    answer = _ask(path, Wish(task, own_template=own_template, sought=Sought.EITHER, pickles=pickles))
    return answer.adapter or model_in(answer, path)


def _ask(
    path: Path,
    wish: Wish,
    cpu_seconds: int = DEFAULT_CPU_SECONDS,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
) -> Answer:
    command = child_command(path, wish, cpu_seconds, memory_bytes)
    try:
        child = subprocess.run(command, capture_output=True, timeout=timeout_seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise too_slow(path, timeout_seconds) from error
    if child.returncode not in (0, REFUSED_EXIT_CODE):
        raise no_answer(path, child.returncode, child.stderr, memory_bytes)
    return parse_answer(path, child.stdout)


def parse_answer(path: Path, line: bytes) -> Answer:
    """What the child printed."""
    try:
        return Answer.model_validate_json(line)
    except ValidationError as error:
        raise UnsupportedModel(f"{path}: the reading ended without an answer; {_REMEDY}") from error


def model_in(answer: Answer, path: Path) -> DetectedModel:
    """The model in the last answer, or the child's refusal raised."""
    if answer.model is None:
        raise _refused(answer, path)
    return answer.model


def adapter_in(answer: Answer, path: Path) -> DetectedAdapter:
    """The adapter in the last answer, or the child's refusal raised."""
    if answer.adapter is None:
        raise _refused(answer, path)
    return answer.adapter


def _refused(answer: Answer, path: Path) -> UnsupportedModel:
    refusal = PickleRefused if answer.is_pickle else UnsupportedModel
    return refusal(answer.refused or f"{path}: the reading ended without an answer; {_REMEDY}")


def too_slow(path: Path, timeout_seconds: float) -> Unavailable:
    """The error for a child that was not done in time."""
    why = f"its headers were not read within {timeout_seconds:g} seconds, for want of processor or disk"
    remedy = "it is tried again; look at what else this machine does, and at the file system"
    return Unavailable(f"{path}: {why}; {remedy}", retry_after_seconds=RETRY_AFTER_SECONDS)


def no_answer(path: Path, returncode: int, stderr: bytes, memory_bytes: int) -> UnsupportedModel:
    """The error for a child that ended without an answer."""
    return UnsupportedModel(f"{path}: {_ending(returncode, stderr, memory_bytes)}; {_REMEDY}")


def limit_myself(cpu_seconds: int, memory_bytes: int) -> None:
    """Bind this process: memory, processor time, open files, no files written, no core dump. For the child."""
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
        resource.RLIMIT_FSIZE: MAX_ANSWER_BYTES,
        resource.RLIMIT_CORE: 0,
    }
    for kind, wanted in limits.items():
        _, hard = resource.getrlimit(kind)
        bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (bound, bound))


def child_command(path: Path, wish: Wish, cpu_seconds: int, memory_bytes: int) -> list[str]:
    """The child for `path`."""
    # -P keeps the working folder, which may be the model's own, off the way of imports.
    command = [sys.executable, "-P", "-m", "berth_store.detect", "--task", wish.task]
    command += ["--cpu-seconds", str(cpu_seconds), "--memory-bytes", str(memory_bytes)]
    command += [word for each in sorted(wish.formats) for word in ("--format", each)]
    command += ["--own-template"] if wish.own_template else []
    command += ["--sought", wish.sought]
    command += ["--trust-pickle"] if wish.pickles else []
    return [*command, "--", os.fspath(path)]


def _ending(returncode: int, stderr: bytes, memory_bytes: int) -> str:
    """How a child that gave no answer ended, in words."""
    if returncode in {-signal.SIGXCPU, -signal.SIGKILL}:
        return "reading its headers takes too much processor time"
    if returncode < 0:
        with contextlib.suppress(ValueError):
            name = signal.Signals(-returncode).name
            return f"the process that read its headers was ended by {name}"
    last = stderr.decode("utf-8", errors="replace").strip().rsplit("\n", 1)[-1][-300:]
    if "MemoryError" in last:
        return f"reading its headers takes more than {memory_bytes:,} bytes of memory"
    return f"the process that read its headers failed with {last!r}"
