"""Which hardware a Model gets, and whether it fits there."""

from typing import Any

import pytest
from operator_builders import (
    Json,
    World,
    a_node,
    a_pod,
    a_ready_pod,
    a_report,
    a_resolved_world,
    a_serving_world,
    a_world,
    condition,
    running,
    says,
    some_settings,
)

from berth_operator.model_plan import DEVICES_SECONDS
from berth_operator.nodes import free_devices, matching_nodes

GIBI = 1 << 30
L4, MI300 = a_node("l4-1", gpu="l4"), a_node("amd-1", resource="amd.com/gpu", gpu="mi300")


def a_gpu_world(*nodes: Json, see: bool = True, **known: Any) -> World:
    accelerator = {"profiles": ["l4", "mi300"], **known.pop("accelerator", {})}
    accelerator = {name: value for name, value in accelerator.items() if value is not None}
    return a_resolved_world(accelerator=accelerator, nodes=nodes if see else None, **known)


def a_holder(node: str, gpus: int = 1, phase: str = "Running") -> Json:
    limits = {"nvidia.com/gpu": str(gpus)}
    return {
        "metadata": {"name": f"holder-{node}", "namespace": "other", "uid": f"holder-{node}"},
        "spec": {"nodeName": node, "containers": [{"name": "engine", "resources": {"limits": limits}}]},
        "status": {"phase": phase},
    }


def test_the_first_profile_with_a_free_device_is_taken() -> None:
    assert a_gpu_world(L4, MI300).status["profile"] == "l4"
    assert a_gpu_world(MI300).status["profile"] == "mi300"


def test_a_profile_whose_devices_are_all_held_comes_after_one_with_room() -> None:
    world = a_world(accelerator={"profiles": ["l4", "mi300"]}, nodes=(L4, MI300))
    world.step()
    world.resolve()
    plan = world.plan(device_pods=(a_holder("l4-1"),))
    assert plan.status is not None
    assert plan.status["profile"] == "mi300"


def test_where_none_has_room_the_first_with_nodes_is_taken() -> None:
    world = a_world(accelerator={"profiles": ["mi300", "l4"]}, nodes=(L4,))
    world.step()
    world.resolve()
    plan = world.plan(device_pods=(a_holder("l4-1"),))
    assert plan.status is not None
    assert plan.status["profile"] == "l4"


def test_a_chosen_profile_is_kept_when_a_better_one_becomes_free() -> None:
    world = a_gpu_world(MI300).serve().settle()
    world.nodes = (L4, MI300)
    world.settle()
    assert world.status["profile"] == "mi300"
    assert world.written == []


def a_pending(world: World) -> Json:
    pod = a_pod(revision=world.revision, scheduled="1 Insufficient nvidia.com/gpu.")
    del pod["spec"]["nodeName"]
    return pod


def test_a_profile_on_which_pods_only_wait_is_left_for_one_with_room() -> None:
    world = a_gpu_world(L4)
    world.serve(0, a_pending(world), a_holder("l4-1"))
    world.settle()
    assert world.status["profile"] == "l4"
    world.nodes = (L4, MI300)
    world.settle()
    assert world.status["profile"] == "mi300"


def test_pods_that_wait_are_not_made_anew_where_no_profile_has_room() -> None:
    world = a_gpu_world(MI300)
    world.nodes = (L4, MI300 | {"spec": {"unschedulable": True}})
    world.serve(0, a_pending(world), a_holder("l4-1"))
    world.settle()
    assert world.status["profile"] == "mi300"


def test_a_pod_that_has_its_device_and_still_starts_keeps_the_profile() -> None:
    world = a_gpu_world(L4)
    starting = a_pod(revision=world.revision, fetch=running())
    starting["spec"] |= a_holder("l4-1")["spec"]
    world.serve(0, starting)
    world.nodes = (L4, MI300)
    world.settle()
    assert world.status["profile"] == "l4"


def test_a_model_that_waits_for_a_device_is_looked_at_again_for_others_give_theirs_back_unheard() -> None:
    world = a_gpu_world(L4, MI300)
    world.serve(0, a_pending(world), a_holder("l4-1"), a_holder("l4-1"))
    world.nodes = (L4, MI300 | {"spec": {"unschedulable": True}})
    world.settle()
    assert world.plan().again_after_seconds == DEVICES_SECONDS
    world.serve(1, a_ready_pod(revision=world.revision), a_holder("l4-1")).settle()
    assert world.plan().again_after_seconds is None


def test_a_pod_that_has_ended_keeps_no_profile() -> None:
    world = a_gpu_world(L4)
    ended_pod = a_pod("evicted", revision=world.revision, status={"phase": "Failed", "reason": "Evicted"})
    world.serve(0, ended_pod, a_pending(world), a_holder("l4-1"))
    world.nodes = (L4, MI300)
    world.settle()
    assert world.status["profile"] == "mi300"


def test_a_chosen_profile_is_left_when_the_user_drops_it() -> None:
    world = a_gpu_world(L4, MI300).serve().settle()
    world.edit(accelerator={"profiles": ["mi300"]}).settle()
    assert world.status["profile"] == "mi300"


def test_memory_takes_the_smallest_profile_that_suffices() -> None:
    assert a_gpu_world(accelerator={"profiles": None, "memory": "20Gi"}, see=False).status["profile"] == "l4"
    assert a_gpu_world(accelerator={"profiles": None, "memory": "25Gi"}, see=False).status["profile"] == "mi300"


def test_more_memory_than_any_profile_has_is_refused_with_what_there_is() -> None:
    world = a_world(accelerator={"memory": "900Gi"}).settle()
    assert says(world.status, "Accepted") == ("False", "UnknownProfile")
    message = condition(world.status, "Accepted")["message"]
    assert "spec.accelerator.memory: no profile has 900Gi" in message
    assert "`l4` (24Gi), `mi300` (192Gi)" in message
    assert world.children == {}


def test_an_unknown_profile_is_refused_by_its_place_even_before_the_source_is_known() -> None:
    world = a_world(accelerator={"profiles": ["l4", "l5"]}).settle()
    assert says(world.status, "Accepted") == ("False", "UnknownProfile")
    assert "spec.accelerator.profiles[1]: there is no profile `l5`" in condition(world.status, "Accepted")["message"]


def test_a_model_that_fits_says_the_sum() -> None:
    world = a_gpu_world(L4)
    assert says(world.status, "Fits") == ("True", "Fits")
    assert "1.5 GiB (500.0 MiB of weights + 1.0 GiB for the engine)" in condition(world.status, "Fits")["message"]
    assert world.status["memory"] == {
        "weightsBytes": 500 << 20,
        "overheadBytes": GIBI,
        "perDeviceBytes": (500 << 20) + GIBI,
        "deviceBytes": 24 * GIBI,
    }


def test_a_model_too_large_for_every_profile_is_told_the_sum_and_started_nowhere() -> None:
    world = a_gpu_world(L4, report=a_report(sizeBytes=500 * GIBI))
    assert says(world.status, "Fits") == ("False", "TooLargeForProfile")
    assert "501.0 GiB (500.0 GiB of weights + 1.0 GiB for the engine)" in condition(world.status, "Fits")["message"]
    assert "Deployment" not in world.kinds()
    assert says(world.status, "Ready") == ("False", "TooLargeForProfile")
    assert world.events[-1] == "Warning TooLargeForProfile"


def test_several_devices_share_the_weights() -> None:
    report = a_report(sizeBytes=300 * GIBI)
    world = a_gpu_world(accelerator={"profiles": ["mi300"], "count": 2}, see=False, report=report)
    assert world.status["memory"]["perDeviceBytes"] == 151 * GIBI
    assert "the share of 300.0 GiB" in condition(world.status, "Fits")["message"]


ON_L4 = {"profiles": ["l4"]}
A_LONG_ONE = {"format": "Safetensors", "sizeBytes": 16 * GIBI, "kvBytesPerToken": 147_456, "contextLength": 131_072}


def test_the_kv_cache_of_one_request_counts_where_the_artifact_says_what_a_token_takes() -> None:
    world = a_gpu_world(L4, accelerator=ON_L4, report=a_report(**A_LONG_ONE))
    assert says(world.status, "Fits") == ("False", "TooLargeForProfile")
    message = condition(world.status, "Fits")["message"]
    sum_words = "16.0 GiB of weights + 18.0 GiB of KV cache for one request of the longest context + 1.0 GiB"
    assert sum_words in message
    assert "a lower spec.contextLength" in message
    assert world.status["memory"]["kvCacheBytes"] == 18 * GIBI
    world = a_gpu_world(L4, accelerator=ON_L4, report=a_report(**A_LONG_ONE), contextLength=32768)
    assert says(world.status, "Fits") == ("True", "Fits")
    assert world.status["memory"]["perDeviceBytes"] == int((16 + 4.5 + 1) * GIBI)


def test_arguments_that_change_the_sum_are_counted() -> None:
    narrow = a_gpu_world(L4, accelerator=ON_L4, report=a_report(**A_LONG_ONE), engine={"args": ["kv-cache-dtype=fp8"]})
    assert "kvCacheBytes" not in narrow.status["memory"], "how wide its numbers are is vLLM's affair"
    short = {"accelerator": ON_L4, "contextLength": 8192, "report": a_report(**{**A_LONG_ONE, "sizeBytes": 30 * GIBI})}
    assert says(a_gpu_world(L4, **short).status, "Fits") == ("False", "TooLargeForProfile")
    offloaded = a_gpu_world(L4, **short, engine={"args": ["cpu-offload-gb=10"]})
    assert says(offloaded.status, "Fits") == ("True", "Fits")


def test_the_first_profile_that_the_artifact_fits_is_taken() -> None:
    assert a_gpu_world(L4, MI300, report=a_report(sizeBytes=40 * GIBI)).status["profile"] == "mi300"


def test_an_edit_that_would_not_fit_leaves_what_serves() -> None:
    world = a_gpu_world(MI300, report=a_report(sizeBytes=40 * GIBI)).serve().settle()
    before = world.deployment["spec"]
    world.edit(accelerator={"profiles": ["l4"]}).settle()
    assert says(world.status, "Fits") == ("False", "TooLargeForProfile")
    assert world.deployment["spec"] == before
    assert says(world.status, "Ready") == ("True", "Ready")


def test_without_any_node_of_the_profile_the_administrator_is_told() -> None:
    world = a_gpu_world(a_node("cpu-1", gpus=0, gpu="none"))
    assert says(world.status, "Fits") == ("False", "NoSuchNode")
    assert "profile l4" in condition(world.status, "Fits")["message"]


def test_a_pod_waits_where_no_node_is_there_so_that_an_autoscaler_can_bring_one() -> None:
    assert "Deployment" in a_gpu_world().kinds()


def test_an_edit_to_a_profile_without_nodes_leaves_what_serves() -> None:
    world = a_gpu_world(MI300).serve().settle()
    before = world.deployment["spec"]
    world.edit(accelerator={"profiles": ["l4"]}).settle()
    assert says(world.status, "Fits") == ("False", "NoSuchNode")
    assert world.deployment["spec"] == before
    assert says(world.status, "Available") == ("True", "Available")


def test_where_nodes_can_not_be_seen_the_first_profile_is_taken_and_nobody_knows() -> None:
    world = a_gpu_world(see=False)
    assert world.status["profile"] == "l4"
    assert says(world.status, "Fits") == ("Unknown", "Unknown")


def test_without_a_size_nobody_knows() -> None:
    assert says(a_gpu_world(L4, report=a_report(sizeBytes=None)).status, "Fits") == ("Unknown", "Unknown")
    assert says(a_resolved_world(report=a_report(sizeBytes=None)).status, "Fits") == ("Unknown", "Unknown")


def test_on_the_cpu_a_memory_limit_below_the_weights_is_told() -> None:
    world = a_resolved_world(resources={"limits": {"memory": "400Mi"}})
    assert says(world.status, "Fits") == ("False", "TooLargeForProfile")
    assert "spec.resources.limits.memory is 400Mi" in condition(world.status, "Fits")["message"]
    assert says(a_resolved_world(resources={"limits": {"memory": "600Mi"}}).status, "Fits") == ("True", "Fits")


def test_an_installation_without_the_image_says_so() -> None:
    images = some_settings().images.model_copy(update={"cuda": ""})
    world = a_gpu_world(L4, settings=some_settings(images=images))
    assert says(world.status, "Accepted") == ("False", "UnsupportedField")
    assert "images.cuda" in condition(world.status, "Accepted")["message"]


@pytest.mark.parametrize(
    ("nodes", "surges"), [((a_node("l4-1", gpus=2, gpu="l4"),), True), ((L4,), False), (None, False)]
)
def test_a_new_revision_surges_only_into_a_gpu_that_is_free(nodes: tuple[Json, ...] | None, surges: bool) -> None:
    world = a_serving_world(accelerator={"profiles": ["l4"]}, nodes=nodes)
    holder = a_holder("l4-1")
    world.pods[0]["spec"] |= holder["spec"]
    world.edit(contextLength=2048).settle()
    assert world.deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == int(surges)


def test_the_strategy_is_kept_while_the_revision_stays() -> None:
    world = a_serving_world(accelerator={"profiles": ["l4"]}, nodes=(L4,))
    assert world.deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    world.pods[0]["spec"] |= a_holder("l4-1")["spec"]
    world.step()
    assert world.written == []


def test_nodes_are_meant_by_labels() -> None:
    nodes = [L4, MI300, a_node("big", gpus=8, gpu="l4"), {"metadata": {"name": "bare"}}]
    assert [node["metadata"]["name"] for node in matching_nodes(nodes, {"gpu": "l4"})] == ["l4-1", "big"]


def test_a_pod_wants_all_its_devices_on_one_node() -> None:
    world = a_gpu_world(L4, a_node("l4-2", gpu="l4"), accelerator={"profiles": ["l4"], "count": 2})
    assert says(world.status, "Fits") == ("False", "NoSuchNode")


@pytest.mark.parametrize(
    ("pods", "free"),
    [
        ([], 4),
        ([a_holder("n", 1), a_holder("n", 2)], 1),
        ([a_holder("other", 3)], 4),
        ([a_holder("n", 3, "Succeeded")], 4),
        ([a_holder("n", 9)], 0),
    ],
)
def test_free_is_what_no_pod_of_ours_holds(pods: list[Json], free: int) -> None:
    assert free_devices(a_node("n", gpus=4), "nvidia.com/gpu", pods) == free


def test_a_node_that_is_cordoned_has_nothing_free() -> None:
    node = a_node("n", gpus=4) | {"spec": {"unschedulable": True}}
    assert free_devices(node, "nvidia.com/gpu", []) == 0


def test_an_amount_that_is_none_counts_as_zero() -> None:
    assert free_devices(a_node("n") | {"status": {"allocatable": {"nvidia.com/gpu": "x"}}}, "nvidia.com/gpu", []) == 0
