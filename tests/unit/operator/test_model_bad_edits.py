"""A Model that can't be carried out: its field is named, and nothing that serves is touched."""

import pytest
from operator_builders import (
    Json,
    a_report,
    a_resolved_world,
    a_serving_world,
    a_world,
    condition,
    says,
)

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
