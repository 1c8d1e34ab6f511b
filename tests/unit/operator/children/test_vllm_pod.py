"""The pod of a Model that vLLM serves: its image, what it may write, and how long it may start."""

from typing import Any

import pytest
from operator_builders import Json, World, a_report, a_resolved_world, condition, says, some_settings

L4 = {"profiles": ["l4"]}
SAFETENSORS = a_report(format="Safetensors").replace("model.gguf", "model.safetensors")


def world(**spec: Any) -> World:
    known = {"report": SAFETENSORS, "accelerator": L4, **spec}
    return a_resolved_world(**{name: value for name, value in known.items() if value is not None})


def pod(**spec: Any) -> Json:
    found: Json = world(**spec).deployment["spec"]["template"]["spec"]
    return found


def engine(**spec: Any) -> Json:
    (found,) = pod(**spec)["containers"]
    return dict(found)


def variables(container: Json) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["env"]}


def test_safetensors_with_a_gpu_get_vllms_image_and_command() -> None:
    container = engine()
    assert container["image"] == "berth/vllm:1"
    assert container["command"][:5] == ["python", "-m", "berth_runtime", "--model", "qwen=/models/model"]
    assert container["command"][-2:] == ["--engine-arg", "tensor-parallel-size=1"]
    assert container["command"][container["command"].index("--engine") + 1] == "VLLM"


@pytest.mark.parametrize(("asked", "size"), [({}, "2Gi"), ({"sharedMemory": "8Gi"}, "8Gi")])
def test_its_processes_have_shared_memory_to_talk_by(asked: Json, size: str) -> None:
    template = pod(accelerator={**L4, **asked})
    (volume,) = [volume for volume in template["volumes"] if volume["name"] == "shm"]
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": size}
    assert {"name": "shm", "mountPath": "/dev/shm"} in template["containers"][0]["volumeMounts"]


def test_all_that_it_compiles_has_a_place_of_its_own() -> None:
    template = pod()
    (volume,) = [volume for volume in template["volumes"] if volume["name"] == "cache"]
    container = template["containers"][0]
    assert volume["emptyDir"] == {"sizeLimit": "8Gi"}
    assert {"name": "cache", "mountPath": "/cache"} in container["volumeMounts"]
    assert variables(container) == {"HOME": "/tmp", "XDG_CACHE_HOME": "/cache", "HF_HUB_OFFLINE": "1"}
    assert container["resources"]["limits"]["ephemeral-storage"] == f"{2829 + 8192}Mi"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_who_names_a_cache_keeps_it() -> None:
    container = engine(pod={"env": [{"name": "XDG_CACHE_HOME", "value": "/tmp/mine"}]})
    assert variables(container)["XDG_CACHE_HOME"] == "/tmp/mine"


def test_other_engines_have_none_of_that() -> None:
    template = pod(report=a_report())
    assert {volume["name"] for volume in template["volumes"]} == {"models", "tmp"}
    assert set(variables(template["containers"][0])) == {"HOME"}


def test_it_may_take_longer_to_start() -> None:
    assert engine()["startupProbe"]["failureThreshold"] == 900 + 500 // 32
    assert engine(report=a_report())["startupProbe"]["failureThreshold"] == 180 + 500 // 32
    assert engine(rollout={"startDeadline": "5m"})["startupProbe"]["failureThreshold"] == 300


def test_without_a_gpu_a_sentence_says_what_to_do() -> None:
    status = world(accelerator=None).status
    assert says(status, "Accepted")[0] == "False"
    assert "wants a GPU" in condition(status, "Accepted")["message"]


def test_on_the_cpu_it_is_served_by_an_image_that_is_named() -> None:
    status = world(accelerator=None, engine={"type": "VLLM"}).status
    assert says(status, "Accepted") == ("False", "UnsupportedField")
    message = condition(status, "Accepted")["message"]
    assert "images.vllmCpu" in message
    assert "spec.engine.image" in message
    named = engine(accelerator=None, engine={"type": "VLLM", "image": "example/vllm-cpu:1"})
    assert named["image"] == "example/vllm-cpu:1"
    assert "tensor-parallel-size=1" not in named["command"]


def test_on_the_cpu_it_asks_for_what_it_takes_and_is_told_no_more() -> None:
    images = some_settings().images.model_copy(update={"vllm_cpu": "berth/vllm-cpu:1"})
    here = world(accelerator=None, engine={"type": "VLLM"}, settings=some_settings(images=images))
    (container,) = here.deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "berth/vllm-cpu:1"
    assert container["command"][-1] == f"kv-cache-memory-bytes={2 << 30}"
    weights = here.status["memory"]["weightsBytes"]
    needed = weights + (2 << 30) + (3 << 30)
    assert here.status["memory"]["perDeviceBytes"] == needed
    assert container["resources"]["requests"]["memory"] == f"{-(-needed // (1 << 20))}Mi"
    assert "2.0 GiB of KV cache + 3.0 GiB for the engine" in condition(here.status, "Fits")["message"]


def test_on_other_gpus_than_nvidias_too() -> None:
    status = world(accelerator={"profiles": ["mi300"]}).status
    assert "NVIDIA" in condition(status, "Accepted")["message"]
    named = engine(accelerator={"profiles": ["mi300"]}, engine={"type": "VLLM", "image": "example/vllm-rocm:1"})
    assert named["image"] == "example/vllm-rocm:1"


def test_an_installation_without_vllms_image_says_so() -> None:
    settings = some_settings(images=some_settings().images.model_copy(update={"vllm": ""}))
    status = world(settings=settings).status
    assert says(status, "Accepted") == ("False", "UnsupportedField")
    assert "images.vllm" in condition(status, "Accepted")["message"]
