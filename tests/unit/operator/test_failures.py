"""What a child that was not taken means for the Model's own fields."""

import pytest
from operator_builders import a_resolved_world, a_serving_world, a_world, condition, says

from berth_kube.errors import Conflict, FieldFault, Forbidden, Rejected, Unreachable
from berth_operator.failures import forbidden_child, refused_fields, user_field

DEPLOYMENT = ("Deployment", "qwen-engine")


@pytest.mark.parametrize(
    ("child", "own"),
    [
        ("spec.template.spec.affinity.nodeAffinity.required", "spec.pod.affinity.nodeAffinity.required"),
        (".spec.template.spec.affinity.nodeAffinity.required", "spec.pod.affinity.nodeAffinity.required"),
        ("spec.template.spec.tolerations[0].operator", "spec.pod.tolerations[0].operator"),
        ("spec.template.spec.nodeSelector", "spec.pod.nodeSelector"),
        ("spec.template.spec.topologySpreadConstraints[1].maxSkew", "spec.pod.topologySpreadConstraints[1].maxSkew"),
        ("spec.template.spec.priorityClassName", "spec.pod.priorityClassName"),
        ("spec.template.spec.containers[0].env[2].valueFrom.fieldRef", "spec.pod.env[2].valueFrom.fieldRef"),
        ("spec.template.spec.containers[0].resources.limits[gpu]", "spec.resources.limits[gpu]"),
        ('spec.template.spec.containers[name="engine"].resources.requests.cpu', "spec.resources.requests.cpu"),
        ("spec.template.spec.containers[0].image", "spec.engine.image"),
        ("spec.template.labels", "spec.pod.labels"),
        ("spec.template.metadata.annotations", "spec.pod.annotations"),
        ("spec.progressDeadlineSeconds", "spec.rollout.startDeadline"),
        ("spec.template.spec.terminationGracePeriodSeconds", "spec.rollout.drainTimeout"),
        ("spec.replicas", "spec.replicas"),
        ("spec.template.spec.initContainers[0].image", None),
        ("metadata.labels", None),
        ("", None),
    ],
)
def test_a_field_of_the_child_is_told_as_the_users_own(child: str, own: str | None) -> None:
    assert user_field(child) == own


def test_a_refused_child_is_a_field_of_the_model() -> None:
    fault = FieldFault("spec.template.spec.affinity.nodeAffinity.required", "field not declared in schema")
    (error,) = refused_fields({DEPLOYMENT: Rejected("refused", status=422, fields=(fault,))})
    assert error.path == "spec.pod.affinity.nodeAffinity.required"
    assert "the Deployment qwen-engine: field not declared in schema" in error.message


def test_a_fault_that_is_berths_own_says_where_it_is() -> None:
    (error,) = refused_fields({DEPLOYMENT: Rejected("no", fields=(FieldFault("metadata.labels", "too long"),))})
    assert (error.path, "at metadata.labels: too long" in error.message) == ("spec", True)


def test_a_refusal_without_a_field_gives_the_servers_words() -> None:
    (error,) = refused_fields({DEPLOYMENT: Rejected("strange words", status=422)})
    assert "strange words" in error.message


@pytest.mark.parametrize("passing", [Unreachable("away"), Conflict("changed", status=409)])
def test_what_trying_again_repairs_is_not_the_users_matter(passing: Unreachable | Conflict) -> None:
    assert refused_fields({DEPLOYMENT: passing}) == ()
    assert forbidden_child({DEPLOYMENT: passing}) is None


@pytest.mark.parametrize(("quota", "reason"), [(True, "QuotaExceeded"), (False, "Forbidden")])
def test_a_child_that_may_not_be_made_is_told(quota: bool, reason: str) -> None:
    world = a_resolved_world()
    world.failures[DEPLOYMENT] = Forbidden("not yours", quota=quota)
    world.step()
    assert says(world.status, "Progressing") == ("False", reason)
    assert "not yours" in condition(world.status, "Progressing")["message"]
    assert says(world.status, "Accepted") == ("True", "Accepted")


def test_a_resolver_that_may_not_be_made_is_told_and_not_waited_for() -> None:
    world = a_world()
    world.failures["Job", "qwen-resolve-x"] = Forbidden("exceeded quota: jobs", quota=True)
    world.step()
    assert says(world.status, "Resolved") == ("False", "QuotaExceeded")
    assert says(world.status, "Progressing") == ("False", "QuotaExceeded")
    assert says(world.status, "Ready") == ("False", "QuotaExceeded")
    assert world.events == ["Warning QuotaExceeded"]


def test_a_refused_child_makes_the_model_not_accepted_and_leaves_what_serves() -> None:
    world = a_serving_world()
    near = {"key": "a", "operator": "Near", "values": ["b"]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [near]}]}
    world.edit(pod={"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})
    fault = FieldFault("spec.template.spec.affinity.nodeAffinity.required", "not a valid selector operator")
    world.failures[DEPLOYMENT] = Rejected("refused", fields=(fault,))
    plan = world.plan()
    assert says(plan.status, "Accepted") == ("False", "InvalidSpec")
    assert "spec.pod.affinity" in condition(plan.status, "Accepted")["message"]
    assert says(plan.status, "Progressing") == ("False", "InvalidSpec")
    assert says(plan.status, "Available") == ("True", "Available")
    assert plan.again_after_seconds is None


def test_a_repaired_spec_is_applied_whatever_was_refused_before() -> None:
    world = a_resolved_world()
    world.failures[DEPLOYMENT] = Rejected("refused")
    assert "Deployment" in [write.body["kind"] for write in world.plan().writes]
