"""The one way by which is written: how many at once, until when, and what is counted."""

import asyncio

import pytest
from operator_parts import NoLimit

from berth_kube.errors import Overloaded, Unreachable
from berth_operator.metrics import OperatorMetrics
from berth_operator.write import NotLeading, Writer


def a_writer(*, at_once: int = 8, seconds: float = 15, metrics: OperatorMetrics | None = None) -> Writer:
    return Writer(rate=NoLimit(), at_once=at_once, deadline=lambda: seconds, metrics=metrics or OperatorMetrics())


async def test_no_more_than_so_many_writes_are_under_way() -> None:
    writer = a_writer(at_once=2)
    under_way = 0
    most = 0
    go_on = asyncio.Event()

    async def request() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await go_on.wait()
        under_way -= 1

    writes = [asyncio.create_task(writer.write("apply", "Deployment", request)) for _ in range(6)]
    while most < 2:
        await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(*writes)
    assert most == 2


async def test_a_write_that_the_lease_does_not_outlive_is_given_up() -> None:
    with pytest.raises(Unreachable, match=r"within 0\.0 s"):
        await a_writer(seconds=0.01).write("apply", "Deployment", asyncio.Event().wait)


async def test_the_time_left_is_asked_after_the_wait_for_a_turn() -> None:
    left = iter([1.0, -1.0])
    writer = Writer(rate=NoLimit(), at_once=1, deadline=lambda: next(left), metrics=OperatorMetrics())
    asked = []

    async def request() -> None:
        asked.append(1)

    await writer.write("apply", "Deployment", request)
    with pytest.raises(NotLeading):
        await writer.write("apply", "Deployment", request)
    assert len(asked) == 1


async def test_writes_are_counted_by_what_became_of_them() -> None:
    metrics = OperatorMetrics()
    writer = a_writer(metrics=metrics)

    async def refuse() -> None:
        raise Overloaded("busy")

    await writer.write("status", "Model", lambda: asyncio.sleep(0))
    with pytest.raises(Overloaded):
        await writer.write("apply", "Service", refuse)
    text = metrics.render().decode()
    assert 'berth_operator_writes_total{kind="Model",outcome="ok",verb="status"} 1.0' in text
    assert 'berth_operator_writes_total{kind="Service",outcome="Overloaded",verb="apply"} 1.0' in text
