"""Runs a command and writes down the most memory that it held: `python -I -S bench/measured.py FILE COMMAND…`.

A process inherits this figure from the one that forked it, so a large program must not fork what it wants to measure.
This one imports next to nothing; about 10 MiB are the least that it can tell.
"""

import os
import resource
import sys


def main() -> int:
    """The command's own exit status; FILE gets KiB of peak resident memory of its largest process."""
    target, *command = sys.argv[1:]
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status = os.waitpid(pid, 0)
    with open(target, "w", encoding="ascii") as file:
        file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
    return os.waitstatus_to_exitcode(status) & 0xFF


if __name__ == "__main__":
    sys.exit(main())
