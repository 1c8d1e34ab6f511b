"""Starts a worker process and watches its connection, its stderr and its end. `berth_runtime.served` owns it.

Must be started from the main thread: a worker asks the kernel to be killed when the thread that made it ends.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Final, Self

from berth_runtime.channel import WorkerChannel
from berth_runtime.frames import Frame
from berth_runtime.machine import usable_cores

MAX_SAID_BYTES: Final = 64 * 1024
STOP_SECONDS: Final = 2.0

log = logging.getLogger(__name__)


class WorkerProcess:
    """One running worker. What it said last is kept, bounded; its pipe is always drained."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, channel: WorkerChannel) -> None:
        self.channel = channel
        self._name = name
        self._process = process
        self._said = bytearray()
        self._ended = asyncio.create_task(self._watch(), name=f"worker of {name}")

    @classmethod
    async def start(cls, name: str, on_news: Callable[[Frame], None]) -> Self:
        """Start a worker; it says `STARTED` when it listens."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "berth_runtime.worker"),
                *("--fd", str(theirs.fileno()), "--parent", str(os.getpid())),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=worker_environment(os.environ, usable_cores()),
            )
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_unix_connection(lambda: WorkerChannel(on_news), sock=ours)
        return cls(name, process, channel)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def said(self) -> str:
        """The last that it said on stderr."""
        return self._said.decode(errors="replace")

    async def wait(self) -> int:
        """Wait for its end; the exit status, negative for a signal."""
        return await asyncio.shield(self._ended)

    async def stop(self) -> None:
        """End it: by closing its connection, and by force if that takes too long."""
        self.channel.close()
        try:
            await asyncio.wait_for(self.wait(), STOP_SECONDS)
        except TimeoutError:
            self.kill()
            await self.wait()

    def kill(self) -> None:
        """End it by force."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)

    async def _watch(self) -> int:
        pipe = self._process.stdout
        assert pipe is not None
        while data := await pipe.read(MAX_SAID_BYTES):
            self._said += data
            del self._said[:-MAX_SAID_BYTES]
            log.info("engine said", extra={"model": self._name, "text": data.decode(errors="replace").rstrip()})
        status = await self._process.wait()
        await self.channel.closed  # what it sent last, such as why it could not load, has been read then
        return status


def worker_environment(environ: Mapping[str, str], cores: int) -> dict[str, str]:
    """A worker's environment.

    OpenBLAS, which comes with numpy, would start a thread for each core of the node. ONNX Runtime from 1.32 on would
    give the machine a number, and keep events for its makers under HOME.
    """
    return {"OPENBLAS_NUM_THREADS": str(cores), **environ, "ORT_DISABLE_TELEMETRY": "1"}
