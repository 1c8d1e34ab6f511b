"""The queue of keys: once in it, once at a time, later after each failure."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from operator_parts import Clock

from berth_operator.queue import FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS, WorkQueue, backoff_seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue[str]:
    return WorkQueue(clock, chance=lambda: 0.0)


def test_a_key_that_is_added_often_is_taken_once(queue: WorkQueue[str]) -> None:
    for _ in range(1000):
        queue.add("a")
    assert queue.take_now() == "a"
    assert queue.take_now() is None


def test_keys_are_taken_in_the_order_in_which_they_came(queue: WorkQueue[str]) -> None:
    for key in ("b", "a", "c", "a", "b"):
        queue.add(key)
    assert [queue.take_now() for _ in range(3)] == ["b", "a", "c"]


def test_no_two_workers_have_the_same_key(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.take_now()
    queue.add("a")
    assert queue.take_now() is None
    queue.done("a")
    assert queue.take_now() == "a"


def test_a_key_that_nothing_happened_to_does_not_come_back(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.take_now()
    queue.done("a")
    assert queue.take_now() is None
    assert queue.is_idle


def test_a_busy_key_does_not_go_before_those_that_wait(queue: WorkQueue[str]) -> None:
    queue.add("busy")
    queue.take_now()
    queue.add("busy")
    queue.add("patient")
    queue.done("busy")
    assert [queue.take_now(), queue.take_now()] == ["patient", "busy"]


def test_a_delayed_key_comes_when_it_is_due(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add_after("a", 10)
    clock.pass_seconds(9.9)
    assert queue.take_now() is None
    clock.pass_seconds(0.2)
    assert queue.take_now() == "a"


def test_the_earliest_of_several_delays_counts(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add_after("a", 10)
    queue.add_after("a", 2)
    queue.add_after("a", 30)
    clock.pass_seconds(2)
    assert queue.take_now() == "a"
    queue.done("a")
    clock.pass_seconds(60)
    assert queue.take_now() is None


def test_an_event_does_not_wait_for_a_delay_and_takes_its_place(queue: WorkQueue[str], clock: Clock) -> None:
    queue.retry("a")
    queue.add("a")
    assert queue.take_now() == "a"
    queue.done("a")
    clock.pass_seconds(60)
    assert queue.take_now() is None


def test_a_delay_that_ends_during_work_means_working_once_more(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add("a")
    queue.take_now()
    queue.add_after("a", 1)
    clock.pass_seconds(1)
    assert queue.take_now() is None
    queue.done("a")
    assert queue.take_now() == "a"


def test_each_failure_in_a_row_waits_twice_as_long_up_to_the_longest(queue: WorkQueue[str]) -> None:
    delays = [queue.retry("a") for _ in range(15)]
    assert delays[:4] == [0.2, 0.4, 0.8, 1.6]
    assert delays[-1] == LONGEST_DELAY_SECONDS


def test_a_success_makes_the_next_failure_a_first_one(queue: WorkQueue[str]) -> None:
    for _ in range(5):
        queue.retry("a")
    queue.reset("a")
    assert queue.retry("a") == FIRST_DELAY_SECONDS


def test_failures_of_one_key_do_not_delay_another(queue: WorkQueue[str]) -> None:
    for _ in range(5):
        queue.retry("a")
    assert queue.retry("b") == FIRST_DELAY_SECONDS


@given(failures=st.integers(1, 10_000), chance=st.floats(0, 1))
def test_jitter_only_shortens_and_never_to_nothing(failures: int, chance: float) -> None:
    assert 0.8 * FIRST_DELAY_SECONDS <= backoff_seconds(failures, chance) <= LONGEST_DELAY_SECONDS


def test_the_age_is_that_of_the_key_that_waits_longest(queue: WorkQueue[str], clock: Clock) -> None:
    assert queue.oldest_seconds() == 0
    queue.add("a")
    clock.pass_seconds(5)
    queue.add("b")
    queue.add("a")
    assert (queue.oldest_seconds(), queue.depth) == (5, 2)
    queue.take_now()
    assert queue.oldest_seconds() == 0


async def test_whoever_waits_is_woken_by_a_key_and_by_a_delay() -> None:
    queue: WorkQueue[str] = WorkQueue(asyncio.get_running_loop().time)
    takers = [asyncio.create_task(queue.take()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.add("a")
    queue.add_after("b", 0.01)
    queue.add_after("c", 0.02)
    assert sorted(await asyncio.gather(*takers)) == ["a", "b", "c"]


@given(st.lists(st.tuples(st.sampled_from(["add", "later", "take", "done", "tick"]), st.sampled_from("abc"))))
def test_whatever_happens_no_added_key_is_lost_and_none_is_taken_twice(steps: list[tuple[str, str]]) -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock)
    owed: set[str] = set()
    working: set[str] = set()
    for step, key in steps:
        match step:
            case "add":
                queue.add(key)
                owed.add(key)
            case "later":
                queue.add_after(key, 1)
                owed.add(key)
            case "take" if (taken := queue.take_now()) is not None:
                assert taken not in working
                working.add(taken)
                owed.discard(taken)
            case "done" if key in working:
                working.discard(key)
                queue.done(key)
            case "tick":
                clock.pass_seconds(2)
    for key in working:
        queue.done(key)
    clock.pass_seconds(2)
    rest = set()
    while (taken := queue.take_now()) is not None:
        rest.add(taken)
    assert rest >= owed
