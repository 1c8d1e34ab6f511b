"""Runs a program that can't outlive `berth up`: asks the kernel to end it when its parent ends, then becomes it.

Started by `berth_cli.laptop.process` as `python -I -S tether.py PARENT_PID PROGRAM ARG…`. A program of its own between
fork and exec, because code run in the forked child itself (`preexec_fn`) can deadlock beside the threads of gRPC. It
imports nothing of Berth: each process of a laptop pays for its start.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ties this process to its parent and executes the program. Exits 127 if the program can't be executed."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have ended before the request was made; then nobody will send the signal.
    if os.getppid() != parent:
        sys.exit(1)
    try:
        os.execvp(program[0], program)  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"{program[0]} can't be executed: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main()
