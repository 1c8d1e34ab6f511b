"""Keeps llama.cpp's threads from spinning their cores away while something else needs them. Used by `engines.llamacpp`.

Its threads meet at a barrier some 500 times a token, and GNU OpenMP spins there for milliseconds before it sleeps. On
cores of one's own that is best: to sleep at once costs a tenth to a third of the tokens. On cores that are shared, with
anything, a thread spins away the time that its partner waits for: 2 to 8 tokens/s were seen there, and 35 without.

So the time is watched that the threads wait for a core, as the kernel counts it, and OpenMP is told when it is long. It
has no call for that, but it spins only a little while it has more threads than cores: a parked team of threads, which
never get any work, is the switch.
"""

import ctypes
import os
import threading
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

LOOK_SECONDS: Final = 1.0
CROWDED: Final = 0.25  # the part of its time that a thread waits for a core: 0.4 and more were seen on busy ones
CALM: Final = 0.12  # 0.03 to 0.06 were seen on idle ones, from our own HTTP process and the client
CALM_LOOKS: Final = 3
MAX_CORES: Final = 64

_TASKS: Final = Path("/proc/self/task")
_MAPS: Final = Path("/proc/self/maps")


@dataclass(frozen=True)
class Spin:
    """Whether spinning is cut short, and how many looks in a row were calm since."""

    short: bool = False
    calm_looks: int = 0


def next_spin(spin: Spin, waited: float) -> Spin:
    """What to do after a look that found this share of the threads' time spent on waiting for a core."""
    if waited > CROWDED:
        return Spin(short=True)
    if not spin.short:
        return spin
    calm_looks = spin.calm_looks + 1 if waited < CALM else 0
    return Spin() if calm_looks >= CALM_LOOKS else Spin(short=True, calm_looks=calm_looks)


class OpenMp(Protocol):
    """The switch."""

    def spin_short(self) -> None:
        """Spin only a little from now on."""
        ...

    def spin_long(self) -> None:
        """Spin as usual again."""
        ...


class GnuOpenMp:
    """The switch of GNU OpenMP; its threads live as long as the thread that made them."""

    def __init__(self, library: ctypes.CDLL, cores: int) -> None:
        self._parallel = library.GOMP_parallel  # the compiler's own interface: (function, its argument, threads, flags)
        self._parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        self._nothing = ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)  # free(NULL) does nothing
        self._threads = cores + 1
        self._release: threading.Event | None = None

    def spin_short(self) -> None:
        """Park a team that makes the threads more than the cores."""
        if self._release is None:
            self._release = threading.Event()
            threading.Thread(target=self._park, args=(self._release,), name="openmp", daemon=True).start()

    def spin_long(self) -> None:
        """Let the team end."""
        if self._release is not None:
            self._release.set()
            self._release = None

    def _park(self, release: threading.Event) -> None:
        self._parallel(self._nothing, None, self._threads, 0)
        release.wait()


class SpinGovernor(AbstractContextManager[None]):
    """Looks once a second while requests run (each inside of `with governor`), and turns the switch."""

    def __init__(self, openmp: OpenMp, threads: int) -> None:
        self._openmp = openmp
        self._threads = threads
        self._running = 0
        self._busy = threading.Condition()
        threading.Thread(target=self._watch, name="spin", daemon=True).start()

    def __enter__(self) -> None:
        """A request begins."""
        with self._busy:
            self._running += 1
            self._busy.notify()

    def __exit__(self, *_: object) -> None:
        """A request has ended."""
        with self._busy:
            self._running -= 1

    def _watch(self) -> None:
        spin = Spin()
        while True:
            with self._busy:
                self._busy.wait_for(lambda: self._running > 0)
            waited_before, began = waited_seconds(), time.monotonic()
            time.sleep(LOOK_SECONDS)
            waited = waited_seconds() - waited_before
            following = next_spin(spin, waited / (time.monotonic() - began) / self._threads)
            if following.short is not spin.short:
                (self._openmp.spin_short if following.short else self._openmp.spin_long)()
            spin = following


def find_openmp() -> OpenMp | None:
    """The OpenMP of this process, if it is GNU's, the kernel counts waiting, and the team would be small."""
    path = loaded_library(_MAPS.read_text().splitlines(), "libgomp") if _MAPS.exists() else None
    if path is None or waited_seconds() == 0:
        return None
    cores = len(os.sched_getaffinity(0))  # as OpenMP counts them, whatever the cgroup grants
    return GnuOpenMp(ctypes.CDLL(path, mode=os.RTLD_NOLOAD | os.RTLD_LAZY), cores) if cores <= MAX_CORES else None


def loaded_library(maps: Iterable[str], name: str) -> str | None:
    """The path of a library in the lines of `/proc/self/maps`."""
    for line in maps:
        path = line.partition("/")[2]
        if name in path.rpartition("/")[2]:
            return "/" + path
    return None


def waited_seconds() -> float:
    """How long this process' threads have waited for a core so far; 0 where the kernel does not say."""
    return sum(_waited_nanoseconds(task) for task in _TASKS.iterdir()) / 1e9 if _TASKS.exists() else 0


def _waited_nanoseconds(task: Path) -> int:
    try:
        return int((task / "schedstat").read_text().split()[1])
    except (OSError, IndexError):
        return 0  # the thread has just ended, or the kernel does not count
