"""The lines of a watch: from chunks of bytes to events. Called by client.py with the body of an answer."""

import json
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any

from berth_kube.classify import classify_event
from berth_kube.cluster import Change, WatchEvent
from berth_kube.errors import Unreachable

LINE_MAX_BYTES = 16 * 1024 * 1024
"""etcd takes objects of 1.5 MiB; more than ten times that is no line of an API server."""

_ERROR = "ERROR"


async def read_events(what: str, since: str, chunks: AsyncIterable[bytes]) -> AsyncGenerator[WatchEvent, None]:
    """The bookmark that says that the watch began, then one event for each line, to the end of the chunks.

    Raises the error of an ERROR line, and Unreachable at anything that is no line of a watch.
    """
    yield WatchEvent(Change.BOOKMARK, {"metadata": {"resourceVersion": since}})
    async for line in _lines(what, chunks):
        yield _event(what, line)


async def _lines(what: str, chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """Whole lines. What stands after the last line's end was cut off and is dropped: the next watch brings it."""
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            yield b"".join((*parts, end))
            parts, size = [], 0
        parts.append(rest)
        size += len(rest)
        if size > LINE_MAX_BYTES:
            raise Unreachable(f"{what}: a line has more than {LINE_MAX_BYTES} bytes")


def _event(what: str, line: bytes) -> WatchEvent:
    try:
        document = json.loads(line)
        kind, obj = document["type"], document["object"]
        if kind == _ERROR:
            raise classify_event(what, obj)
        change = Change(kind)
        _check(change, obj["metadata"])
    except (ValueError, KeyError, TypeError) as error:
        shown = line[:100].decode(errors="replace")
        raise Unreachable(f"{what}: the server sent what is no line of a watch: {shown!r}") from error
    return WatchEvent(change, obj)


def _check(change: Change, metadata: dict[str, Any]) -> None:
    """What readers of events count on."""
    if not isinstance(metadata["resourceVersion"], str):
        raise TypeError
    if change is not Change.BOOKMARK and not isinstance(metadata["name"], str):
        raise TypeError
