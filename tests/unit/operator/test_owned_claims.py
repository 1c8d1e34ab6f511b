"""The claim of a Model's own: whose it is, what outlives what, and what the API server refuses about it."""

import pytest
from operator_builders import Json, World, a_document, a_resolved_world, a_serving_world, condition, says, some_settings

from berth_api.meta import API_VERSION
from berth_api.names import model_labels
from berth_kube.errors import FieldFault, Forbidden, Rejected

CLAIM = ("PersistentVolumeClaim", "qwen-cache")


def owned(size: str = "50Gi", policy: str = "Delete") -> Json:
    return {"type": "OwnedClaim", "ownedClaim": {"size": size, "deletionPolicy": policy}}


def a_claim(**metadata: object) -> Json:
    """Somebody's claim at the name of ours."""
    return {"metadata": {"name": CLAIM[1], "namespace": "default", "uid": "theirs", **metadata}, "spec": {}}


def test_a_claim_is_there_before_the_pods_that_mount_it() -> None:
    world = a_resolved_world(cache=owned())
    kinds = [write.body["kind"] for write in world.plan().writes]
    assert kinds.index("PersistentVolumeClaim") < kinds.index("Deployment")


def test_the_policy_decides_whether_the_model_owns_it() -> None:
    world = a_resolved_world(cache=owned(policy="Retain"))
    assert "ownerReferences" not in world.children[CLAIM]["metadata"]
    world.edit(cache=owned(policy="Delete")).settle()
    assert world.children[CLAIM]["metadata"]["ownerReferences"][0]["uid"] == "uid-qwen"
    world.edit(cache=owned(policy="Retain")).settle()
    assert "ownerReferences" not in world.children[CLAIM]["metadata"]


def test_a_retained_claim_is_taken_up_by_the_next_model_of_its_name() -> None:
    before = a_resolved_world(cache=owned(policy="Retain"))
    document = a_document(cache=owned())
    document["metadata"]["uid"] = "uid-of-the-next"
    after = World(document, some_settings(), children={CLAIM: before.children[CLAIM]})
    after.step()
    after.resolve().settle()
    assert says(after.status, "Accepted") == ("True", "Accepted")
    assert after.children[CLAIM]["metadata"]["ownerReferences"][0]["uid"] == "uid-of-the-next"
    assert after.children[CLAIM]["metadata"]["uid"] == before.children[CLAIM]["metadata"]["uid"]


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"labels": model_labels("other")},
        {
            "labels": model_labels("qwen"),
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "x"}],
        },
    ],
)
def test_a_claim_of_somebody_else_is_left_alone_and_named(metadata: Json) -> None:
    if "ownerReferences" in metadata:
        metadata["ownerReferences"][0]["controller"] = True
    world = a_resolved_world(cache=owned())
    world.children[CLAIM] = theirs = a_claim(**metadata)
    world.settle()
    assert says(world.status, "Accepted") == ("False", "ChildNameTaken")
    assert "the PersistentVolumeClaim qwen-cache is there already" in condition(world.status, "Accepted")["message"]
    assert world.children[CLAIM] == theirs


def test_the_claim_of_the_model_that_had_the_name_before_is_waited_for() -> None:
    world = a_resolved_world(cache=owned())
    owner = {"apiVersion": API_VERSION, "kind": "Model", "name": "qwen", "uid": "an-older-one", "controller": True}
    world.children[CLAIM] = left_over = a_claim(labels=model_labels("qwen"), ownerReferences=[owner])
    world.step()
    assert says(world.status, "Accepted") == ("True", "Accepted")
    assert world.children[CLAIM] == left_over


def test_a_claim_that_is_not_wanted_any_more_stays_for_as_long_as_its_model() -> None:
    world = a_resolved_world(cache=owned())
    world.edit(cache={"type": "Pod"}).settle()
    assert CLAIM in world.children
    assert world.children[CLAIM]["metadata"]["ownerReferences"]


@pytest.mark.parametrize(
    ("field", "own"),
    [
        ("spec.resources.requests.storage", "spec.cache.ownedClaim.size"),
        ("spec", "spec.cache.ownedClaim"),
        ("spec.storageClassName", "spec.cache.ownedClaim.storageClassName"),
        ("spec.accessModes[0]", "spec.cache.ownedClaim.accessMode"),
    ],
)
def test_what_the_server_refuses_of_a_claim_is_the_users_field_and_changes_nothing_that_serves(
    field: str, own: str
) -> None:
    world = a_serving_world(cache=owned())
    world.edit(cache=owned("10Gi"))
    world.failures[CLAIM] = Rejected("refused", fields=(FieldFault(field, "may not be less than before"),))
    plan = world.plan()
    assert says(plan.status, "Accepted") == ("False", "InvalidSpec")
    said = condition(plan.status, "Accepted")["message"]
    assert f"{own}: " in said
    assert "may not be less than before" in said
    assert says(plan.status, "Available") == ("True", "Available")


def test_a_storage_class_that_does_not_let_claims_grow_is_told_in_the_servers_words() -> None:
    world = a_serving_world(cache=owned())
    world.edit(cache=owned("90Gi"))
    world.failures[CLAIM] = Forbidden("the storageclass must support resize")
    plan = world.plan()
    assert says(plan.status, "Progressing") == ("False", "Forbidden")
    assert "must support resize" in condition(plan.status, "Progressing")["message"]
    assert says(plan.status, "Available") == ("True", "Available")


def test_a_cluster_without_image_volumes_names_the_field() -> None:
    world = a_resolved_world(cache={"type": "ImageVolume"})
    fault = FieldFault("spec.template.spec.volumes[1]", "must specify a volume type")
    world.failures["Deployment", "qwen-engine"] = Rejected("refused", fields=(fault,))
    world.step()
    assert "spec.cache: " in condition(world.status, "Accepted")["message"]
