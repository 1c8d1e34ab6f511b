"""Limits of cores and memory as cgroups write them."""

from pathlib import Path, PurePosixPath

import pytest
from folder_builders import write_files

from berth_runtime.machine import (
    cgroup_cores,
    cgroup_memory_bytes,
    parse_cfs_quota,
    parse_cpu_max,
    parse_memory_max,
    parse_own_groups,
    usable_cores,
    usable_memory_bytes,
)

GIB = 1 << 30


@pytest.mark.parametrize(("text", "cores"), [("max 100000\n", None), ("150000 100000\n", 1.5), ("max", None)])
def test_cores_of_version_2(text: str, cores: float | None) -> None:
    assert parse_cpu_max(text) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1\n", None), ("50000\n", 0.5)])
def test_cores_of_version_1(quota: str, cores: float | None) -> None:
    assert parse_cfs_quota(quota, "100000\n") == cores


@pytest.mark.parametrize(
    ("text", "limit"), [("max\n", None), ("9223372036854771712\n", None), ("1073741824\n", 1073741824)]
)
def test_memory_of_both_versions(text: str, limit: int | None) -> None:
    assert parse_memory_max(text) == limit


def test_this_machine_has_something() -> None:
    assert usable_cores() >= 1
    assert usable_memory_bytes() > 1 << 28


def test_the_group_of_each_controller() -> None:
    assert parse_own_groups("12:cpu,cpuacct:/kubepods/pod1\n1:name=systemd:/x\n0::/a:b\n") == {
        "cpu": PurePosixPath("/kubepods/pod1"),
        "cpuacct": PurePosixPath("/kubepods/pod1"),
        "name=systemd": PurePosixPath("/x"),
        "": PurePosixPath("/a:b"),
    }


class Groups:
    """A machine's cgroup files, and what a process in them may use."""

    def __init__(self, folder: Path, own: str, files: dict[str, str]) -> None:
        self.mount, self.own = folder / "cgroup", folder / "self-cgroup"
        self.own.write_text(own)
        write_files(self.mount, files)

    @property
    def limits(self) -> tuple[float | None, int | None]:
        return cgroup_cores(self.mount, self.own), cgroup_memory_bytes(self.mount, self.own)


def test_a_container_of_version_2_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    files = {"cpu.max": "200000 100000\n", "memory.max": f"{GIB}\n"}
    assert Groups(tmp_path, "0::/\n", files).limits == (2.0, GIB)


def test_a_container_of_version_1_sees_its_own_group_as_the_root_under_the_nodes_name_for_it(tmp_path: Path) -> None:
    files = {
        "cpu/cpu.cfs_quota_us": "200000\n",
        "cpu/cpu.cfs_period_us": "100000\n",
        "memory/memory.limit_in_bytes": f"{GIB}\n",
    }
    own = "5:memory:/kubepods/pod1/c1\n4:cpu,cpuacct:/kubepods/pod1/c1\n"
    assert Groups(tmp_path, own, files).limits == (2.0, GIB)


def test_the_tightest_group_on_the_way_up_binds(tmp_path: Path) -> None:
    files = {
        "pods/cpu.max": "800000 100000\n",
        "pods/one/cpu.max": "100000 100000\n",
        "pods/one/main/cpu.max": "max 100000\n",
        "pods/one/main/memory.max": "max\n",
        "pods/memory.max": f"{4 * GIB}\n",
    }
    assert Groups(tmp_path, "0::/pods/one/main\n", files).limits == (1.0, 4 * GIB)


def test_both_versions_at_once(tmp_path: Path) -> None:
    files = {
        "cpu/job/cpu.cfs_quota_us": "50000\n",
        "cpu/job/cpu.cfs_period_us": "100000\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    assert Groups(tmp_path, "4:memory:/\n3:cpu:/job\n0::/\n", files).limits == (0.5, None)


@pytest.mark.parametrize("files", [{}, {"cpu.max": "", "memory.max": "strange\n"}])
def test_files_that_say_nothing_limit_nothing(tmp_path: Path, files: dict[str, str]) -> None:
    assert Groups(tmp_path, "", files).limits == (None, None)
