"""How many cores and how much memory this process may use: the least of machine, affinity and cgroup (v1 and v2).

Called once at start; the parsers are pure, so that a container's files can be tested anywhere.
"""

import math
import os
from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")
_UNLIMITED_BYTES: Final = 1 << 60  # version 1 writes a huge number where there is no limit


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
    quota = _cgroup_cores()
    return max(1, affinity if quota is None else min(affinity, math.ceil(quota)))


def usable_memory_bytes() -> int:
    """Memory that this process may fill before it is killed for it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _cgroup_memory_bytes()
    return total if limit is None else min(total, limit)


def _cgroup_cores() -> float | None:
    unified = _read("cpu.max")
    if unified is not None:
        return parse_cpu_max(unified)
    quota, period = _read("cpu/cpu.cfs_quota_us"), _read("cpu/cpu.cfs_period_us")
    return None if quota is None or period is None else parse_cfs_quota(quota, period)


def _cgroup_memory_bytes() -> int | None:
    text = _read("memory.max") or _read("memory/memory.limit_in_bytes")
    return None if text is None else parse_memory_max(text)


def _read(name: str) -> str | None:
    try:
        return (_CGROUP / name).read_text()
    except OSError:
        return None
