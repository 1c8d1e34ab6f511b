"""The process ends when any part of it does, and when it is asked to."""

import asyncio
import logging

import pytest

from berth_operator.supervise import Supervision


async def test_the_end_that_was_asked_for_is_told_from_an_accident() -> None:
    supervision = Supervision()
    supervision.spawn(asyncio.Event().wait(), "forever")
    wait = asyncio.create_task(supervision.wait())
    await asyncio.sleep(0)
    supervision.stop()
    assert await asyncio.wait_for(wait, 5)
    supervision.cancel()


async def test_a_part_that_fails_ends_everything_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("broken")

    supervision = Supervision()
    supervision.spawn(asyncio.Event().wait(), "forever")
    supervision.spawn(fail(), "the watch")
    with caplog.at_level(logging.CRITICAL):
        assert not await asyncio.wait_for(supervision.wait(), 5)
    (record,) = caplog.records
    assert record.__dict__["task"] == "the watch"
    assert record.exc_info is not None
    supervision.cancel()


async def test_a_part_that_just_returns_or_is_cancelled_ends_everything_too(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL):
        for work in (asyncio.sleep(0), asyncio.Event().wait()):
            supervision = Supervision()
            task = asyncio.create_task(work)
            supervision.adopt([task])
            asyncio.get_running_loop().call_soon(task.cancel)
            assert not await asyncio.wait_for(supervision.wait(), 5)
