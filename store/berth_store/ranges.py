"""Which bytes of a blob are there, which are to be fetched, and in what chunks: intervals as values. No IO.

`berth_store.partial` keeps a `Ranges` of what lies on disk; `berth_store.download` executes the plan.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

# Chunks are whole pages long: two connections that write into the same page of a file wait for each other.
PAGE_BYTES = 4096


@dataclass(frozen=True, order=True)
class Range:
    """The bytes from `start` up to, and without, `stop`."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """How many bytes that are."""
        return self.stop - self.start


@dataclass
class Ranges:
    """A set of bytes, kept as sorted ranges that neither touch nor overlap."""

    _starts: list[int] = field(default_factory=list)
    _stops: list[int] = field(default_factory=list)

    def add(self, new: Range) -> None:
        """Put the bytes of `new` into the set."""
        if new.length <= 0:
            return
        first = bisect_left(self._stops, new.start)
        last = bisect_right(self._starts, new.stop)
        start = min(new.start, self._starts[first]) if first < last else new.start
        stop = max(new.stop, self._stops[last - 1]) if first < last else new.stop
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def overlaps(self, span: Range) -> bool:
        """Whether any byte of `span` is in the set."""
        first = bisect_right(self._stops, span.start)
        return first < len(self._starts) and self._starts[first] < span.stop

    def __iter__(self) -> Iterator[Range]:
        return (Range(start, stop) for start, stop in zip(self._starts, self._stops, strict=True))

    @property
    def total(self) -> int:
        """How many bytes are in the set."""
        return sum(self._stops) - sum(self._starts)

    @property
    def prefix(self) -> int:
        """How many bytes from the first one on are there without a gap."""
        return self._stops[0] if self._starts and self._starts[0] == 0 else 0

    def missing(self, size: int) -> tuple[Range, ...]:
        """The gaps below `size`, in order."""
        edges = [0, *(edge for known in self for edge in (known.start, known.stop)), size]
        gaps = (Range(start, min(stop, size)) for start, stop in zip(edges[::2], edges[1::2], strict=True))
        return tuple(gap for gap in gaps if gap.length > 0)


def even_chunk_bytes(total_bytes: int, longest_bytes: int, connections: int) -> int:
    """The length of chunks, at most `longest_bytes`, of which each connection gets as many as any other.

    Twelve chunks on eight connections take as long as sixteen; so there are sixteen, a quarter shorter. What fits into
    one chunk stays whole, and one connection is always busy.
    """
    if total_bytes <= longest_bytes or connections == 1:
        return longest_bytes
    rounds = -(-total_bytes // (longest_bytes * connections))
    even = -(-total_bytes // (rounds * connections))
    return min(longest_bytes, -(-even // PAGE_BYTES) * PAGE_BYTES)


def plan_chunks(missing: tuple[Range, ...], chunk_bytes: int) -> tuple[Range, ...]:
    """Requests that fetch `missing`: in order, so that hashing follows closely, none longer than `chunk_bytes`."""
    return tuple(
        Range(start, min(start + chunk_bytes, gap.stop))
        for gap in missing
        for start in range(gap.start, gap.stop, chunk_bytes)
    )
