"""`python -m berth_runtime.prefetched --volume /image`: rests beside a mounted image, for as long as its node has to
keep that. It ends at once where the volume is empty, for some runtimes mount other artifacts than images so.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_END = frozenset({signal.SIGTERM, signal.SIGINT})


def main(argv: Sequence[str] | None = None) -> int:
    """Look, and rest until told to end; the exit status."""
    # Blocked first: as process 1 of a container it would not see a signal for which it has no handler.
    signal.pthread_sigmask(signal.SIG_BLOCK, _END)
    parser = argparse.ArgumentParser(prog="python -m berth_runtime.prefetched", description="Rest beside an image.")
    parser.add_argument("--volume", type=Path, required=True, metavar="FOLDER", help="where the image is mounted")
    volume: Path = parser.parse_args(argv).volume
    if not any(volume.iterdir()):
        sys.stderr.write(
            f"{volume} is empty: container runtimes mount only the layers of images, and this artifact has others\n"
        )
        return 1
    signal.sigwait(_END)
    return 0


if __name__ == "__main__":
    sys.exit(main())
