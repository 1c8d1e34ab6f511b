"""How much memory this machine, or the container around us, still has. None where nobody tells."""

from contextlib import suppress
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def observe_room_bytes(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Bytes that a new process may take without pushing others out."""
    room = [value for value in (_machine_room(meminfo), _container_room(cgroup)) if value is not None]
    return min(room, default=None)


def _machine_room(meminfo: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _container_room(cgroup: Path) -> int | None:
    with suppress(OSError, ValueError):
        limit = (cgroup / "memory.max").read_text().strip()
        if limit != "max":
            return max(int(limit) - int((cgroup / "memory.current").read_text()), 0)
    return None
