"""vLLM's processes: started as one group, read, and ended without a rest. Called by `supervisor` and `member`."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from berth_runtime.vllm.link import Link, Word
from berth_runtime.vllm.words import GAVE_UP

STOP_SECONDS: Final = 5.0
"""For vLLM to end by itself; then it is killed. Together with the cut less than what a pod has after its drain."""
_KEPT_BYTES: Final = 64 * 1024

log = logging.getLogger(__name__)


class VllmProcess:
    """vLLM and whatever it starts, in the process group of its guardian. What it said last is kept, bounded.

    `link` leads to its middleware; a member's vLLM, which has no server, has none.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, guardian: asyncio.subprocess.Process, link: Link | None = None
    ) -> None:
        self._link = link
        self._process = process
        self._guardian = guardian
        self._said = bytearray()
        self.gave_up = asyncio.Event()
        """Set once it says that its engine will not come."""
        self._ended = asyncio.create_task(self._watch())

    @property
    def said(self) -> str:
        """The last that it said."""
        return self._said.decode(errors="replace")

    @property
    def pid(self) -> int:
        """Its first process."""
        return self._process.pid

    def say(self, word: Word) -> None:
        """Tell its middleware."""
        if self._link is not None:
            self._link.say(word)

    async def wait(self) -> int:
        """Wait for its end; the exit status, negative for a signal."""
        return await asyncio.shield(self._ended)

    async def stop(self) -> int:
        """End it and all that it started: kindly, and after a bound by force."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.wait(), STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._guardian.pid, signal.SIGKILL)
        if self._link is not None:
            self._link.close()
        await self._guardian.wait()
        return await self.wait()

    async def _watch(self) -> int:
        """Pass on what it says. Its children hold the pipe too, so its end does not wait for that of the pipe."""
        reading = asyncio.create_task(self._read())
        status = await self._process.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reading, 1.0)
        return status

    async def _read(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        while data := await pipe.read(_KEPT_BYTES):
            self._said += data
            del self._said[:-_KEPT_BYTES]
            if not self.gave_up.is_set() and GAVE_UP in self._said:
                self.gave_up.set()
            sys.stderr.buffer.write(data)
            sys.stderr.buffer.flush()


async def spawn(
    words: Sequence[str], environment: Mapping[str, str], *, link_fd: int | None = None
) -> tuple[asyncio.subprocess.Process, asyncio.subprocess.Process]:
    """Start `python -m WORDS`, which has `link_fd` open, in the group of a guardian that ends it with us."""
    guardian = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "berth_runtime.vllm.guardian"), stdin=asyncio.subprocess.PIPE, process_group=0
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        pass_fds=() if link_fd is None else (link_fd,),
        process_group=guardian.pid,
        env=environment,
    )
    log.info("vLLM starts", extra={"arguments": words, "vllm": process.pid})
    return process, guardian
