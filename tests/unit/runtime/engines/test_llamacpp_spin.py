"""When llama.cpp's threads spin long and when short: by how long they wait for a core."""

import ctypes
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from berth_runtime.engines.llamacpp_spin import CALM_LOOKS, GnuOpenMp, Spin, SpinGovernor, loaded_library, next_spin


def after(*waits: float) -> Spin:
    spin = Spin()
    for waited in waits:
        spin = next_spin(spin, waited)
    return spin


def test_on_cores_of_ones_own_threads_spin_long() -> None:
    assert not after(0.05, 0.1, 0.2).short


def test_on_busy_cores_they_spin_short_at_once() -> None:
    assert after(0.05, 0.45).short


def test_only_calm_that_lasts_lets_them_spin_long_again() -> None:
    calm = [0.05] * CALM_LOOKS
    assert not after(0.45, *calm).short
    assert after(0.45, *calm[1:]).short
    assert after(0.45, *calm[1:], 0.2, *calm[1:]).short


@pytest.mark.parametrize(
    ("maps", "path"),
    [
        (["7f-80 r-xp 00 fe:00 12   /lib/x86_64-linux-gnu/libgomp.so.1.0.0"], "/lib/x86_64-linux-gnu/libgomp.so.1.0.0"),
        (["7f-80 r-xp 00 fe:00 12   /site/x.libs/libgomp-a1b2.so.1"], "/site/x.libs/libgomp-a1b2.so.1"),
        (["7f-80 r-xp 00 fe:00 12   /home/libgomp/libm.so.6", "7f-80 rw-p 00 00:00 0"], None),
    ],
)
def test_the_library_that_is_loaded_is_found(maps: list[str], path: str | None) -> None:
    assert loaded_library(maps, "libgomp") == path


def test_the_switch_parks_a_team_of_threads_and_lets_it_go() -> None:
    openmp = GnuOpenMp(ctypes.CDLL("libgomp.so.1"), cores=2)
    before = threads()
    openmp.spin_short()
    wait_for(lambda: threads() == before + 3)
    openmp.spin_long()
    wait_for(lambda: threads() == before)


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_error_inside_of_a_request_is_not_swallowed() -> None:
    class Switch:
        def spin_short(self) -> None: ...

        def spin_long(self) -> None: ...

    with pytest.raises(ValueError, match="as it was"), SpinGovernor(Switch(), threads=2):
        raise ValueError("as it was")
