"""Models with accelerators find their nodes: the real scheduler, and nodes that kwok plays. Leaves nothing."""

from collections.abc import Iterator

import pytest

from berth_kube.resources import DEPLOYMENTS, NETWORK_POLICIES, PODS, SERVICES
from e2e.cluster.fleet import KINDS
from e2e.support.fake_nodes import MEMORY, NOWHERE
from e2e.support.manifests import a_namespace, a_pinned_model, apply
from e2e.support.objects import MODELS, Json, Objects, condition_of, is_true
from e2e.support.programs import kubectl
from e2e.support.release import Release
from e2e.support.until import until

NAMESPACE = "accelerated"
OF_GROUPS = ((DEPLOYMENTS, "grouped-members"), (SERVICES, "grouped-group"), (NETWORK_POLICIES, "grouped-group"))


@pytest.fixture(scope="module", autouse=True)
def namespace(release: Release) -> Iterator[None]:
    apply(a_namespace(NAMESPACE))
    yield
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def placed(objects: Objects, name: str, accelerator: Json) -> tuple[Json, Json]:
    """The Model with this accelerator once it is Ready, and its pod."""
    apply(a_pinned_model(name, NAMESPACE, accelerator=accelerator))
    until(
        lambda: is_true(objects.read(MODELS, NAMESPACE, name), "Ready"),
        seconds=45,
        what=f"{name} is Ready",
        seen=lambda: objects.read(MODELS, NAMESPACE, name).get("status"),
    )
    (pod,) = objects.items(PODS, NAMESPACE, f"berth.dev/model={name}")
    return objects.read(MODELS, NAMESPACE, name), pod


@pytest.mark.parametrize("kind", MEMORY)
def test_a_model_lands_on_a_node_of_its_profile(objects: Objects, kind: str) -> None:
    model, pod = placed(objects, f"on-{kind}", {"profiles": [kind]})
    assert pod["spec"]["nodeName"].startswith(f"{kind}-")
    assert model["status"]["profile"] == kind
    (engine,) = pod["spec"]["containers"]
    assert engine["resources"]["limits"][KINDS[kind].resource] == "1"


@pytest.mark.parametrize(
    ("memory", "kind"), [("20Gi", "a10g"), ("23030Mi", "l4"), ("79Gi", "h100"), ("80Gi", "a100"), ("100Gi", "mi300x")]
)
def test_memory_picks_the_smallest_device_that_suffices(objects: Objects, memory: str, kind: str) -> None:
    model, pod = placed(objects, f"with-{memory.lower()}", {"memory": memory})
    assert pod["spec"]["nodeName"].startswith(f"{kind}-")
    assert model["status"]["profile"] == kind


def test_a_profile_that_no_node_has_is_named(objects: Objects) -> None:
    apply(a_pinned_model("nowhere", NAMESPACE, accelerator={"profiles": [NOWHERE]}))
    fits = until(
        lambda: condition_of(objects.read(MODELS, NAMESPACE, "nowhere"), "Fits"), seconds=5, what="Fits is said"
    )
    assert (fits["status"], fits["reason"]) == ("False", "NoSuchNode")
    assert NOWHERE in fits["message"]


def test_the_second_profile_serves_where_no_node_has_the_first(objects: Objects) -> None:
    model, pod = placed(objects, "second", {"profiles": [NOWHERE, "l4"]})
    assert pod["spec"]["nodeName"].startswith("l4-")
    assert model["status"]["profile"] == "l4"


def test_a_group_lands_on_as_many_nodes_as_it_asks_for_and_leaves_them(objects: Objects) -> None:
    kubectl("delete", "models", "--all", "-n", NAMESPACE)  # what they hold is all that there is of this kind
    what = {
        "artifact": {"format": "Safetensors", "task": "Chat", "sizeBytes": 40 << 30, "parameters": 20_000_000_000},
        "engine": {"type": "VLLM", "image": "registry.example.com/vllm:1"},
    }
    apply(a_pinned_model("grouped", NAMESPACE, accelerator={"profiles": ["l4"], "nodes": 3}, **what))
    until(
        lambda: len(ready_nodes(objects)) == 3, seconds=45, what="all three pods are Ready, each on a node of its own"
    )
    status = until(lambda: ready_status(objects), seconds=45, what="the Model is Ready")
    assert (status["profile"], status["replicas"], status["readyReplicas"]) == ("l4", 1, 1)
    apply(a_pinned_model("grouped", NAMESPACE, accelerator={"profiles": ["h100"]}, **what))
    until(
        lambda: [node.partition("-")[0] for node in ready_nodes(objects)] == ["h100"],
        seconds=60,
        what="one pod is left, on a node of its kind",
        seen=lambda: ready_nodes(objects),
    )
    assert [name for kind, name in OF_GROUPS if objects.get(kind, NAMESPACE, name)] == []
    assert objects.get(DEPLOYMENTS, NAMESPACE, "grouped-engine") is not None


def ready_nodes(objects: Objects) -> set[str]:
    """Where the pods of the Model `grouped` answer."""
    pods = objects.items(PODS, NAMESPACE, "berth.dev/model=grouped")
    return {pod["spec"]["nodeName"] for pod in pods if is_true(pod, "Ready")}


def ready_status(objects: Objects) -> Json | None:
    model = objects.read(MODELS, NAMESPACE, "grouped")
    return model["status"] if is_true(model, "Ready") else None
