"""Who gets a place, who waits, who is turned away; nobody's place is lost."""

import asyncio

import pytest

from berth_runtime.admission import QUEUE_PER_PLACE, Admission
from berth_runtime.engines.protocol import Failure
from berth_runtime.openai.errors import ApiError


async def waiting(admission: Admission, weight: int = 1) -> "asyncio.Task[int]":
    """A request that has come as far as it can."""
    task = asyncio.create_task(admission.enter(weight))
    await asyncio.sleep(0)
    return task


async def test_as_many_as_there_are_places_enter_at_once() -> None:
    admission = Admission(2)
    assert [await admission.enter(), await admission.enter()] == [1, 1]
    assert (admission.taken, admission.queued) == (2, 0)


async def test_the_first_that_waits_gets_the_first_place() -> None:
    admission = Admission(1)
    await admission.enter()
    first, second = await waiting(admission), await waiting(admission)
    admission.leave(1)
    assert await first == 1
    assert not second.done()
    admission.leave(1)
    assert await second == 1


async def test_beyond_the_queue_a_request_is_turned_away() -> None:
    admission = Admission(1)
    await admission.enter()
    queue = [await waiting(admission) for _ in range(QUEUE_PER_PLACE)]
    with pytest.raises(ApiError) as refused:
        await admission.enter()
    assert (refused.value.failure.status, refused.value.failure.code) == (429, "overloaded")
    assert refused.value.retry_after_seconds == 1
    for task in queue:
        task.cancel()


async def test_who_leaves_the_queue_makes_room_in_it() -> None:
    admission = Admission(1)
    await admission.enter()
    gone, stays = await waiting(admission), await waiting(admission)
    gone.cancel()
    await asyncio.wait([gone])
    assert admission.queued == 1
    admission.leave(1)
    assert await stays == 1


async def test_who_leaves_in_the_moment_of_its_turn_gives_the_place_on() -> None:
    admission = Admission(1)
    await admission.enter()
    gone, stays = await waiting(admission), await waiting(admission)
    admission.leave(1)  # it is the turn of `gone`, which has not run yet
    gone.cancel()
    await asyncio.wait([gone])
    assert await asyncio.wait_for(stays, 1) == 1
    assert admission.taken == 1


async def test_a_heavy_request_waits_for_all_of_its_places_and_is_not_overtaken() -> None:
    admission = Admission(3)
    await admission.enter(2)
    heavy, light = await waiting(admission, 3), await waiting(admission, 1)
    assert admission.taken == 2
    admission.leave(2)
    assert await heavy == 3
    assert not light.done()
    admission.leave(3)
    assert await light == 1


async def test_more_than_all_places_are_all_places() -> None:
    assert await Admission(2).enter(9) == 2


async def test_when_the_worker_dies_all_that_wait_are_told() -> None:
    admission = Admission(1)
    await admission.enter()
    queue = [await waiting(admission) for _ in range(2)]
    admission.close(ApiError(Failure(503, "model_loading", "")))
    results = await asyncio.gather(*queue, return_exceptions=True)
    assert [type(result) for result in results] == [ApiError, ApiError]
