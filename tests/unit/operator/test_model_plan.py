"""The way of a Model from its manifest to its replicas, one reconcile after the other."""

from operator_builders import a_resolved_world, a_serving_world, a_world, says


def test_a_new_model_is_resolved_before_anything_is_started() -> None:
    world = a_world()
    plan = world.step()
    assert world.kinds() == ["Job", "NetworkPolicy"]
    assert plan.again_after_seconds is None
    assert says(world.status, "Accepted") == ("True", "Accepted")
    assert says(world.status, "Resolved") == ("False", "Resolving")
    assert says(world.status, "Progressing") == ("True", "Resolving")
    assert says(world.status, "Ready") == ("False", "Resolving")


def test_a_resolved_model_gets_its_children() -> None:
    world = a_resolved_world()
    assert world.kinds() == ["Deployment", "NetworkPolicy", "NetworkPolicy", "Service"]
    assert says(world.status, "Resolved") == ("True", "Resolved")
    assert says(world.status, "Fits") == ("True", "Fits")


def test_a_model_whose_replicas_answer_is_ready() -> None:
    world = a_serving_world(replicas=2)
    assert says(world.status, "Ready") == ("True", "Ready")
    assert says(world.status, "Progressing") == ("True", "Complete")
    assert (world.status["replicas"], world.status["readyReplicas"]) == (2, 2)
    assert world.events == ["Normal Resolved", "Normal Ready"]


def test_a_steady_model_writes_nothing_and_asks_for_nothing() -> None:
    world = a_serving_world().pass_seconds(86_400)
    plan = world.step()
    assert world.written == []
    assert plan.status is None
    assert plan.again_after_seconds is None
