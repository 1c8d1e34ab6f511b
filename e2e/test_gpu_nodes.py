"""Models with accelerators find their nodes: the real scheduler, and nodes that kwok plays. Leaves nothing."""

from collections.abc import Iterator

import pytest

from berth_kube.resources import PODS
from e2e.cluster.fleet import KINDS
from e2e.support.fake_nodes import MEMORY, NOWHERE
from e2e.support.manifests import a_namespace, a_pinned_model, apply
from e2e.support.objects import MODELS, Json, Objects, condition_of, is_true
from e2e.support.programs import kubectl
from e2e.support.release import Release
from e2e.support.until import until

NAMESPACE = "accelerated"


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
