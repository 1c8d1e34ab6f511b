"""`berth up -d`: starts an instance that outlives the command, and hands it the manifests over its control socket."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from berth_api.errors import BerthError
from berth_cli.laptop.home import InstanceRecord, RunFolder, unwritable
from berth_cli.laptop.process import last_words

START_SECONDS = 60.0
KILL_SECONDS = 10.0
_POLL_SECONDS = 0.05
_MOST_LINES = 40


class StartFailed(BerthError):  # noqa: N818 - said as what happened
    """The detached instance ended before it could take manifests; its own words are the message."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


async def start_detached(run: RunFolder, host: str, port: int) -> InstanceRecord:
    """Starts an instance in a session of its own and returns it when it takes commands. Raises `StartFailed`."""
    run.create()
    child = await _spawn(run.output, host, port)
    try:
        async with asyncio.timeout(START_SECONDS):
            while child.returncode is None:
                record = run.record()
                if record is not None and record.pid == child.pid:
                    return record
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        child.kill()
        raise StartFailed(f"berth did not start within {START_SECONDS:g} s; its log is {run.output}", 1) from None
    # Another `berth up` may have been quicker; then that one is meant.
    if (other := await asyncio.to_thread(run.running)) is not None:
        return other
    said = last_words(run.output, lines=_MOST_LINES).removeprefix("Error: ")
    raise StartFailed(said or f"berth ended while it started; its log is {run.output}", child.returncode or 1)


async def _spawn(output: Path, host: str, port: int) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "berth_cli", "up", "--background", "--host", host, "--port", str(port))
    try:
        with output.open("wb") as log:
            return await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
    except OSError as error:
        raise unwritable(output, error) from error


async def end_instance(record: InstanceRecord, run: RunFolder, *, seconds: float) -> bool:
    """Waits until the instance has ended, and ends it hard after `seconds`. Returns whether it ended by itself."""
    if await asyncio.to_thread(run.wait_until_ended, wait_seconds=seconds):
        return True
    with suppress(ProcessLookupError):
        os.kill(record.pid, signal.SIGKILL)
    await asyncio.to_thread(run.wait_until_ended, wait_seconds=KILL_SECONDS)
    return False
