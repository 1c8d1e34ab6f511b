"""Images on nodes before the pods come: the DaemonSet, whom it is for, and what is said of it."""

from typing import Any

import pytest
from operator_builders import (
    DIGEST,
    Json,
    World,
    a_node,
    a_resolved_world,
    condition,
    ended,
    says,
    some_settings,
    waiting,
)

from berth_kube.errors import FieldFault, Rejected
from berth_operator.children.restricted import container_security, pod_security
from berth_operator.settings import Profile

PREFETCH: Json = {"type": "ImageVolume", "prefetch": True}
DAEMON_SET = ("DaemonSet", "qwen-prefetch")


def a_world(cache: Json = PREFETCH, **spec: Any) -> World:
    return a_resolved_world(cache=cache, **spec)


def pod_of(world: World) -> Json:
    found: Json = world.children[DAEMON_SET]["spec"]["template"]["spec"]
    return found


def tell(world: World, *, wanted: int, ready: int, updated: int | None = None, generation: int = 0) -> World:
    """The DaemonSet's controller says how far it is."""
    daemon_set = world.children[DAEMON_SET]
    daemon_set["status"] = {
        "observedGeneration": generation or daemon_set["metadata"]["generation"],
        "desiredNumberScheduled": wanted,
        "numberReady": ready,
        "updatedNumberScheduled": wanted if updated is None else updated,
    }
    world.step()
    return world


def a_prefetch_pod(node: str, state: Json, image: str = "berth/cpu:1") -> Json:
    statuses = [{"name": "prefetch", "image": image, "state": state, "restartCount": 0}]
    metadata = {"name": f"qwen-prefetch-{node}", "creationTimestamp": "2026-03-01T12:00:00Z"}
    volume = {"name": "image", "image": {"reference": f"registry.example.com/ai/qwen@{DIGEST}"}}
    return {
        "metadata": metadata,
        "spec": {"nodeName": node, "volumes": [volume]},
        "status": {"phase": "Pending", "containerStatuses": statuses},
    }


def test_its_pods_mount_the_image_of_the_models_own_and_ask_for_next_to_nothing() -> None:
    world = a_world()
    pod, served = pod_of(world), world.deployment["spec"]["template"]["spec"]
    (volume,), (container,) = pod["volumes"], pod["containers"]
    assert volume in served["volumes"]
    assert volume["image"]["reference"] == f"registry.example.com/ai/qwen@{DIGEST}"
    assert container["image"] == served["containers"][0]["image"]
    assert container["volumeMounts"] == [{"name": "image", "mountPath": "/image", "readOnly": True}]
    assert container["command"] == ["python", "-m", "berth_runtime.prefetched", "--volume", "/image"]
    assert container["resources"]["requests"] == {"cpu": "1m", "memory": "16Mi"}
    assert "initContainers" not in pod


def test_its_pods_are_restricted_and_hold_no_token() -> None:
    pod = pod_of(a_world())
    assert pod["securityContext"] == pod_security()
    assert pod["containers"][0]["securityContext"] == container_security()
    assert pod["automountServiceAccountToken"] is False


def test_its_pods_are_taken_for_no_engine() -> None:
    world = a_world()
    labels = world.children[DAEMON_SET]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        world.deployment["spec"]["selector"]["matchLabels"],
        world.children["Service", "qwen-engine"]["spec"]["selector"],
        world.children["NetworkPolicy", "qwen-engine"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert not any(selector.items() <= labels.items() for selector in selectors)
    assert world.children[DAEMON_SET]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert world.children[DAEMON_SET]["metadata"]["ownerReferences"][0]["uid"] == "uid-qwen"


def test_its_nodes_are_those_of_the_model() -> None:
    gpu = Profile.model_validate(
        {"memory": "24Gi", "nodeSelector": {"gpu": "l4"}, "tolerations": [{"key": "gpu"}], "runtimeClassName": "nvidia"}
    )
    terms = {"nodeSelectorTerms": [{"matchFields": []}]}
    near = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "db"}}}
    affinity = {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms},
        "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near]},
    }
    options = {"nodeSelector": {"disk": "fast"}, "tolerations": [{"key": "mine"}], "affinity": affinity}
    world = a_world(
        accelerator={"profiles": ["l4"]},
        pod={**options, "imagePullSecrets": [{"name": "images"}]},
        source={"uri": "oci://registry.example.com/ai/qwen:1", "secretRef": {"name": "login"}},
        settings=some_settings(profiles={"l4": gpu}),
        nodes=(a_node(gpu="l4", disk="fast"),),
    )
    pod = pod_of(world)
    assert pod["nodeSelector"] == {"disk": "fast", "gpu": "l4"}
    assert pod["tolerations"] == [{"key": "mine"}, {"key": "gpu"}]
    assert set(pod["affinity"]) == {"nodeAffinity"}
    assert pod["imagePullSecrets"] == [{"name": "images"}, {"name": "login"}]
    assert "runtimeClassName" not in pod, "it computes nothing"
    assert "nvidia.com/gpu" not in str(pod["containers"][0]["resources"])


def test_it_stays_while_the_model_sleeps_and_goes_when_it_is_not_asked_for() -> None:
    world = a_world()
    world.edit(suspend=True).settle()
    assert DAEMON_SET in world.children
    tell(world, wanted=1, ready=1)
    assert says(world.status, "Prefetched") == ("True", "Prefetched")
    world.edit(cache={"type": "ImageVolume"}).settle()
    assert DAEMON_SET not in world.children
    assert "Prefetched" not in [one["type"] for one in world.status["conditions"]]


def test_without_being_asked_for_there_is_none() -> None:
    world = a_world(cache={"type": "ImageVolume"})
    assert DAEMON_SET not in world.children
    assert "Prefetched" not in [one["type"] for one in world.status["conditions"]]


@pytest.mark.parametrize(
    ("counts", "status", "reason", "message"),
    [
        ({"wanted": 3, "ready": 3}, "True", "Prefetched", "the image is on 3 of 3 nodes"),
        ({"wanted": 3, "ready": 1}, "False", "Prefetching", "the image is on 1 of 3 nodes"),
        ({"wanted": 3, "ready": 3, "updated": 1}, "False", "Prefetching", "the image is on 1 of 3 nodes"),
        ({"wanted": 0, "ready": 0}, "False", "NoSuchNode", "no node that may run the Model"),
    ],
)
def test_the_condition_counts_the_nodes(counts: Json, status: str, reason: str, message: str) -> None:
    world = tell(a_world(), **counts)
    assert says(world.status, "Prefetched") == (status, reason)
    assert message in condition(world.status, "Prefetched")["message"]
    assert world.settle().written == []


def test_what_the_controller_said_of_an_older_one_is_not_believed() -> None:
    world = a_world()
    assert says(world.status, "Prefetched") == ("False", "Prefetching")
    world.children[DAEMON_SET]["metadata"]["generation"] = 2
    tell(world, wanted=3, ready=3, generation=1)
    assert condition(world.status, "Prefetched")["message"] == "the nodes are about to be asked"


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        (
            waiting("ImagePullBackOff", f"pulling registry.example.com/ai/qwen@{DIGEST}: denied"),
            "ImagePullFailed",
            "denied",
        ),
        (waiting("ErrImagePull", "no such host"), "ImagePullFailed", "the image berth/cpu:1 can't be pulled"),
        (ended(1, "/image is empty: container runtimes mount"), "NoModelInSource", "/image is empty"),
    ],
)
def test_a_node_that_can_not_have_it_is_named_with_the_cause(state: Json, reason: str, said: str) -> None:
    world = a_world()
    world.prefetch_pods = [a_prefetch_pod("node-7", state)]
    tell(world, wanted=2, ready=1)
    assert says(world.status, "Prefetched") == ("False", reason)
    message = condition(world.status, "Prefetched")["message"]
    assert message.startswith("the image is on 1 of 2 nodes; on node-7: ")
    assert said in message


def test_it_is_no_part_of_being_ready() -> None:
    world = a_world()
    world.serve().step()
    tell(world, wanted=2, ready=0)
    assert says(world.status, "Ready") == ("True", "Ready")


def test_one_that_is_refused_is_told_and_the_model_serves_on() -> None:
    world = a_world()
    world.serve().step()
    fault = FieldFault("spec.template.spec.tolerations[0].operator", "is not supported")
    world.failures[DAEMON_SET] = Rejected("refused", fields=(fault,))
    world.step()
    assert "the API server refuses the DaemonSet qwen-prefetch" in condition(world.status, "Accepted")["message"]
    assert "spec.pod.tolerations[0].operator: " in condition(world.status, "Accepted")["message"]
    assert says(world.status, "Available") == ("True", "Available")
