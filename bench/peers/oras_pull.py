"""oras-py pulling an artifact: `python -m bench.peers.oras_pull REFERENCE FOLDER`."""

import sys

from oras.client import OrasClient


def main() -> None:
    """Pull over plain HTTP, as the library does it for everybody."""
    reference, folder = sys.argv[1:]
    OrasClient(insecure=True).pull(target=reference, outdir=folder)


if __name__ == "__main__":
    main()
