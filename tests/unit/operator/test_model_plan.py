"""The way of a Model from its manifest to its replicas, one reconcile after the other."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from model_builders import a_model, a_route
from operator_builders import (
    NOW,
    Json,
    World,
    a_document,
    a_pod,
    a_ready_pod,
    a_refusal,
    a_report,
    a_resolved_world,
    a_serving_world,
    a_world,
    condition,
    ended,
    running,
    says,
    some_settings,
    stamp,
    waiting,
)

from berth_api.claims import claim_names
from berth_api.meta import API_VERSION
from berth_operator.model_plan import plan_model


def kinds_written(world: World) -> list[str]:
    return [write.body["kind"] for write in world.plan().writes]


def a_foreign(kind: str, name: str, **metadata: Any) -> Json:
    return {"kind": kind, "metadata": {"name": name, "namespace": "default", "uid": "theirs", **metadata}, "spec": {}}


def test_a_new_model_is_resolved_before_anything_is_started() -> None:
    world = a_world()
    plan = world.step()
    assert world.kinds() == ["Job", "NetworkPolicy"]
    assert plan.again_after_seconds is None
    assert says(world.status, "Accepted") == ("True", "Accepted")
    assert says(world.status, "Resolved") == ("False", "Resolving")
    assert says(world.status, "Fits") == ("Unknown", "Unknown")
    assert says(world.status, "Progressing") == ("True", "Resolving")
    assert says(world.status, "Available") == ("False", "NoReadyReplicas")
    assert says(world.status, "Ready") == ("False", "Resolving")


def test_a_resolved_model_gets_its_children() -> None:
    world = a_resolved_world()
    assert world.kinds() == ["Deployment", "NetworkPolicy", "NetworkPolicy", "Service"]
    assert says(world.status, "Resolved") == ("True", "Resolved")
    assert says(world.status, "Fits") == ("True", "Fits")
    assert says(world.status, "Progressing") == ("True", "RollingOut")


def test_the_policies_are_there_before_the_first_pod() -> None:
    world = a_world()
    world.step()
    kinds = kinds_written(world.resolve())
    assert kinds == ["NetworkPolicy", "NetworkPolicy", "Service", "Deployment"]


def test_a_model_whose_replicas_answer_is_ready() -> None:
    world = a_serving_world(replicas=2)
    assert says(world.status, "Ready") == ("True", "Ready")
    assert says(world.status, "Available") == ("True", "Available")
    assert says(world.status, "Progressing") == ("True", "Complete")
    assert (world.status["replicas"], world.status["readyReplicas"]) == (2, 2)
    assert condition(world.status, "Ready")["message"] == "2 of 2 replicas answer"
    assert world.events == ["Normal Resolved", "Normal Ready"]


def test_the_status_says_what_is_served_and_where() -> None:
    status = a_serving_world().status
    artifact = {name: status["artifact"][name] for name in ("format", "task", "engine", "quantization")}
    assert artifact == {"format": "GGUF", "task": "Chat", "engine": "LlamaCpp", "quantization": "Q4_K_M"}
    assert status["address"] == "http://berth-gateway.berth-system/v1"
    assert "berth.dev/model=qwen" in status["selector"].split(",")
    assert "app.kubernetes.io/component=engine" in status["selector"].split(",")
    assert status["observedGeneration"] == 1


def test_every_condition_speaks_of_the_generation_that_was_looked_at() -> None:
    world = a_serving_world().edit(replicas=2).settle()
    assert {one["observedGeneration"] for one in world.status["conditions"]} == {2}


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    world = a_serving_world()
    before = condition(world.status, "Available")["lastTransitionTime"]
    world.pass_seconds(100).edit(replicas=2).settle()
    assert condition(world.status, "Available")["lastTransitionTime"] == before


def test_a_steady_model_writes_nothing_and_asks_for_nothing() -> None:
    world = a_serving_world().pass_seconds(86_400)
    plan = world.step()
    assert world.written == []
    assert plan.status is None
    assert plan.again_after_seconds is None


def test_a_restart_of_the_operator_writes_nothing() -> None:
    world = a_serving_world(replicas=2)
    again = World(world.document, some_settings(), children=world.children, pods=world.pods)
    again.step()
    assert again.written == []


def test_one_replica_of_several_makes_a_model_ready() -> None:
    world = a_resolved_world(replicas=3).serve(1).settle()
    assert says(world.status, "Ready") == ("True", "Ready")
    assert condition(world.status, "Available")["message"] == "1 of 3 replicas answer"
    assert says(world.status, "Progressing") == ("True", "RollingOut")


def test_a_model_that_stops_answering_is_not_ready() -> None:
    world = a_serving_world()
    world.serve(0, a_pod(revision=world.revision, fetch=ended(), engine=running())).settle()
    assert says(world.status, "Available") == ("False", "NoReadyReplicas")
    assert says(world.status, "Ready") == ("False", "Loading")


def test_a_pod_in_trouble_is_told_by_progressing_and_by_ready() -> None:
    world = a_resolved_world()
    world.serve(0, a_pod(revision=world.revision, fetch=waiting("ImagePullBackOff", "no such image"))).settle()
    assert says(world.status, "Progressing") == ("False", "ImagePullFailed")
    assert says(world.status, "Ready") == ("False", "ImagePullFailed")
    assert world.status["lastFailure"]["reason"] == "ImagePullFailed"
    assert world.events[-1] == "Warning ImagePullFailed"


def test_a_trouble_is_told_by_one_event_however_often_it_is_seen() -> None:
    world = a_resolved_world()
    world.serve(0, a_pod(revision=world.revision, fetch=ended(1, a_refusal("DiskFull"))))
    for _ in range(5):
        world.pass_seconds(60).step()
    assert world.events.count("Warning DiskFull") == 1


def test_the_last_failure_stays_to_be_read_after_it_is_over() -> None:
    world = a_resolved_world()
    world.serve(0, a_pod(revision=world.revision, fetch=ended(1, a_refusal("DiskFull", "full")))).settle()
    world.serve().settle()
    assert says(world.status, "Ready") == ("True", "Ready")
    assert world.status["lastFailure"]["reason"] == "DiskFull"


def test_a_bad_new_revision_never_makes_a_serving_model_not_ready() -> None:
    world = a_serving_world()
    good = a_ready_pod("old", revision=world.revision)
    world.edit(engine={"image": "no/such:image"}).settle()
    bad = a_pod("new", revision=world.revision, fetch=ended(), engine=waiting("ErrImagePull", "not found"))
    world.serve(1, good, bad)
    world.deployment["status"] |= {"replicas": 2, "updatedReplicas": 1}
    world.settle()
    assert says(world.status, "Ready") == ("True", "Ready")
    assert says(world.status, "Progressing") == ("False", "ImagePullFailed")


def test_a_new_revision_waits_for_the_gpu_that_the_old_one_still_holds() -> None:
    world = a_serving_world(accelerator={"profiles": ["l4"]})
    leaving = {"deletionTimestamp": "2026-03-01T12:00:00Z"}
    old = a_pod("old", revision=world.revision, fetch=ended(), engine=running(), metadata=leaving)
    world.edit(contextLength=2048).settle()
    new = a_pod("new", revision=world.revision, scheduled="1 Insufficient nvidia.com/gpu.")
    world.serve(0, old, new).settle()
    assert says(world.status, "Progressing") == ("True", "WaitingForGPU")
    world.serve(0, new).settle()
    assert says(world.status, "Progressing") == ("False", "InsufficientGPU")


def an_evicted_pod(revision: str, *, age: int) -> Json:
    made = stamp(NOW - timedelta(seconds=age))
    evicted = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    return a_pod(f"evicted-{age}", revision=revision, status=evicted, metadata={"creationTimestamp": made})


def test_a_pod_that_ended_is_told_until_a_younger_one_answers() -> None:
    world = a_serving_world()
    new = a_pod("new", revision=world.revision, fetch=running())
    world.serve(0, an_evicted_pod(world.revision, age=60), new).settle()
    assert says(world.status, "Progressing") == ("False", "OutOfMemory")
    world.serve().settle()
    assert says(world.status, "Progressing") == ("True", "Complete")


def test_a_pod_that_ended_long_ago_is_not_told_of_the_next_replica() -> None:
    world = a_serving_world()
    old, first = an_evicted_pod(world.revision, age=3600), a_ready_pod("first", revision=world.revision)
    world.edit(replicas=2).step()
    young = a_pod("young", revision=world.revision, fetch=running(), metadata={"creationTimestamp": stamp(NOW)})
    world.serve(1, old, first, young).settle()
    assert says(world.status, "Progressing") == ("True", "Fetching")
    assert world.status["loading"]["stage"] == "Fetching"
    assert "lastFailure" not in world.status


def test_an_old_pod_that_ended_holds_no_gpu() -> None:
    world = a_serving_world(accelerator={"profiles": ["l4"]})
    old = an_evicted_pod(world.revision, age=60)
    world.edit(contextLength=2048).settle()
    new = a_pod("new", revision=world.revision, scheduled="1 Insufficient nvidia.com/gpu.")
    world.serve(0, old, new).settle()
    assert says(world.status, "Progressing") == ("False", "InsufficientGPU")


def test_old_replicas_that_finish_are_told_while_nothing_new_is_there() -> None:
    world = a_serving_world()
    leaving = {"deletionTimestamp": "2026-03-01T12:00:00Z"}
    world.edit(contextLength=2048).settle()
    world.serve(0, a_pod("old", revision="old", metadata=leaving)).settle()
    assert says(world.status, "Progressing") == ("True", "Draining")


def test_a_bad_edit_is_no_failed_start() -> None:
    assert "lastFailure" not in a_serving_world().edit(replicas="many").settle().status


def test_trouble_of_the_old_revision_is_not_told_of_the_new_one() -> None:
    world = a_serving_world()
    old = a_pod("old", revision=world.revision, fetch=ended(), engine=ended(1, "died"))
    world.edit(contextLength=2048).settle()
    new = a_pod("new", revision=world.revision, fetch=running())
    world.serve(0, old, new).settle()
    assert says(world.status, "Progressing") == ("True", "Fetching")


def test_a_repaired_spec_is_applied_without_waiting_for_the_broken_rollout() -> None:
    world = a_serving_world()
    good = world.deployment["spec"]
    world.edit(engine={"image": "no/such:image"}).settle()
    world.serve(0, a_pod(revision=world.revision, fetch=ended(), engine=waiting("ErrImagePull", "not found"))).settle()
    world.edit(engine=None).step()
    assert world.deployment["spec"] == good


def test_a_rollout_that_makes_no_progress_in_time_is_told() -> None:
    world = a_resolved_world()
    world.serve(0)
    overdue = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    world.deployment["status"]["conditions"] = [overdue]
    world.settle()
    assert says(world.status, "Progressing") == ("False", "StartDeadlineExceeded")


@pytest.mark.parametrize(
    ("words", "reason"), [("exceeded quota: q", "QuotaExceeded"), ("violates PodSecurity", "Forbidden")]
)
def test_pods_that_are_refused_before_they_exist_are_told(words: str, reason: str) -> None:
    world = a_resolved_world()
    world.serve(0)
    world.deployment["status"]["conditions"] = [{"type": "ReplicaFailure", "status": "True", "message": words}]
    world.settle()
    assert says(world.status, "Progressing") == ("False", reason)
    assert words in condition(world.status, "Progressing")["message"]


def test_what_a_deployment_says_of_a_revision_before_is_not_believed() -> None:
    world = a_serving_world()
    world.deployment["status"]["conditions"] = [{"type": "ReplicaFailure", "status": "True", "message": "old words"}]
    plan = world.edit(contextLength=2048).plan()
    assert says(plan.status, "Progressing") == ("True", "RollingOut")


@pytest.mark.parametrize("spec", [{"suspend": True}, {"replicas": 0}])
def test_a_suspended_model_has_no_replicas_and_says_so(spec: Json) -> None:
    world = a_serving_world().edit(**spec).settle()
    assert world.deployment["spec"]["replicas"] == 0
    assert says(world.status, "Available") == ("False", "Suspended")
    assert says(world.status, "Progressing") == ("True", "Draining")
    world.serve().settle()
    assert says(world.status, "Progressing") == ("True", "Complete")
    assert says(world.status, "Ready") == ("False", "Suspended")


def test_a_model_that_is_resumed_goes_back_to_its_replicas() -> None:
    world = a_serving_world(replicas=2).edit(suspend=True).settle().serve().settle()
    world.edit(suspend=False).settle()
    assert world.deployment["spec"]["replicas"] == 2


def test_replicas_that_somebody_else_set_are_set_back() -> None:
    world = a_serving_world(replicas=2)
    world.deployment["spec"]["replicas"] = 7
    world.step()
    assert world.deployment["spec"]["replicas"] == 2


def test_a_deployment_that_somebody_paused_goes_on() -> None:
    world = a_serving_world()
    del world.deployment["spec"]["paused"]  # as the API server keeps it: false is left out
    world.step()
    assert world.written == []
    world.deployment["spec"]["paused"] = True
    world.step()
    assert "apply Deployment qwen-engine" in world.written


def test_a_child_that_somebody_deleted_is_made_again() -> None:
    world = a_serving_world()
    del world.children["Service", "qwen-engine"]
    world.step()
    assert world.written == ["apply Service qwen-engine"]


def test_a_budget_comes_with_the_second_replica_and_goes_with_it() -> None:
    world = a_serving_world(replicas=2)
    assert "PodDisruptionBudget" in world.kinds()
    world.edit(replicas=1).step()
    assert "delete PodDisruptionBudget qwen-engine" in world.written


def test_a_budget_of_somebody_else_is_never_deleted() -> None:
    world = a_serving_world()
    world.children["PodDisruptionBudget", "qwen-engine"] = a_foreign("PodDisruptionBudget", "qwen-engine")
    world.step()
    assert "PodDisruptionBudget" in world.kinds()


def test_the_way_out_is_closed_once_the_weights_are_there() -> None:
    world = a_resolved_world()
    world.serve(0, a_pod(revision=world.revision, fetch=running())).step()
    assert "unlabel qwen-1" not in world.written
    world.serve(0, a_pod(revision=world.revision, fetch=ended(), engine=running())).step()
    assert "unlabel qwen-1" in world.written
    world.step()
    assert "unlabel qwen-1" not in world.written


def test_a_pod_that_is_leaving_is_left_alone() -> None:
    world = a_resolved_world()
    gone = {"deletionTimestamp": "2026-03-01T12:00:00Z"}
    world.serve(0, a_pod(revision=world.revision, fetch=ended(), engine=running(), metadata=gone))
    plan = world.step()
    assert plan.unlabels == ()
    assert plan.again_after_seconds is None


def test_a_model_that_is_deleted_is_left_to_its_owner_references() -> None:
    world = a_serving_world()
    world.document["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    world.step()
    assert world.written == []


BAD_EDITS: dict[str, tuple[Json, str, str]] = {
    "a word for a number": ({"replicas": "many"}, "InvalidSpec", "spec.replicas"),
    "an unknown field": ({"replica": 2}, "InvalidSpec", "spec.replica"),
    "a field that is still to come": ({"autoscaling": {"maxReplicas": 2}}, "UnsupportedField", "spec.autoscaling"),
    "a source that is still to come": ({"source": {"uri": "gs://a/b"}}, "UnsupportedField", "spec.source.uri"),
    "a dangerous argument": ({"engine": {"args": ["port=1"]}}, "ArgumentRefused", "spec.engine.args[0]"),
    "an unknown argument": ({"engine": {"args": ["thread=1"]}}, "ArgumentRefused", "spec.engine.args[0]"),
    "an unknown profile": ({"accelerator": {"profiles": ["l5"]}}, "UnknownProfile", "spec.accelerator.profiles[0]"),
    "two pins": (
        {"source": {"uri": "oci://r.example/m@sha256:" + "1" * 64, "digest": "sha256:" + "2" * 64}},
        "InvalidSpec",
        "spec.source.digest",
    ),
}


@pytest.mark.parametrize("what", BAD_EDITS)
def test_a_bad_edit_is_told_by_its_field_and_changes_nothing_that_serves(what: str) -> None:
    spec, reason, field = BAD_EDITS[what]
    world = a_serving_world()
    before = {ref: child["metadata"]["generation"] for ref, child in world.children.items()}
    world.edit(**spec).settle()
    assert says(world.status, "Accepted") == ("False", reason)
    assert field in condition(world.status, "Accepted")["message"]
    assert condition(world.status, "Accepted")["observedGeneration"] == 2
    assert says(world.status, "Available") == ("True", "Available")
    assert says(world.status, "Ready") == ("False", reason)
    assert {ref: child["metadata"]["generation"] for ref, child in world.children.items()} == before
    assert world.status["readyReplicas"] == 1
    assert world.status["artifact"]["engine"] == "LlamaCpp"


@pytest.mark.parametrize("what", BAD_EDITS)
def test_taking_a_bad_edit_back_makes_all_well_again_without_a_write(what: str) -> None:
    spec, _, _ = BAD_EDITS[what]
    world = a_serving_world()
    good = {name: world.document["spec"].get(name) for name in spec}
    world.edit(**spec).settle()
    world.edit(**good).step()
    assert world.written == ["status"]
    assert says(world.status, "Ready") == ("True", "Ready")


@pytest.mark.parametrize("what", BAD_EDITS)
def test_a_model_that_is_bad_from_the_start_makes_nothing(what: str) -> None:
    spec, reason, _ = BAD_EDITS[what]
    world = a_world(**spec)
    if what == "an unknown argument":  # Only the artifact tells which engine would take it.
        world.step()
        world.resolve()
    world.settle()
    assert says(world.status, "Ready") == ("False", reason)
    assert "Deployment" not in world.kinds()


@pytest.mark.parametrize(
    ("report", "reason", "says_so"),
    [
        (a_report(format="PyTorch", task="Embedding"), "PickleRefused", "spec.trust.pickle: its weights are Python"),
        (a_report(task="ObjectDetection"), "UnsupportedFormat", "set spec.task to one of Chat"),
    ],
)
def test_an_artifact_that_no_engine_serves_is_not_accepted(report: str, reason: str, says_so: str) -> None:
    world = a_resolved_world(report=report)
    assert says(world.status, "Accepted") == ("False", reason)
    assert says_so in condition(world.status, "Accepted")["message"]
    assert says(world.status, "Resolved") == ("True", "Resolved")
    assert "Deployment" not in world.kinds()
    assert len(world.jobs()) == 1


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


def test_a_status_of_a_newer_version_is_read_as_far_as_it_goes() -> None:
    world = a_serving_world()
    world.document["status"]["somethingNew"] = {"a": 1}
    assert world.plan().status is None


def test_a_status_that_makes_no_sense_is_written_anew() -> None:
    world = a_serving_world()
    world.document["status"] = {"conditions": 7}
    world.settle()
    assert says(world.status, "Ready") == ("True", "Ready")


def test_a_document_without_a_status_is_no_reason_to_fail() -> None:
    document = a_document()
    assert "status" not in document
    assert says(World(document).plan().status, "Accepted") == ("True", "Accepted")


def test_a_new_node_of_the_same_kind_changes_nothing() -> None:
    world = a_serving_world()
    world.nodes = ()
    world.step()
    assert world.written == []
