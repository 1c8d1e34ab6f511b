"""A quiet system writes nothing but Leases. Leaves twenty Models on a fake node, and what they cost."""

import time

import pytest

from e2e.support.audit import AuditLog
from e2e.support.manifests import a_fleet_model, a_namespace, apply
from e2e.support.measurements import record
from e2e.support.objects import MODELS, Objects, is_true, name_of
from e2e.support.operator_pods import OperatorPods
from e2e.support.release import Release
from e2e.support.until import until

pytestmark = pytest.mark.endurance

NAMESPACE = "many"
MODEL_COUNT = 20
QUIET_SECONDS = 180.0
SETTLE_SECONDS = 10.0


@pytest.mark.timeout(420)
def test_twenty_models_at_rest_cost_no_write_in_three_minutes(
    objects: Objects, release: Release, log: AuditLog
) -> None:
    release.wait()
    apply(a_namespace(NAMESPACE), *(a_fleet_model(f"model-{index}", NAMESPACE) for index in range(MODEL_COUNT)))
    until(
        lambda: all(is_true(model, "Ready") for model in objects.items(MODELS, NAMESPACE)),
        seconds=90,
        what="all are Ready",
        seen=lambda: [name_of(model) for model in objects.items(MODELS, NAMESPACE) if not is_true(model, "Ready")],
    )
    until(lambda: is_still(log), seconds=60, what="nothing was written for some seconds")
    mark = log.mark()
    # Not a wait for something to happen: the three minutes are what is measured.
    time.sleep(QUIET_SECONDS)
    seen = log.since(mark)
    assert [request for request in seen if request.is_write] == []
    assert any(request.resource == "leases" for request in seen), "the log says nothing of Berth at all"
    record(operator_resident_bytes=OperatorPods(objects).resident_bytes(), operator_models=MODEL_COUNT)


def is_still(log: AuditLog) -> bool:
    """Whether nothing was written from now on for some seconds."""
    mark, deadline = log.mark(), time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        if any(request.is_write for request in log.since(mark)):
            return False
        time.sleep(0.5)
    return True
