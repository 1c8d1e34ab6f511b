"""Kill a piece of work before each of its system calls in turn, and look at what is left.

for point in crash_points(work):      # runs `work` in a child that SIGKILLs itself at the point
    ...                               # check what it left behind
"""

import fcntl
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

# Everything through which the store changes the disk or waits for others.
_CALLS = (
    (os, "open"),
    (os, "write"),
    (os, "pwritev"),
    (os, "fsync"),
    (os, "fchmod"),
    (os, "ftruncate"),
    (os, "replace"),
    (os, "rename"),
    (os, "mkdir"),
    (os, "symlink"),
    (os, "unlink"),
    (os, "rmdir"),
    (fcntl, "flock"),
)
_FAILED = 70


def crash_points(work: Callable[[], None], *, at_most: int = 1000) -> Iterator[int]:
    """Run `work` again and again, each time killed one system call later, until it comes to its end."""
    for point in range(at_most):
        ending = _run_and_kill(work, point)
        if os.WIFEXITED(ending):
            assert os.WEXITSTATUS(ending) == 0, f"the work failed by itself before call {point}"
            assert point > 0, "the work makes no system call that is watched"
            return
        assert os.WTERMSIG(ending) == signal.SIGKILL
        yield point
    raise AssertionError(f"the work makes more than {at_most} calls")


def _run_and_kill(work: Callable[[], None], point: int) -> int:
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        _arm(point)
        work()
    except BaseException:  # noqa: BLE001 - the outermost frame of a forked child
        traceback.print_exc(file=sys.__stderr__)
        os._exit(_FAILED)
    os._exit(0)


def _arm(point: int) -> None:
    left = point

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return call(*arguments, **options)

        return wrapper

    for module, name in _CALLS:
        setattr(module, name, counted(getattr(module, name)))
