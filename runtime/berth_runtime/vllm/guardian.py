"""`python -m berth_runtime.vllm.guardian GROUP`: kill a process group when stdin ends. Started by `supervisor`.

vLLM is several processes, and those that compute go on without their parent. In a pod the end of process 1 ends all of
them; on a laptop nothing else would, if the supervisor were killed. The kernel closes its end of the pipe then.
"""

import contextlib
import os
import signal
import sys


def main() -> None:
    """Wait, then kill; a group that is gone is what was wanted."""
    group = int(sys.argv[1])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
