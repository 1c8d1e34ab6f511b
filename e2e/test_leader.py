"""Two replicas of the operator, of which one leads: measured from the Lease. Leaves two replicas."""

import time
from collections.abc import Callable

import pytest

from berth_kube.resources import PODS
from e2e.support.measurements import record
from e2e.support.objects import Objects, name_of
from e2e.support.operator_pods import OperatorPods
from e2e.support.release import NAMESPACE, Release
from e2e.support.until import until

KILLED_SECONDS, TOLD_SECONDS = 20.0, 3.0


@pytest.fixture
def operators(objects: Objects, release: Release) -> OperatorPods:
    release.wait()
    return OperatorPods(objects)


def take_over_seconds(operators: OperatorPods, end: Callable[[], str], *, within: float) -> float:
    """The time from an end of the leader to another pod in the Lease."""
    began = time.monotonic()
    ended = end()
    until(
        lambda: operators.holder() not in ("", ended), seconds=within, what="another pod leads", seen=operators.holder
    )
    return time.monotonic() - began


def test_one_of_two_replicas_leads_and_both_are_ready(operators: OperatorPods) -> None:
    names = {name_of(pod) for pod in operators.pods()}
    assert len(names) == 2
    assert operators.holder() in names


def test_a_leader_that_is_killed_is_followed_within_the_lease(operators: OperatorPods, release: Release) -> None:
    seconds = take_over_seconds(operators, operators.kill_leader, within=KILLED_SECONDS)
    record(take_over_after_kill_seconds=seconds)
    release.wait()


def test_a_leader_that_is_told_to_go_hands_over_at_once(
    operators: OperatorPods, objects: Objects, release: Release
) -> None:
    def tell() -> str:
        leader = name_of(operators.leader())
        objects.delete(PODS, NAMESPACE, leader)
        return leader

    seconds = take_over_seconds(operators, tell, within=TOLD_SECONDS)
    record(take_over_after_sigterm_seconds=seconds)
    release.wait()
