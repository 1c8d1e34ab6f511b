"""Which of the waiting sequences go through the graph together. Pure: no threads, no clock.

Padding is work done for nothing, so the window is kept sorted by length and a batch is a run of neighbours. Requests
take turns: each batch is built round the oldest sequence of the request whose turn it is, so a long list neither holds
up a single text nor waits for ever. Called by `text_scheduler` under its lock.
"""

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """A sequence in the window. One that is `dropped` is not taken any more."""

    @property
    def length(self) -> int:
        """Its tokens."""
        ...

    @property
    def request(self) -> Hashable:
        """What takes turns: the request that it belongs to."""
        ...

    @property
    def dropped(self) -> bool:
        """True once nobody wants its result."""
        ...


T = TypeVar("T", bound=Waiting)


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """When a batch is full.

    `max_tokens` counts padded rows; one sequence alone may be longer. `max_padding` is the greatest share of padding in
    a batch. The defaults took the least processor time a text of those tried on MiniLM: with one thread a run, a batch
    gains until its activations outgrow the core's cache, and a small one is soon over.
    """

    max_sequences: int = 32
    max_tokens: int = 256
    max_padding: float = 0.1


def plan_batch(lengths: Sequence[int], anchor: int, limits: BatchLimits) -> range:
    """The run of neighbours round `anchor` that `lengths`, sorted, allow; it grows where less padding is added."""
    start, stop, total = anchor, anchor + 1, lengths[anchor]
    while stop - start < limits.max_sequences:
        longest, rows = lengths[stop - 1], stop - start
        shorter = longest - lengths[start - 1] if start > 0 else math.inf
        longer = (lengths[stop] - longest) * rows if stop < len(lengths) else math.inf
        if min(shorter, longer) == math.inf:
            break
        if shorter <= longer:
            added, padded = lengths[start - 1], longest * (rows + 1)
        else:
            added, padded = lengths[stop], lengths[stop] * (rows + 1)
        if padded > limits.max_tokens or padded - total - added > limits.max_padding * padded:
            break
        start, stop = (start - 1, stop) if shorter <= longer else (start, stop + 1)
        total += added
    return range(start, stop)


@dataclass(order=True, slots=True)
class _Entry(Generic[T]):
    length: int
    arrival: int
    item: T = field(compare=False)
    taken: bool = field(default=False, compare=False)


class Window(Generic[T]):
    """The waiting sequences, by length, and by request in order of arrival."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._sorted: list[_Entry[T]] = []
        self._arrivals: dict[Hashable, deque[_Entry[T]]] = {}
        self._turns: deque[Hashable] = deque()
        self._count = 0

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, item: T) -> None:
        """Let one more wait."""
        entry = _Entry(item.length, self._count, item)
        self._count += 1
        insort(self._sorted, entry)
        if item.request not in self._arrivals:
            self._arrivals[item.request] = deque()
            self._turns.append(item.request)
        self._arrivals[item.request].append(entry)

    def take(self, *, share: int = 1) -> list[T]:
        """The next batch; empty if nothing waits. Of few sequences no more than a `share` is taken, so that as many
        threads have work.
        """
        oldest = self._next_turn()
        if oldest is None:
            return []
        anchor = bisect_left(self._sorted, oldest)
        most = min(self._limits.max_sequences, math.ceil(len(self._sorted) / share))
        # Only these can take part, and a window may hold thousands.
        first, last = max(0, anchor - most), min(len(self._sorted), anchor + most + 1)
        lengths = [entry.length for entry in self._sorted[first:last]]
        limits = BatchLimits(
            max_sequences=most, max_tokens=self._limits.max_tokens, max_padding=self._limits.max_padding
        )
        chosen = plan_batch(lengths, anchor - first, limits)
        batch = self._sorted[first + chosen.start : first + chosen.stop]
        del self._sorted[first + chosen.start : first + chosen.stop]
        for entry in batch:
            entry.taken = True
        return [entry.item for entry in batch if not entry.item.dropped]

    def _next_turn(self) -> _Entry[T] | None:
        """The oldest sequence of the request whose turn it is; a request of which nothing waits is forgotten."""
        while self._turns:
            request = self._turns[0]
            oldest = self._oldest(self._arrivals[request])
            if oldest is not None:
                self._turns.rotate(-1)
                return oldest
            del self._arrivals[request]
            self._turns.popleft()
        return None

    def _oldest(self, arrivals: deque[_Entry[T]]) -> _Entry[T] | None:
        while arrivals:
            entry = arrivals[0]
            if not entry.taken and not entry.item.dropped:
                return entry
            arrivals.popleft()
            if not entry.taken:
                del self._sorted[bisect_left(self._sorted, entry)]
        return None
