"""A process that pulls, to be killed: `python pull_child.py STORE REFERENCE CHUNK_BYTES`."""

import asyncio
import sys
from pathlib import Path

from berth_store.local import Store
from berth_store.pull import pull
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig


def main() -> None:
    root, reference, chunk_bytes = sys.argv[1:]
    config = RegistryConfig(chunk_bytes=int(chunk_bytes), stall_timeout_seconds=10)
    print(asyncio.run(pull(Store(Path(root)), Reference.parse(reference), registries=config)))


if __name__ == "__main__":
    main()
