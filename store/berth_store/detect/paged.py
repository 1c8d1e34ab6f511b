"""`detect_paged`: detection of files that are not all there, in the bounded child, supplied with what it reads.

The resolver and `berth_store.inspection` call it. The child reads headers only, so of a large file a small part is
asked for, and the caller decides where it comes from.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from pathlib import Path

from berth_api.artifact import Format, Task
from berth_store.detect.bounded import (
    DEFAULT_CPU_SECONDS,
    DEFAULT_MEMORY_BYTES,
    DEFAULT_TIMEOUT_SECONDS,
    MAX_ANSWER_BYTES,
    REFUSED_EXIT_CODE,
    Answer,
    adapter_in,
    child_command,
    model_in,
    no_answer,
    parse_answer,
    too_slow,
)
from berth_store.detect.model import DetectedAdapter, DetectedModel
from berth_store.detect.wish import Sought, Wish
from berth_store.ranges import Range

AsyncSupply = Callable[[Path, Range], Awaitable[None]]


async def detect_paged(
    path: Path,
    supply: AsyncSupply,
    *,
    task: Task = Task.AUTO,
    formats: Collection[Format] = (),
    own_template: bool = False,
    pickles: bool = False,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
) -> DetectedModel:
    """What `detect` says of `path`, whose files have their true size, and the content that `supply` has put there.

    `supply` gets a file below `path` and the stretch that is about to be read; what it raises is raised here. The
    bounds are those of `detect_bounded`, `timeout_seconds` between two requests of the child.
    """
    wish = Wish(task, frozenset(formats), own_template, pickles=pickles)
    return model_in(await _ask(path, wish, supply, timeout_seconds), path)


async def detect_adapter_paged(path: Path, supply: AsyncSupply) -> DetectedAdapter:
    """What `detect_adapter` says of such a `path`."""
    wish = Wish(sought=Sought.ADAPTER)
    return adapter_in(await _ask(path, wish, supply, DEFAULT_TIMEOUT_SECONDS), path)


async def detect_either_paged(
    path: Path, supply: AsyncSupply, *, pickles: bool = False
) -> DetectedModel | DetectedAdapter:
    """The model at such a `path`, or the adapter where there is no model."""
    wish = Wish(sought=Sought.EITHER, pickles=pickles)
    answer = await _ask(path, wish, supply, DEFAULT_TIMEOUT_SECONDS)
    return answer.adapter or model_in(answer, path)


async def _ask(path: Path, wish: Wish, supply: AsyncSupply, timeout_seconds: float) -> Answer:
    command = child_command(path, wish, DEFAULT_CPU_SECONDS, DEFAULT_MEMORY_BYTES)
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        *command[:-2], "--paged", *command[-2:], stdin=pipe, stdout=pipe, stderr=pipe, limit=MAX_ANSWER_BYTES
    )
    try:
        return await _converse(child, path, supply, timeout_seconds)
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def _converse(
    child: asyncio.subprocess.Process, path: Path, supply: AsyncSupply, timeout_seconds: float
) -> Answer:
    assert child.stdin is not None
    while True:
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await _next_answer(child, path)
        except TimeoutError as error:
            raise too_slow(path, timeout_seconds) from error
        if answer.want is None:
            return answer
        await supply(answer.want.path, Range(answer.want.start, answer.want.stop))
        child.stdin.write(b"\n")
        with suppress(ConnectionError):  # A child that was ended meanwhile is found at the next answer.
            await child.stdin.drain()


async def _next_answer(child: asyncio.subprocess.Process, path: Path) -> Answer:
    assert child.stdout is not None
    assert child.stderr is not None
    line = await child.stdout.readline()
    if not line:
        stderr = await child.stderr.read(MAX_ANSWER_BYTES)
        returncode = await child.wait()
        if returncode not in (0, REFUSED_EXIT_CODE):
            raise no_answer(path, returncode, stderr, DEFAULT_MEMORY_BYTES)
    return parse_answer(path, line)
