"""The gateway goes on: through its own rollout, without the operator, without the API server. Leaves all as it was."""

import time

import pytest

from e2e.cluster.node import Node
from e2e.conftest import MODELS_NAMESPACE
from e2e.support.audit import AuditLog
from e2e.support.manifests import a_route, apply
from e2e.support.objects import ROUTES, Objects, Refused, condition_of, is_true
from e2e.support.programs import kubectl
from e2e.support.release import GATEWAY, NAMESPACE, Release
from e2e.support.starts import Starts
from e2e.support.traffic import Traffic, no_request_fails
from e2e.support.until import until

AWAY_SECONDS = 30.0
# They live on one machine. Left running alone, the controllers would judge by what they heard before, and take every
# node for dead some seconds after the server is back.
CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager")


@pytest.fixture(autouse=True)
def serving(quickstart: Starts) -> None:
    """The quick start."""


def test_a_rollout_of_the_gateway_fails_no_request(release: Release) -> None:
    with no_request_fails(release.address(), "minilm"):
        kubectl("rollout", "restart", f"deployment/{GATEWAY}", "-n", NAMESPACE)
        release.wait()


def test_without_an_operator_requests_go_on(release: Release) -> None:
    with no_request_fails(release.address(), "minilm") as traffic:
        release.scale_operator(0)
        traffic.more(50)
        release.scale_operator(2)


def test_a_route_that_changes_while_requests_go_on_fails_none(release: Release, objects: Objects) -> None:
    apply(a_route("swing", MODELS_NAMESPACE, {"minilm": 1}))
    until(lambda: is_true(objects.read(ROUTES, MODELS_NAMESPACE, "swing"), "Programmed"), seconds=30, what="Programmed")
    with no_request_fails(release.address(), "swing"):
        for weight in (2, 3, 4):
            objects.merge(ROUTES, MODELS_NAMESPACE, "swing", {"spec": a_route("swing", "", {"minilm": weight})["spec"]})
            until(
                lambda: is_true(objects.read(ROUTES, MODELS_NAMESPACE, "swing"), "Programmed"),
                seconds=15,
                what="the new weights are Programmed",
                seen=lambda: condition_of(objects.read(ROUTES, MODELS_NAMESPACE, "swing"), "Programmed"),
            )
    kubectl("delete", "modelroute/swing", "-n", MODELS_NAMESPACE)


def test_without_an_api_server_requests_go_on(release: Release, node: Node, objects: Objects, log: AuditLog) -> None:
    with log.excused(), Traffic(release.address(), "minilm") as traffic:
        for name in CONTROL_PLANE:
            node.kill(name)
        gone = time.monotonic()
        try:
            until(lambda: time.monotonic() - gone > AWAY_SECONDS, seconds=AWAY_SECONDS + 5, what="the time is over")
            traffic.more(10)
        finally:
            for name in CONTROL_PLANE:
                node.start(name)
        until(lambda: answers(objects), seconds=60, what="the API server answers again")
        traffic.more(20)
    traffic.outcome.check()


def answers(objects: Objects) -> bool:
    try:
        return bool(objects.items(ROUTES, MODELS_NAMESPACE))
    except Refused:
        return False
