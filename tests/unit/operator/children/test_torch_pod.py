"""The pod of a Model that Torch serves: its image, its command, and what is trusted."""

import json
from typing import Any

import pytest
from operator_builders import Json, World, a_report, a_resolved_world, a_world, condition, says, some_settings

VIT = json.loads(a_report(format="Safetensors", task="ImageClassification").replace("model.gguf", "model.safetensors"))
VIT["artifact"]["architecture"] = "vit"
REPORT = json.dumps(VIT)
PICKLES = a_report(format="PyTorch", task="Embedding").replace("model.gguf", "pytorch_model.bin")
TRUSTED = {"trust": {"pickle": True}}


def engine(report: str = REPORT, **spec: Any) -> Json:
    (found,) = a_resolved_world(report=report, **spec).deployment["spec"]["template"]["spec"]["containers"]
    return dict(found)


def loader(world: World) -> list[str]:
    (found,) = world.deployment["spec"]["template"]["spec"]["initContainers"]
    command: list[str] = found["command"]
    return command


def test_what_only_transformers_knows_gets_torchs_image_and_command() -> None:
    container = engine()
    assert container["image"] == "berth/torch:1"
    assert container["command"][container["command"].index("--engine") + 1] == "Torch"
    assert container["startupProbe"]["failureThreshold"] == 360 + 500 // 32
    assert {variable["name"] for variable in container["env"]} == {"HOME"}


def test_its_libraries_are_counted_in_what_a_pod_requests() -> None:
    other = engine(a_report())["resources"]["requests"]["memory"]
    assert int(engine()["resources"]["requests"]["memory"].removesuffix("Mi")) == int(other.removesuffix("Mi")) + 512
    assert "1.0 GiB for the engine" in condition(a_resolved_world(report=REPORT).status, "Fits")["message"]


def test_nvidias_gpus_have_the_same_image_and_are_to_be_used() -> None:
    container = engine(accelerator={"profiles": ["l4"]})
    assert container["image"] == "berth/torch:1"
    assert container["command"][-2:] == ["--engine-arg", "device=cuda"]


def test_other_gpus_want_an_image_that_is_named() -> None:
    status = a_resolved_world(report=REPORT, accelerator={"profiles": ["mi300"]}).status
    assert says(status, "Accepted") == ("False", "UnsupportedField")
    assert "spec.engine.image" in condition(status, "Accepted")["message"]
    named = engine(accelerator={"profiles": ["mi300"]}, engine={"image": "example/torch-rocm:1"})
    assert named["image"] == "example/torch-rocm:1"


def test_an_installation_without_its_image_says_so() -> None:
    settings = some_settings(images=some_settings().images.model_copy(update={"torch": ""}))
    status = a_resolved_world(report=REPORT, settings=settings).status
    assert says(status, "Accepted") == ("False", "UnsupportedField")
    assert "images.torch" in condition(status, "Accepted")["message"]


def test_pickles_are_refused_by_the_field_that_would_let_them_in() -> None:
    status = a_resolved_world(report=PICKLES).status
    assert says(status, "Accepted") == ("False", "PickleRefused")
    assert "spec.trust.pickle" in condition(status, "Accepted")["message"]


def test_what_a_resolver_refuses_as_a_pickle_is_not_accepted() -> None:
    world = a_world()
    world.step()
    world.resolve(json.dumps({"reason": "PickleRefused", "message": "set `spec.trust.pickle` if …"}), code=1)
    world.step()
    assert says(world.status, "Accepted") == ("False", "PickleRefused")
    assert "Deployment" not in world.kinds()


def test_pickles_that_are_trusted_are_fetched_and_served_by_torch() -> None:
    world = a_resolved_world(report=PICKLES, **TRUSTED)
    (container,) = world.deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "berth/torch:1"
    assert "--trust-pickle" in container["command"]
    assert "--trust-pickle" in loader(world)


@pytest.mark.parametrize("trust", [{"pickle": True}, {"remoteCode": True}])
def test_resolver_loader_and_engine_hear_the_same_of_what_is_trusted(trust: Json) -> None:
    (word,) = ({"pickle": "--trust-pickle", "remoteCode": "--trust-remote-code"}[name] for name in trust)
    world = a_world(trust=trust)
    world.step()
    (job,) = world.jobs()
    assert word in job["spec"]["template"]["spec"]["containers"][0]["command"]
    world = a_resolved_world(report=REPORT, trust=trust)
    assert word in loader(world)
    assert word in engine(trust=trust)["command"]
    assert not [part for part in engine()["command"] if "trust" in part]
