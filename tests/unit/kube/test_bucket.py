"""The token bucket: bursts, a rate, first come first served."""

import asyncio

import pytest
from stepped_time import SteppedTime, settle

from berth_kube.bucket import TokenBucket


async def take(bucket: TokenBucket, taken: list[int], number: int) -> None:
    await bucket.acquire()
    taken.append(number)


async def test_a_burst_passes_at_once_and_then_the_rate_holds() -> None:
    time = SteppedTime()
    bucket, taken = TokenBucket(10, 3, now=time.now, sleep=time.sleep), list[int]()
    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(take(bucket, taken, number))
        await settle()
        assert taken == [0, 1, 2]
        await time.pass_seconds(0.15)
        assert taken == [0, 1, 2, 3]
        await time.pass_seconds(0.2)
        assert taken == [0, 1, 2, 3, 4, 5]


async def test_rest_saves_no_more_than_a_burst() -> None:
    time = SteppedTime()
    bucket, taken = TokenBucket(10, 3, now=time.now, sleep=time.sleep), list[int]()
    await time.pass_seconds(1000)
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(take(bucket, taken, number))
        await settle()
        assert len(taken) == 3
        await time.pass_seconds(1)


async def test_who_gives_up_gives_its_token_back() -> None:
    time = SteppedTime()
    bucket = TokenBucket(1, 1, now=time.now, sleep=time.sleep)
    await bucket.acquire()
    waiting = asyncio.create_task(bucket.acquire())
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await time.pass_seconds(1)
    async with asyncio.timeout(1):
        await bucket.acquire()
