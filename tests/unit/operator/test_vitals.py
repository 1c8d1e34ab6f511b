"""When the process is ill, and when it is not ready; and what its port says of it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest

from berth_operator.http import CannotListen, HttpServer, build_application
from berth_operator.metrics import Gauges, OperatorMetrics
from berth_operator.vitals import Vitals, find_ailments, find_missing

WELL = Vitals(stream_age_seconds={"Pod": 60}, stuck_seconds=60, loop_lag_seconds=0.1)


def test_a_process_that_is_well_has_no_ailments() -> None:
    assert find_ailments(WELL) == ()


@pytest.mark.parametrize(
    ("ill", "words"),
    [
        (replace(WELL, stream_age_seconds={"Pod": 181, "Node": 5}), "nothing was heard of Pod for 181 s"),
        (replace(WELL, stuck_seconds=121), "no reconcile has ended"),
        (replace(WELL, loop_lag_seconds=5.1), "late by 5.1 s"),
    ],
)
def test_each_ailment_is_told_in_a_sentence(ill: Vitals, words: str) -> None:
    (ailment,) = find_ailments(ill)
    assert words in ailment


def test_a_kind_that_has_not_come_in_whole_keeps_the_process_from_being_ready_and_not_from_living() -> None:
    starting = replace(WELL, unsynced={"Model": "no right"})
    assert find_missing(starting) == ("Model has not come in whole yet: no right",)
    assert find_ailments(starting) == ()


@asynccontextmanager
async def serving(read: Callable[[], Vitals], metrics: OperatorMetrics | None = None) -> AsyncIterator[str]:
    server = HttpServer(build_application(read, metrics or OperatorMetrics()), 0, host="127.0.0.1")
    port = await server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop()


async def answer_of(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


@pytest.mark.parametrize("path", ["/healthz", "/health", "/health/live", "/readyz", "/health/ready"])
async def test_every_probe_is_answered_under_each_of_its_names(path: str) -> None:
    async with serving(lambda: WELL) as url:
        assert await answer_of(url + path) == (200, "ok\n")


async def test_what_is_wrong_stands_in_the_answer() -> None:
    async with serving(lambda: replace(WELL, stuck_seconds=200)) as url:
        status, text = await answer_of(f"{url}/healthz")
        assert status == 503
        assert "keys have waited for 200 s" in text


async def test_a_process_that_starts_lives_and_is_not_ready() -> None:
    async with serving(lambda: replace(WELL, unsynced={"Job": ""})) as url:
        assert (await answer_of(f"{url}/healthz"))[0] == 200
        assert await answer_of(f"{url}/readyz") == (503, "Job has not come in whole yet\n")


async def test_gauges_are_read_when_they_are_asked_for() -> None:
    metrics = OperatorMetrics()
    now = Gauges(queue_depth=1)
    metrics.watch(lambda: now)
    async with serving(lambda: WELL, metrics) as url:
        assert "berth_operator_queue_depth 1.0" in (await answer_of(f"{url}/metrics"))[1]
        now = Gauges(queue_depth=2, leading=True, stream_age_seconds={"Pod": 3.0}, objects={"Model": 7})
        text = (await answer_of(f"{url}/metrics"))[1]
        assert "berth_operator_queue_depth 2.0" in text
        assert "berth_operator_leading 1.0" in text
        assert 'berth_operator_stream_age_seconds{kind="Pod"} 3.0' in text
        assert 'berth_operator_objects{kind="Model"} 7.0' in text


async def test_a_port_that_is_taken_is_told_with_a_remedy() -> None:
    async with serving(lambda: WELL) as url:
        taken = int(url.rpartition(":")[2])
        with pytest.raises(CannotListen, match="give another `port`"):
            await HttpServer(build_application(lambda: WELL, OperatorMetrics()), taken, host="127.0.0.1").start()
