"""What ties a worker's life to its parent's, and makes it the one that the kernel kills first; Linux does the work.

Called by `berth_runtime.worker` before anything else. On other systems the worker still ends when the connection to
its parent closes, only not while native code loads.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_OOM_SCORE: Final = Path("/proc/self/oom_score_adj")
_OOM_SCORE_STEP: Final = 200


def end_with_parent(parent_pid: int) -> None:
    """Be killed when the parent dies, also inside native code; end now if it is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(0)


def be_killed_before_parent() -> None:
    """Raise the score by which the kernel chooses whom to kill when memory runs out; raising needs no right."""
    try:
        score = int(_OOM_SCORE.read_text())
        _OOM_SCORE.write_text(str(min(score + _OOM_SCORE_STEP, 1000)))
    except (OSError, ValueError):
        return  # a container without /proc/self/oom_score_adj: the bigger process is still the likelier one
