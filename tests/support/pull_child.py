"""A process that pulls, to be killed: `async with Puller() as puller: pid = await puller.start(store, reference, …)`.

Run as a program it is the parent of the pulls: it has everything imported, and forks one for each line that it reads,
for starting Python twenty times would take longer than all the transfers.
"""

import asyncio
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

from berth_store.local import Store
from berth_store.pull import pull
from berth_store.registries import RegistryConfig
from berth_store.sources.address import parse_name


class Puller:
    """The parent of pulls, one at a time; `environ` is added to their environment."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = {**os.environ, **(environ or {})}

    async def __aenter__(self) -> Self:
        self._parent = await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._environ,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._parent.stdin is not None
        self._parent.stdin.close()
        await self._parent.wait()

    async def start(self, root: Path, reference: str, *, chunk_bytes: int) -> int:
        """Start a pull, and return its process id."""
        assert self._parent.stdin is not None
        self._parent.stdin.write(f"{root}\t{reference}\t{chunk_bytes}\n".encode())
        await self._parent.stdin.drain()
        return await self._answer()

    async def ending(self) -> int:
        """Wait for the pull, and return its exit status: 0 for success, -9 for SIGKILL."""
        return await self._answer()

    async def _answer(self) -> int:
        assert self._parent.stdout is not None
        return int(await self._parent.stdout.readline())


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os._exit(_run(*line.rstrip("\n").split("\t")))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(root: str, reference: str, chunk_bytes: str) -> int:
    config = replace(RegistryConfig.from_environment(), chunk_bytes=int(chunk_bytes), stall_timeout_seconds=10)
    try:
        asyncio.run(pull(Store(Path(root)), parse_name(reference), registries=config))
    except BaseException:  # noqa: BLE001 - the outermost frame of a forked child
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
