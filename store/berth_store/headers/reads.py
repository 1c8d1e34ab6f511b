"""`read_at`, through which every reader here gets its bytes, and `read_through`, for files that are not all there yet.

Usually a file is whole, and reading it is a `pread`. The resolver wants to know what an artifact is without fetching
it: its files have their true size and no content. The process that reads those (`berth_store.detect --paged`) calls
`read_through` once, and from then on each stretch is supplied before it is read.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Called with a file, the first byte and the one after the last; returns when these bytes are there.
Supply = Callable[[Path, int, int], None]


@dataclass
class _Source:
    """Where the bytes of this process come from."""

    supply: Supply | None = None


_source = _Source()


def read_through(supply: Supply) -> None:
    """Have every stretch supplied before it is read: for a process that reads one artifact and ends."""
    _source.supply = supply


def are_supplied() -> bool:
    """Whether reading costs a request, so that no more should be read than is needed."""
    return _source.supply is not None


def read_at(path: Path, descriptor: int, count: int, position: int) -> bytes:
    """At most `count` bytes of the open file at `path`, from `position` on; fewer only at its end."""
    if _source.supply is not None:
        stop = min(position + count, os.fstat(descriptor).st_size)
        if stop > position:
            _source.supply(path, position, stop)
    return os.pread(descriptor, count, position)
