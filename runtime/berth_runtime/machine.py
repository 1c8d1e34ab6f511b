"""How many cores and how much memory this process may use: the least of machine, affinity and cgroup (v1 and v2).

Called once at start; the parsers are pure, so that a container's files can be tested anywhere. A limit of any group
above ours binds us too. In a container, the groups above are usually not to be seen, and our own is the root of what is
mounted, whatever `/proc/self/cgroup` calls it; so every folder on the way that exists is looked at.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

_MOUNT: Final = Path("/sys/fs/cgroup")
_OWN_GROUPS: Final = Path("/proc/self/cgroup")
_UNLIMITED_BYTES: Final = 1 << 60  # version 1 writes a huge number where there is no limit
_UNIFIED: Final = ""  # the name under which `/proc/self/cgroup` lists the one hierarchy of version 2
_Limit = TypeVar("_Limit", int, float)


def parse_own_groups(text: str) -> Mapping[str, PurePosixPath]:
    """The group of each controller from `/proc/self/cgroup`, whose lines are `number:controllers:path`."""
    lines = (line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2)
    return {controller: PurePosixPath(path) for _, controllers, path in lines for controller in controllers.split(",")}


def parse_cpu_max(text: str) -> float | None:
    """Cores that `cpu.max` of cgroup version 2 grants (`quota period`), None for no limit."""
    quota, _, period = text.strip().partition(" ")
    return None if quota == "max" or not period else int(quota) / int(period)


def parse_cfs_quota(quota: str, period: str) -> float | None:
    """Cores that `cpu.cfs_quota_us` and `cpu.cfs_period_us` of version 1 grant, None for no limit."""
    return int(quota) / int(period) if int(quota) > 0 else None


def parse_memory_max(text: str) -> int | None:
    """Bytes that `memory.max` or `memory.limit_in_bytes` grants, None for no limit."""
    text = text.strip()
    if text == "max" or int(text) >= _UNLIMITED_BYTES:
        return None
    return int(text)


def usable_cores() -> int:
    """Cores to compute on, at least one; a part of a core counts as one."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_cores()
    return max(1, affinity if quota is None else min(affinity, math.ceil(quota)))


def usable_memory_bytes() -> int:
    """Memory that this process may fill before it is killed for it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = cgroup_memory_bytes()
    return total if limit is None else min(total, limit)


def cgroup_cores(mount: Path = _MOUNT, own_groups: Path = _OWN_GROUPS) -> float | None:
    """Cores that the groups at `mount` grant this process; None where they do not limit it."""

    def read(group: Path) -> float | None:
        unified = _read(group / "cpu.max")
        if unified is not None:
            return parse_cpu_max(unified)
        quota, period = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
        return None if quota is None or period is None else parse_cfs_quota(quota, period)

    return _least(_groups("cpu", mount, own_groups), read)


def cgroup_memory_bytes(mount: Path = _MOUNT, own_groups: Path = _OWN_GROUPS) -> int | None:
    """Bytes that the groups at `mount` grant this process; None where they do not limit it."""

    def read(group: Path) -> int | None:
        text = _read(group / "memory.max") or _read(group / "memory.limit_in_bytes")
        return None if text is None else parse_memory_max(text)

    return _least(_groups("memory", mount, own_groups), read)


def _groups(controller: str, mount: Path, own_groups: Path) -> Iterator[Path]:
    """The folders of our group and of all above it, in the hierarchies of both versions that may be mounted."""
    own = parse_own_groups(_read(own_groups) or "")
    for top, name in ((mount, _UNIFIED), (mount / controller, controller)):
        group = own.get(name, PurePosixPath("/"))
        for path in (group, *group.parents):
            yield top / path.relative_to("/")


def _least(groups: Iterator[Path], read: Callable[[Path], _Limit | None]) -> _Limit | None:
    limits = (_readable(read, group) for group in groups)
    return min((limit for limit in limits if limit is not None), default=None)


def _readable(read: Callable[[Path], _Limit | None], group: Path) -> _Limit | None:
    """What `read` makes of a group; a file that says nothing of the kind is no reason not to start."""
    try:
        return read(group)
    except (ValueError, ZeroDivisionError):
        return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
