"""What the gateway's replicas say, asked once for all routes."""

from typing import Any

import pytest
from operator_parts import Answers, Clock

from berth_kube.resources import Key
from berth_operator.facts import GatewayReport
from berth_operator.gateway_reports import FRESH_SECONDS, GatewayReports, parse_routes

ENTRY = {"uid": "u1", "generation": 3}


def a_gateway(name: str, *, address: str = "10.0.0.1", phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "status": {"podIP": address, "phase": phase}}


def reports_of(*pods: dict[str, Any], answers: Answers, clock: Clock | None = None) -> GatewayReports:
    by_key = {Key("berth-system", pod["metadata"]["name"]): pod for pod in pods}
    return GatewayReports(by_key, answers, clock or Clock())


async def test_each_replica_tells_uid_and_generation_of_each_route() -> None:
    answers = Answers({"http://10.0.0.1:8081/programmed": {"envoy": True, "routes": {"default/chat": ENTRY}}})
    assert await reports_of(a_gateway("g1"), answers=answers).read() == (
        GatewayReport("g1", {"default/chat": ("u1", 3)}),
    )


async def test_a_replica_that_does_not_answer_says_nothing_rather_than_that_it_has_nothing() -> None:
    assert await reports_of(a_gateway("g1"), answers=Answers()).read() == (GatewayReport("g1", None),)


async def test_a_replica_without_an_address_counts_and_is_not_asked() -> None:
    answers = Answers()
    assert await reports_of(a_gateway("g1", address=""), answers=answers).read() == (GatewayReport("g1", None),)
    assert answers.asked == []


async def test_a_replica_that_leaves_or_has_ended_does_not_count() -> None:
    leaving = a_gateway("g1", deletionTimestamp="2026-11-26T12:00:00Z")
    assert await reports_of(leaving, a_gateway("g2", phase="Failed"), answers=Answers()).read() == ()


async def test_many_routes_ask_once_a_second() -> None:
    answers, clock = Answers(), Clock()
    reports = reports_of(a_gateway("g1"), answers=answers, clock=clock)
    for _ in range(10):
        await reports.read()
    assert len(answers.asked) == 1
    clock.pass_seconds(FRESH_SECONDS)
    await reports.read()
    assert len(answers.asked) == 2


@pytest.mark.parametrize(
    "routes", [None, [], {"a/b": None}, {"a/b": {"uid": 1, "generation": 1}}, {"a/b": {"uid": "u"}}]
)
def test_an_answer_in_another_form_programs_nothing(routes: Any) -> None:
    assert parse_routes({"routes": routes}) == {}
