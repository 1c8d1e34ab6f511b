"""What machine and which versions a measurement ran on: enough to judge the figures, nothing that names the machine."""

import importlib.metadata
import mmap
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path


def cores() -> tuple[int, ...]:
    """The cores that this process may use, in order."""
    return tuple(sorted(os.sched_getaffinity(0)))


def describe_machine() -> dict[str, str]:
    """Processor, cores, memory and system, as text for the reader."""
    return {
        "processor": _first_match(Path("/proc/cpuinfo"), r"model name\s*: (.+)") or platform.machine(),
        "cores": str(len(cores())),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


def load_average() -> str:
    """The load averages over 1, 5 and 15 minutes: above 0 before a run, something else used the cores."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def back_with_memory(size_bytes: int) -> None:
    """Touch that much memory and let it go, so that whoever needs memory next has it at once.

    The host of a virtual machine takes back what was free for a few seconds and gives it again page by page, at a few
    hundred MB/s here: the same write to a file takes one second or five.
    """
    mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


def package_versions(names: Sequence[str]) -> dict[str, str]:
    """The installed version of each Python package that is there."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def program_version(*command: str) -> str:
    """The first thing in a program's version output that looks like a version, or `unknown`."""
    # Some programs (wrk) end `--version` with a status other than 0, and some (nginx) write to stderr.
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    version = re.search(r"\d+\.\d+(?:\.\d+)*", done.stdout + done.stderr)
    return version.group() if version else "unknown"


def _first_match(path: Path, pattern: str) -> str | None:
    found = re.search(pattern, path.read_text()) if path.exists() else None
    return found.group(1).strip() if found else None
