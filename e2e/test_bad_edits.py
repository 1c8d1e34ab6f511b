"""A bad edit of a Model that serves changes nothing that serves; names that are taken stay taken. Leaves nothing."""

import time
from collections.abc import Iterator

import pytest

from berth_api.names import child_name
from berth_kube.resources import DEPLOYMENTS, PODS, SERVICES, Resource
from e2e.conftest import MODELS_NAMESPACE
from e2e.support.manifests import a_fleet_model, a_namespace, apply
from e2e.support.objects import MODELS, Json, Objects, condition_of, is_true, name_of, uid_of
from e2e.support.programs import kubectl
from e2e.support.release import Release
from e2e.support.starts import Starts
from e2e.support.traffic import no_request_fails
from e2e.support.until import until

NAMESPACE = "contested"
TOLD_SECONDS = 5.0
# Models whose child has a name that somebody else's object of this kind has.
TAKEN = {"first": DEPLOYMENTS, "second": SERVICES}

# The API server takes any word for an operator in a Model, and refuses it in a pod.
NEAR = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Near", "values": ["b"]}]}]}
AFFINITY = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": NEAR}}

# Each edit of the spec of minilm that serves, the field that the condition must name, the reason, and the remedy.
BAD_EDITS = [
    ({"engine": {"args": ["port=9000"]}}, "spec.engine.args[0]", "ArgumentRefused", "leave it out"),
    ({"accelerator": {"profiles": ["nvidia-l5"]}}, "spec.accelerator.profiles[0]", "UnknownProfile", ""),
    ({"autoscaling": {"maxReplicas": 3}}, "spec.autoscaling", "UnsupportedField", "remove it"),
    ({"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}, "spec.resources", "InvalidSpec", ""),
    ({"pod": {"affinity": AFFINITY}}, "spec.pod.affinity", "InvalidSpec", ""),
]


@pytest.fixture(scope="module", autouse=True)
def namespace(release: Release) -> Iterator[None]:
    apply(a_namespace(NAMESPACE))
    yield
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def accepted_of(objects: Objects, namespace: str, name: str) -> Json | None:
    """`Accepted` as it was said of the present generation."""
    model = objects.read(MODELS, namespace, name)
    condition = condition_of(model, "Accepted")
    if condition is None or condition.get("observedGeneration") != model["metadata"]["generation"]:
        return None
    return condition


def pod_uids(objects: Objects) -> set[str]:
    return {uid_of(pod) for pod in objects.items(PODS, MODELS_NAMESPACE, "berth.dev/model=minilm")}


@pytest.mark.parametrize(("edit", "field", "reason", "remedy"), BAD_EDITS, ids=lambda part: str(part)[:40])
def test_a_bad_edit_is_told_within_seconds_and_changes_nothing_that_serves(
    objects: Objects, release: Release, quickstart: Starts, edit: Json, field: str, reason: str, remedy: str
) -> None:
    before = pod_uids(objects)
    with no_request_fails(release.address(), "minilm"):
        good = objects.read(MODELS, MODELS_NAMESPACE, "minilm")["spec"]
        objects.merge(MODELS, MODELS_NAMESPACE, "minilm", {"spec": edit})
        condition = until(
            lambda: refused(objects),
            seconds=TOLD_SECONDS,
            what="Accepted is False",
            seen=lambda: objects.read(MODELS, MODELS_NAMESPACE, "minilm")["status"],
        )
        assert condition["reason"] == reason
        assert field in condition["message"]
        assert remedy in condition["message"]
        assert is_true(objects.read(MODELS, MODELS_NAMESPACE, "minilm"), "Available")
        objects.merge(MODELS, MODELS_NAMESPACE, "minilm", {"spec": {name: good.get(name) for name in edit}})
        until(
            lambda: is_true(objects.read(MODELS, MODELS_NAMESPACE, "minilm"), "Accepted"),
            seconds=TOLD_SECONDS,
            what="the repaired spec is accepted",
        )
    assert pod_uids(objects) == before


def refused(objects: Objects) -> Json | None:
    condition = accepted_of(objects, MODELS_NAMESPACE, "minilm")
    return condition if condition is not None and condition["status"] == "False" else None


def a_foreign(kind: str, name: str) -> Json:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": "theirs"}}
    if kind == "Service":
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": {"ports": [{"port": 80}]}}
    template = {"metadata": {"labels": {"app": "theirs"}}, "spec": {"containers": [{"name": "c", "image": "theirs"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "theirs"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


def test_an_object_that_is_not_ours_is_left_alone_and_named(objects: Objects) -> None:
    # Both at once: nobody tells Berth that a name is free, and each wait for its next look is long.
    theirs = {model: put_in_the_way(objects, kind, model) for model, kind in TAKEN.items()}
    apply(*(a_fleet_model(model, NAMESPACE) for model in TAKEN))
    for model, kind in TAKEN.items():
        left_alone_and_named(objects, model, theirs[model])
        objects.delete(kind, NAMESPACE, name_of(theirs[model]))
    until(
        lambda: all(is_true(objects.read(MODELS, NAMESPACE, model), "Ready") for model in TAKEN),
        seconds=30,
        what="the names are free, so both serve",
    )


def put_in_the_way(objects: Objects, kind: Resource, model: str) -> Json:
    """Somebody else's object under the name of the Model's child, as it stands once it is settled."""
    name = child_name(model, "engine")
    apply(a_foreign(kind.kind, name))
    return until(lambda: settled(objects, kind, name), seconds=10, what="their object is settled")


def left_alone_and_named(objects: Objects, model: str, theirs: Json) -> None:
    condition = until(lambda: accepted_of(objects, NAMESPACE, model), seconds=TOLD_SECONDS, what="Accepted is said")
    assert (condition["status"], condition["reason"]) == ("False", "ChildNameTaken")
    assert name_of(theirs) in condition["message"]
    kubectl("annotate", "model", model, "-n", NAMESPACE, f"example.com/touched={time.time()}")
    assert objects.read(TAKEN[model], NAMESPACE, name_of(theirs)) == theirs


def settled(objects: Objects, resource: Resource, name: str) -> Json | None:
    """A Deployment once its controller has looked at it; a Service at once."""
    found = objects.read(resource, NAMESPACE, name)
    return found if resource is SERVICES or "observedGeneration" in found.get("status", {}) else None
