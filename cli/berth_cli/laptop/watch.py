"""Notices when a manifest file changes: by looking at its time, size and inode twice a second.

A poll and not inotify: it needs no dependency, works on network folders and in containers, sees an editor's
rename-over, and for a handful of files costs less than one wake-up of a browser tab.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress

from berth_cli.manifests.source import Source, list_files

POLL_SECONDS = 0.5
REST_SECONDS = 0.1

Signature = frozenset[tuple[str, int, int, int]]


def observe_signature(sources: Iterable[Source]) -> Signature:
    """What the files of the sources look like from outside; a missing file is not in it."""
    seen = set()
    for source in sources:
        with suppress(OSError):
            for name, path in list_files(source):
                with suppress(OSError):
                    stat = path.stat()
                    seen.add((name, stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return frozenset(seen)


async def watch_changes(
    sources: Callable[[], Iterable[Source]], *, poll_seconds: float = POLL_SECONDS
) -> AsyncIterator[None]:
    """Yields after each change that has come to rest: a file still being written is not read half."""
    known = observe_signature(sources())
    while True:
        await asyncio.sleep(poll_seconds)
        seen = observe_signature(sources())
        if seen == known:
            continue
        seen = await _at_rest(sources, seen)
        if seen != known:
            known = seen
            yield


async def _at_rest(sources: Callable[[], Iterable[Source]], seen: Signature) -> Signature:
    while True:
        await asyncio.sleep(REST_SECONDS)
        again = observe_signature(sources())
        if again == seen:
            return seen
        seen = again
