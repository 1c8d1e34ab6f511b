"""Limits of cores and memory as cgroups write them."""

import pytest

from berth_runtime.machine import (
    parse_cfs_quota,
    parse_cpu_max,
    parse_memory_max,
    usable_cores,
    usable_memory_bytes,
)


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
