"""The first process of a cluster's namespaces: it holds them open and lets no zombies pile up.

As it is process 1 of a process namespace, everything in the cluster ends with it, and with the last process its
mounts and its network. So bringing a cluster down is to end this one process. Started as a script by namespaces.py.
"""

import signal


def main() -> None:
    """Do nothing until killed."""
    # Whoever ignores this signal need not wait for orphans: the kernel forgets them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
