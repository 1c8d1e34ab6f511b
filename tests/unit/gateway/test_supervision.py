"""Parts that run side by side end together."""

import asyncio

import pytest

from berth_gateway.supervision import supervise


async def for_ever(ended: list[str] | None = None) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        if ended is not None:
            ended.append("ended")


async def fail() -> None:
    raise ValueError("broken")


async def test_stop_ends_all_parts_well() -> None:
    stop, ended = asyncio.Event(), list[str]()
    asyncio.get_running_loop().call_soon(stop.set)
    assert await asyncio.wait_for(supervise({"a": for_ever(ended), "b": for_ever(ended)}, stop), 5) == 0
    assert len(ended) == 2


async def test_a_part_that_fails_ends_the_others_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert await asyncio.wait_for(supervise({"a": for_ever(), "b": fail()}, asyncio.Event()), 5) == 1
    (record,) = caplog.records
    assert record.__dict__["part"] == "b"
    assert "broken" in caplog.text


async def test_a_part_that_just_returns_is_an_end_too() -> None:
    assert await asyncio.wait_for(supervise({"a": for_ever(), "b": asyncio.sleep(0)}, asyncio.Event()), 5) == 1
