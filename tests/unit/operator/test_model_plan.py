"""The way of a Model from its manifest to its replicas, one reconcile after the other."""

import pytest
from operator_builders import (
    Json,
    World,
    a_document,
    a_pod,
    a_resolved_world,
    a_serving_world,
    a_world,
    condition,
    ended,
    running,
    says,
    some_settings,
)


def kinds_written(world: World) -> list[str]:
    return [write.body["kind"] for write in world.plan().writes]


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
