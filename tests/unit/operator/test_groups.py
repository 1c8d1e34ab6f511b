"""A Model on several nodes: a head that serves, members that compute with it, and what opens them to each other."""

from typing import Any

import pytest
from operator_builders import (
    Json,
    World,
    a_node,
    a_pod,
    a_report,
    a_resolved_world,
    condition,
    ended,
    running,
    says,
    waiting,
)

from berth_api.errors import InvalidSpec
from berth_api.manifest import parse_object

SAFETENSORS = a_report(format="Safetensors").replace("model.gguf", "model.safetensors")
MEMBERS, GROUP = ("Deployment", "qwen-members"), ("Service", "qwen-group")
POLICY = ("NetworkPolicy", "qwen-group")
OF_GROUPS = {MEMBERS, GROUP, POLICY}


def group(size: int = 3, *, count: int = 1, **known: Any) -> World:
    accelerator = {"profiles": ["l4"], "count": count, "nodes": size}
    return a_resolved_world(**{"report": SAFETENSORS, "accelerator": accelerator, **known})


def template_of(deployment: Json) -> Json:
    found: Json = deployment["spec"]["template"]
    return found


def engine_in(deployment: Json) -> Json:
    (container,) = template_of(deployment)["spec"]["containers"]
    return dict(container)


def a_member(world: World, name: str = "m", **known: Any) -> Json:
    """A pod of the members' Deployment."""
    pod = a_pod(name, revision=world.revision, **known)
    pod["metadata"]["labels"]["app.kubernetes.io/component"] = "member"
    return pod


def test_a_member_is_the_heads_pod_with_the_heads_address() -> None:
    world = group()
    head, member = engine_in(world.deployment), engine_in(world.children[MEMBERS])
    assert member["command"] == [*head["command"], "--head", "qwen-group"]
    assert head["command"][head["command"].index("--group-size") + 1] == "3"
    for same in ("image", "env", "volumeMounts", "resources", "securityContext"):
        assert member[same] == head[same], same
    kept = {name: value for name, value in template_of(world.deployment)["spec"].items() if name != "containers"}
    assert kept.items() <= template_of(world.children[MEMBERS])["spec"].items()


def test_layers_go_to_pods_and_matrices_to_the_gpus_of_a_pod() -> None:
    command = engine_in(group(count=4).deployment)["command"]
    assert "tensor-parallel-size=4" in command
    assert "pipeline-parallel-size=3" in command


def test_a_member_takes_no_requests_and_is_found_by_no_engines_selector() -> None:
    world = group()
    member = engine_in(world.children[MEMBERS])
    assert not member.keys() & {"ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle"}
    labels = template_of(world.children[MEMBERS])["metadata"]["labels"]
    for kind, name in (("Service", "qwen-engine"), GROUP):
        assert not world.children[(kind, name)]["spec"]["selector"].items() <= labels.items()
    assert not world.deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert world.children[MEMBERS]["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_there_is_one_head_and_a_member_for_each_further_node() -> None:
    world = group(3)
    assert (world.deployment["spec"]["replicas"], world.children[MEMBERS]["spec"]["replicas"]) == (1, 2)
    world.edit(suspend=True).settle()
    assert (world.deployment["spec"]["replicas"], world.children[MEMBERS]["spec"]["replicas"]) == (0, 0)


def test_all_pods_of_a_group_know_their_revision_and_it_is_one() -> None:
    world = group()
    variable = {"fieldRef": {"fieldPath": "metadata.labels['berth.dev/revision']"}}
    for deployment in (world.deployment, world.children[MEMBERS]):
        assert {"name": "BERTH_GROUP_REVISION", "valueFrom": variable} in engine_in(deployment)["env"]
        assert template_of(deployment)["metadata"]["labels"]["berth.dev/revision"] == world.revision


def test_members_find_the_head_before_it_is_ready() -> None:
    service = group().children[GROUP]["spec"]
    assert service["publishNotReadyAddresses"] is True
    assert [port["port"] for port in service["ports"]] == [8002]


def test_the_pods_of_a_group_reach_each_other_and_nobody_else_reaches_them() -> None:
    policy = group().children[POLICY]["spec"]
    own = {
        "matchLabels": {"berth.dev/model": "qwen"},
        "matchExpressions": [{"key": "app.kubernetes.io/component", "operator": "In", "values": ["engine", "member"]}],
    }
    assert policy["podSelector"] == own
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"][0] == {"from": [{"podSelector": own}]}
    assert [rule["ports"][0]["port"] for rule in policy["ingress"][1:]] == [8001]
    assert policy["egress"][0] == {"to": [{"podSelector": own}]}
    assert {port["port"] for rule in policy["egress"][1:] for port in rule["ports"]} == {53}


def test_a_group_is_replaced_whole_even_where_gpus_are_free() -> None:
    world = group(2, nodes=tuple(a_node(f"l4-{number}") for number in range(4)))
    assert world.deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert world.children[MEMBERS]["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": "100%"}


def test_a_model_on_one_node_has_nothing_of_a_group() -> None:
    world = group(1)
    assert not OF_GROUPS & world.children.keys()
    assert "--group-size" not in engine_in(world.deployment)["command"]
    assert all(variable["name"] != "BERTH_GROUP_REVISION" for variable in engine_in(world.deployment)["env"])


def test_what_belonged_to_a_group_goes_with_it_and_the_engine_stays() -> None:
    world = group(2)
    world.edit(accelerator={"profiles": ["l4"]}).step()
    assert {f"delete {kind} {name}" for kind, name in OF_GROUPS} == {one for one in world.written if "delete" in one}
    assert {("Deployment", "qwen-engine"), ("Service", "qwen-engine")} <= world.settle().children.keys()


def test_a_bad_edit_takes_no_member_away() -> None:
    world = group(2).serve()
    world.edit(accelerator={"profiles": ["no-such"]}).settle()
    assert world.children.keys() >= OF_GROUPS
    assert says(world.status, "Accepted") == ("False", "UnknownProfile")


def test_a_spread_over_nodes_counts_the_whole_group() -> None:
    constraint = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
    world = group(pod={"topologySpreadConstraints": [constraint]})
    for deployment in (world.deployment, world.children[MEMBERS]):
        (written,) = template_of(deployment)["spec"]["topologySpreadConstraints"]
        assert written["labelSelector"] == world.children[POLICY]["spec"]["podSelector"]


def test_weights_and_cache_are_shared_by_all_devices_of_the_group() -> None:
    gibi = 1 << 30
    report = a_report(format="Safetensors", sizeBytes=80 * gibi).replace("model.gguf", "model.safetensors")
    alone, four = group(1, report=report), group(4, report=report, nodes=(a_node("l4-1", gpus=4),))
    assert says(alone.status, "Fits") == ("False", "TooLargeForProfile")
    assert four.status["memory"]["perDeviceBytes"] == 21 * gibi
    assert "20.0 GiB of weights, the share of 80.0 GiB," in condition(four.status, "Fits")["message"]
    assert "for each of 4 pods" in condition(four.status, "Fits")["message"]


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ((a_node("a"), a_node("b")), "Fits"),
        ((a_node("a", gpus=2),), "Fits"),
        ((a_node("a"), a_node("other", gpu="l40")), "NoSuchNode"),
    ],
    ids=["two nodes", "one with room for both", "room for one"],
)
def test_each_pod_must_find_its_devices(nodes: tuple[Json, ...], reason: str) -> None:
    status = group(2, nodes=nodes).status
    assert says(status, "Fits")[1] == reason
    if reason == "NoSuchNode":
        assert "no room for 2 pods with 1 of nvidia.com/gpu" in condition(status, "Fits")["message"]


def test_only_vllm_computes_on_several_nodes() -> None:
    status = group(report=a_report()).status
    assert condition(status, "Accepted")["reason"] == "InvalidSpec"
    assert "spec.accelerator.nodes" in condition(status, "Accepted")["message"]
    assert "LlamaCpp computes in one pod" in condition(status, "Accepted")["message"]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"replicas": 2}, "spec.replicas"),
        ({"cache": {"type": "OwnedClaim", "ownedClaim": {"size": "5Gi"}}}, "spec.cache.ownedClaim.accessMode"),
    ],
)
def test_what_one_group_can_not_do_is_refused_by_field(changed: Json, field: str) -> None:
    document = {**group().document}
    document["spec"] = {**document["spec"], **changed}
    del document["status"]
    with pytest.raises(InvalidSpec) as refused:
        parse_object(document)
    assert [error.path for error in refused.value.errors] == [field]


def test_a_member_that_has_loaded_loses_the_label_that_lets_it_out() -> None:
    world = group(2)
    world.members = [a_member(world, fetch=ended(), engine=running())]
    world.step()
    assert "unlabel m" in world.written


def test_what_is_wrong_with_a_member_is_said_of_the_model() -> None:
    world = group(2)
    world.pods = [a_pod("h", revision=world.revision, fetch=ended(), engine=running())]
    world.members = [a_member(world, fetch=waiting("ImagePullBackOff", "no such image"))]
    world.step()
    assert says(world.status, "Progressing") == ("False", "ImagePullFailed")
    assert condition(world.status, "Progressing")["message"].startswith("in another pod of its group: ")


def test_a_head_that_waits_for_members_says_how_many_have_come() -> None:
    world = group(3)
    world.pods = [a_pod("h", revision=world.revision, fetch=ended(), engine=running())]
    world.members = [
        a_member(world, "m1", fetch=ended(), engine=running(), ready=True),
        a_member(world, "m2", fetch=running()),
    ]
    world.step()
    message = condition(world.status, "Progressing")["message"]
    assert message == "2 of the 3 pods that compute together have come"
    world.members[1] = a_member(world, "m2", fetch=ended(), engine=running(), ready=True)
    world.step()
    assert condition(world.status, "Progressing")["reason"] == "Loading"


def test_a_group_is_ready_when_its_head_answers() -> None:
    world = group(2).serve()
    world.members = [a_member(world, fetch=ended(), engine=running(), ready=True)]
    assert says(world.settle().status, "Ready") == ("True", "Ready")
