"""`python -m berth_runtime.vllm.guardian`: kill its own process group when stdin ends. Started by `process.spawn`.

vLLM is several processes, and those that compute go on without their parent. In a pod the end of process 1 ends all of
them; on a laptop nothing else would, if the supervisor were killed. The kernel closes its end of the pipe then.

It leads the group and vLLM is started into it, so there is no moment in which vLLM runs unguarded, and as long as the
guardian lives no other group gets its number.
"""

import os
import signal
import sys


def main() -> None:
    """Wait, then kill everyone in the group, this process too."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
