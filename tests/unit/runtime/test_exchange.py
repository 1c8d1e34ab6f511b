"""One exchange: chunks together as they came, one outcome, and a place that is free only when the worker says so."""

import asyncio
from dataclasses import dataclass, field

from berth_runtime.engines.protocol import Failure, Usage
from berth_runtime.exchange import MAX_UNREAD_BYTES, READS_TOO_SLOWLY, Exchange
from berth_runtime.messages import Outcome


@dataclass
class Watched:
    """An exchange, and what it told its owner."""

    cancelled: int = 0
    ended: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.exchange = Exchange(cancel=self._cancel, on_end=self.ended.append)

    def _cancel(self) -> None:
        self.cancelled += 1


async def test_chunks_that_came_together_are_taken_together() -> None:
    watched = Watched()
    watched.exchange.receive_chunks([b"a"])
    watched.exchange.receive_chunks([b"b"])
    assert await watched.exchange.take() == ([b"a", b"b"], None)


async def test_who_waits_is_woken_by_a_chunk_and_by_the_end() -> None:
    watched = Watched()
    taking = asyncio.create_task(watched.exchange.take())
    await asyncio.sleep(0)
    watched.exchange.receive_chunks([b"a"])
    assert await taking == ([b"a"], None)
    watched.exchange.receive_outcome(Usage(1, 1))
    assert await watched.exchange.take() == ([], Usage(1, 1))
    assert watched.ended == [Usage(1, 1)]


async def test_who_leaves_has_the_engine_stop_and_keeps_the_place_until_it_has() -> None:
    watched = Watched()
    watched.exchange.leave()
    assert (watched.cancelled, watched.ended) == (1, [])
    watched.exchange.receive_chunks([b"too late"])
    watched.exchange.receive_outcome(Usage(1, 0))
    assert watched.ended == [Usage(1, 0)]


async def test_leaving_after_the_end_cancels_nothing() -> None:
    watched = Watched()
    watched.exchange.receive_outcome(Usage(1, 1))
    watched.exchange.leave()
    assert watched.cancelled == 0


async def test_a_client_that_does_not_read_ends_with_a_failure() -> None:
    watched = Watched()
    for _ in range(MAX_UNREAD_BYTES // 65536 + 1):
        watched.exchange.receive_chunks([b"x" * 65536])
    _, outcome = await watched.exchange.take()
    assert outcome == READS_TOO_SLOWLY
    assert watched.cancelled == 1


async def test_a_whole_answer_may_be_longer_than_what_is_held_for_a_slow_client() -> None:
    watched = Watched()
    watched.exchange.receive_chunks([b"x" * (MAX_UNREAD_BYTES + 1)])
    watched.exchange.receive_outcome(Usage(1, 1))
    chunks, outcome = await watched.exchange.take()
    assert (len(chunks[0]), outcome) == (MAX_UNREAD_BYTES + 1, Usage(1, 1))


async def test_the_first_end_counts() -> None:
    watched = Watched()
    time_is_up = Failure(503, "shutting_down", "")
    watched.exchange.fail(time_is_up)
    watched.exchange.receive_outcome(Usage(1, 1))
    assert await watched.exchange.take() == ([], time_is_up)
