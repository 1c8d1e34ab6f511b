"""What is told of a Model whose pods or rollout are in trouble, and when it is over."""

from datetime import timedelta

import pytest
from operator_builders import (
    NOW,
    Json,
    a_pod,
    a_ready_pod,
    a_refusal,
    a_resolved_world,
    a_serving_world,
    condition,
    ended,
    running,
    says,
    stamp,
    waiting,
)


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
