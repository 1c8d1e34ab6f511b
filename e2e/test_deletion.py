"""What a Model no longer wants goes, and with the Model all of it. Leaves nothing itself."""

from collections.abc import Iterator

import pytest

from berth_api.names import model_labels
from berth_kube.resources import NETWORK_POLICIES
from e2e.support.manifests import a_fleet_model, a_model, a_namespace, a_route, apply
from e2e.support.objects import MODELS, Json, Objects, is_true, name_of, uid_of
from e2e.support.programs import kubectl
from e2e.support.release import Release
from e2e.support.until import until

NAMESPACE = "fleeting"
# What Kubernetes itself keeps in every namespace, and what was told of objects that were.
NOT_OURS = ("configmap/kube-root-ca.crt", "serviceaccount/default", "event/", "event.events.k8s.io/")


@pytest.fixture(scope="module", autouse=True)
def namespace(release: Release) -> Iterator[None]:
    apply(a_namespace(NAMESPACE))
    yield
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def everything() -> list[str]:
    """Each object of each kind in the namespace that Kubernetes does not put there itself."""
    kinds = kubectl("api-resources", "--verbs=list", "--namespaced", "-o", "name").split()
    found = kubectl("get", ",".join(kinds), "-n", NAMESPACE, "-o", "name", "--ignore-not-found").split()
    return [name for name in found if not name.startswith(NOT_OURS)]


def test_a_policy_that_an_older_version_left_is_swept(objects: Objects) -> None:
    apply(a_fleet_model("renewed", NAMESPACE))
    until(lambda: is_true(objects.read(MODELS, NAMESPACE, "renewed"), "Ready"), seconds=30, what="the model is Ready")
    apply(a_leftover_policy(objects.read(MODELS, NAMESPACE, "renewed")))
    until(
        lambda: objects.get(NETWORK_POLICIES, NAMESPACE, "renewed-of-old") is None,
        seconds=10,
        what="the policy is gone",
    )
    kubectl("delete", "model/renewed", "-n", NAMESPACE)
    until(lambda: not everything(), seconds=60, what="nothing is left", seen=everything)


def a_leftover_policy(model: Json) -> Json:
    owner = {"apiVersion": "berth.dev/v1alpha1", "kind": "Model", "name": name_of(model), "uid": uid_of(model)}
    metadata = {
        "name": f"{name_of(model)}-of-old",
        "namespace": NAMESPACE,
        "labels": model_labels(name_of(model)),
        "ownerReferences": [{**owner, "controller": True}],
    }
    return {
        "apiVersion": NETWORK_POLICIES.api_version,
        "kind": NETWORK_POLICIES.kind,
        "metadata": metadata,
        "spec": {"podSelector": {}},
    }


def test_deleting_a_model_and_its_route_leaves_no_object(objects: Objects, pushed: dict[str, str]) -> None:
    (source,) = [uri for uri in pushed.values() if "minilm" in uri]
    apply(
        a_model("guest", NAMESPACE, source={"uri": source}, replicas=2),
        a_model("stillborn", NAMESPACE, source={"uri": f"{source}-gone"}),
        a_route("guests", NAMESPACE, {"guest": 1}),
    )
    until(
        lambda: is_true(objects.read(MODELS, NAMESPACE, "guest"), "Ready"),
        seconds=120,
        what="the model is Ready",
        seen=lambda: objects.read(MODELS, NAMESPACE, "guest").get("status"),
    )
    made = {name.partition("/")[0] for name in everything()}
    assert {"deployment.apps", "service", "pod", "job.batch", "networkpolicy.networking.k8s.io"} <= made
    assert {"poddisruptionbudget.policy", "endpointslice.discovery.k8s.io", "replicaset.apps"} <= made
    kubectl("delete", "model/guest", "model/stillborn", "modelroute/guests", "-n", NAMESPACE)
    until(lambda: not everything(), seconds=60, what="nothing is left", seen=everything)
