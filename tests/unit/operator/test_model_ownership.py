"""Objects and names that a Model finds taken by somebody else."""

from dataclasses import replace
from typing import Any

import pytest
from model_builders import a_model, a_route
from operator_builders import (
    Json,
    a_resolved_world,
    a_serving_world,
    a_world,
    condition,
    says,
)

from berth_api.claims import claim_names
from berth_api.meta import API_VERSION
from berth_operator.model_plan import plan_model


def a_foreign(kind: str, name: str, **metadata: Any) -> Json:
    return {"kind": kind, "metadata": {"name": name, "namespace": "default", "uid": "theirs", **metadata}, "spec": {}}


@pytest.mark.parametrize("kind", ["Deployment", "Service", "NetworkPolicy"])
def test_an_object_of_somebody_else_at_a_childs_name_is_left_alone_and_named(kind: str) -> None:
    world = a_resolved_world()
    theirs = a_foreign(kind, "qwen-engine")
    world.children[kind, "qwen-engine"] = theirs
    world.settle()
    assert says(world.status, "Accepted") == ("False", "ChildNameTaken")
    assert f"the {kind} qwen-engine is there already" in condition(world.status, "Accepted")["message"]
    assert world.children[kind, "qwen-engine"] == theirs
    del world.children[kind, "qwen-engine"]
    world.step()
    assert says(world.status, "Accepted") == ("True", "Accepted")


def test_a_budget_of_somebody_else_is_never_deleted() -> None:
    world = a_serving_world()
    world.children["PodDisruptionBudget", "qwen-engine"] = a_foreign("PodDisruptionBudget", "qwen-engine")
    world.step()
    assert "PodDisruptionBudget" in world.kinds()


def test_a_child_of_a_model_that_had_the_name_before_is_waited_for() -> None:
    world = a_resolved_world()
    owner = {"apiVersion": API_VERSION, "kind": "Model", "name": "qwen", "uid": "an-older-one", "controller": True}
    left_over = a_foreign("Service", "qwen-engine", ownerReferences=[owner])
    world.children["Service", "qwen-engine"] = left_over
    world.step()
    assert says(world.status, "Accepted") == ("True", "Accepted")
    assert world.children["Service", "qwen-engine"] == left_over
    del world.children["Service", "qwen-engine"]
    world.step()
    assert "apply Service qwen-engine" in world.written


def test_a_child_of_another_vendors_model_of_that_name_is_somebody_elses() -> None:
    world = a_resolved_world()
    owner = {"apiVersion": "kubeai.org/v1", "kind": "Model", "name": "qwen", "uid": "theirs", "controller": True}
    world.children["Service", "qwen-engine"] = a_foreign("Service", "qwen-engine", ownerReferences=[owner])
    world.step()
    assert says(world.status, "Accepted") == ("False", "ChildNameTaken")


def test_nothing_is_applied_over_a_child_that_is_being_deleted() -> None:
    world = a_serving_world()
    world.deployment["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    world.edit(replicas=3).step()
    assert "apply Deployment qwen-engine" not in world.written


def test_a_job_of_an_older_model_of_that_name_is_not_believed() -> None:
    world = a_world()
    world.step()
    world.resolve()
    world.document["metadata"]["uid"] = "uid-new"
    plan = world.plan()
    assert plan.deletes == ()
    assert [write.body["kind"] for write in plan.writes] == ["Job"]
    assert plan.status is None


def test_a_lost_own_name_is_noted_and_costs_nothing() -> None:
    world = a_serving_world()
    older = a_model("qwen", namespace="team-a", created="2025-01-01T00:00:00Z")
    mine = a_model("qwen", created="2026-03-01T11:00:00Z")
    plan = world.plan(claims=claim_names([older, mine], []))
    assert says(plan.status, "Accepted") == ("True", "NameConflict")
    assert "reach this one as `default/qwen`" in condition(plan.status, "Accepted")["message"]
    assert says(plan.status, "Ready") == ("True", "Ready")


def test_a_lost_alias_is_not_accepted_and_goes_on_serving() -> None:
    world = a_serving_world(aliases=["chat"])
    older = a_model("other", namespace="team-a", aliases=["chat"], created="2025-01-01T00:00:00Z")
    mine = a_model("qwen", aliases=["chat"], created="2026-03-01T11:00:00Z")
    facts = replace(world.edit(replicas=2).facts(), claims=claim_names([older, mine], []))
    plan = plan_model(facts, world.settings, world.now)
    assert says(plan.status, "Accepted") == ("False", "NameConflict")
    assert "spec.aliases[0]: the name `chat`" in condition(plan.status, "Accepted")["message"]
    assert says(plan.status, "Available") == ("True", "Available")
    assert says(plan.status, "Progressing") == ("True", "RollingOut")
    assert "Deployment" in [write.body["kind"] for write in plan.writes]


def test_a_name_that_a_route_of_the_namespace_took_is_no_conflict() -> None:
    world = a_serving_world()
    claims = claim_names([a_model("qwen")], [a_route("r", names=["qwen"])])
    assert world.plan(claims=claims).status is None
