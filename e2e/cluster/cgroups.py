"""The control group that all pods of one cluster live below, in either version of control groups."""

import os
from collections.abc import Iterator
from pathlib import Path

MOUNTED = Path("/sys/fs/cgroup")
# What the kubelet wants to be handed on to the group, in the second version.
CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "hugetlb", "io")


def make_group(name: str, *, cpu_share: int = 1) -> None:
    """Make the group `name` wherever the kubelet will look for it.

    Where cores are short, all its pods together get `cpu_share` times what another group of the machine gets. Niceness
    says nothing here: it counts among the processes of one group, or of one session where the kernel groups by those.
    """
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)
    if _is_second_version():
        _hand_on(MOUNTED)
        _hand_on(MOUNTED / name)
        (MOUNTED / name / "cpu.weight").write_text(str(100 * cpu_share))
    else:
        (MOUNTED / "cpu" / name / "cpu.shares").write_text(str(1024 * cpu_share))


def remove_group(name: str) -> None:
    """Remove the group `name` and all below it. Its processes have ended."""
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            Path(folder).rmdir()


def left_groups(name: str) -> list[Path]:
    """Where the group `name` still exists."""
    return [hierarchy / name for hierarchy in _hierarchies() if (hierarchy / name).exists()]


def _is_second_version() -> bool:
    return (MOUNTED / "cgroup.controllers").exists()


def _hierarchies() -> Iterator[Path]:
    if _is_second_version():
        yield MOUNTED
        return
    # `cpu` may be a link to `cpu,cpuacct`: each hierarchy once.
    yield from sorted({entry.resolve() for entry in MOUNTED.iterdir() if entry.is_dir()})


def _hand_on(folder: Path) -> None:
    available = (folder / "cgroup.controllers").read_text().split()
    handed_on = (folder / "cgroup.subtree_control").read_text().split()
    missing = [f"+{name}" for name in CONTROLLERS if name in available and name not in handed_on]
    (folder / "cgroup.subtree_control").write_text(" ".join(missing))
