"""From a resolved Model to the objects that serve it: engine, hardware, image, and the children that come of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from berth_api.adapters import check_adapters
from berth_api.artifact import Artifact, EngineType
from berth_api.conditions import Reason
from berth_api.drafts import check_draft
from berth_api.engines import choose_engine
from berth_api.errors import FieldError, InvalidSpec
from berth_api.launch import Launch, build_launch
from berth_api.model import Model
from berth_api.names import ANNOTATION_APPLIED_HASH, LABEL_MODEL, LABEL_REVISION
from berth_kube.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    NETWORK_POLICIES,
    PERSISTENT_VOLUME_CLAIMS,
    SERVICES,
    Object,
)
from berth_operator.children.claim import build_claim
from berth_operator.children.deployment import build_deployment
from berth_operator.children.disruption_budget import build_disruption_budget
from berth_operator.children.group import build_group_service, build_members
from berth_operator.children.metadata import Manifest
from berth_operator.children.names import ENGINE_PORT, TEMPLATE_FOLDER
from berth_operator.children.network_policy import build_engine_policy, build_group_policy, build_loading_policy
from berth_operator.children.place import ExtraPlace, Place, build_extra_place, build_place
from berth_operator.children.pod import Serving, build_pod_template
from berth_operator.children.prefetch import build_prefetch
from berth_operator.children.probes import start_seconds
from berth_operator.children.service import build_service
from berth_operator.extras import DRAFT, extras_of
from berth_operator.placement import Before, Hardware, Placement, place
from berth_operator.plan import Apply
from berth_operator.pods import has_ended
from berth_operator.resolution import Resolution, artifact_of
from berth_operator.resolving import Resolving
from berth_operator.rollout import Rollout
from berth_operator.settings import Backend, OperatorSettings

_IMAGE_OF: Final = {Backend.CUDA: "cuda", Backend.ROCM: "rocm"}


@dataclass(frozen=True)
class EnginePlan:
    """What serves a Model, chosen. `writes` are its children; there are none where they would only do harm."""

    engine: EngineType
    artifact: Artifact
    placement: Placement
    revision: str
    start_seconds: int
    surge: bool
    writes: tuple[Apply, ...]
    applied_hash: str = ""


def plan_engine(
    model: Model, resolving: Resolving, hardware: Hardware, rollout: Rollout, settings: OperatorSettings
) -> EnginePlan:
    """Choose and build. Raises InvalidSpec or UnsupportedModel where the Model can't be served as it asks."""
    resolution, found = resolving.resolution, resolving.extras
    assert resolution is not None
    artifact = artifact_of(model, resolution)
    gpu = model.spec.accelerator is not None
    engine = choose_engine(artifact, wanted=model.spec.engine.type, gpu=gpu)
    _check_extras(engine, artifact, found)
    whole = _with_extras(artifact, found)
    there, extras = build_place(model, whole), tuple(_extra_places(model, found))
    launch = _launch(model, artifact, resolution, there, extras)
    placement = place(model, whole, hardware, settings, _before(model, hardware, rollout), engine=engine)
    image = _image(model, engine, placement, settings)
    serving = Serving(model, whole, launch, image, placement, there, extras, resolution.revision)
    template = build_pod_template(serving, settings)
    revision = template["metadata"]["labels"][LABEL_REVISION]
    surge = model.spec.group_size == 1 and _surges(placement, rollout, revision)
    deployment = build_deployment(serving, resolution, template, surge=surge, extras=found)
    pods = Apply(DEPLOYMENTS, deployment), *_members(serving, template)
    writes = (*_before_pods(model, settings), *pods, *_after_pods(serving, settings))
    return EnginePlan(
        engine=engine,
        artifact=artifact,
        placement=placement,
        revision=revision,
        start_seconds=start_seconds(model, whole, engine),
        surge=surge,
        writes=() if _would_harm(placement, rollout) else writes,
        applied_hash=deployment["metadata"]["annotations"][ANNOTATION_APPLIED_HASH],
    )


def _check_extras(engine: EngineType, artifact: Artifact, extras: Mapping[str, Resolution]) -> None:
    """Raise InvalidSpec for what the engine can't serve beside the artifact."""
    found = {key: extra.artifact for key, extra in extras.items()}
    draft = found.pop(DRAFT, None)
    check_adapters(engine, artifact, found)
    if draft is not None:
        check_draft(engine, artifact, draft)


def _with_extras(artifact: Artifact, extras: Mapping[str, Resolution]) -> Artifact:
    """The artifact with the size of all that is fetched and loaded, where that is known."""
    sizes = [artifact.size_bytes, *(extra.artifact.size_bytes for extra in extras.values())]
    known = [size for size in sizes if size is not None]
    return artifact.model_copy(update={"size_bytes": sum(known)}) if len(known) == len(sizes) else artifact


def _extra_places(model: Model, extras: Mapping[str, Resolution]) -> Iterator[ExtraPlace]:
    for extra in extras_of(model.spec):
        found = extras[extra.key]
        assert found.artifact.digest is not None  # Nothing else is read from a report, or from an annotation.
        yield build_extra_place(model, extra, found.artifact.digest, found.revision)


def _before(model: Model, hardware: Hardware, rollout: Rollout) -> Before:
    own = (pod for pod in hardware.pods if _is_of(pod, model) and not has_ended(pod))
    return Before(rollout.profile, rollout.ready > 0 or any(pod["spec"].get("nodeName") for pod in own))


def _is_of(pod: Object, model: Model) -> bool:
    metadata = pod["metadata"]
    is_near = metadata.get("namespace") == model.metadata.namespace
    return is_near and (metadata.get("labels") or {}).get(LABEL_MODEL) == model.metadata.name


def _before_pods(model: Model, settings: OperatorSettings) -> Iterator[Apply]:
    """What must be there first: no pod of ours runs for a moment without its policies, or at all if one is refused."""
    yield Apply(NETWORK_POLICIES, build_engine_policy(model, settings))
    yield Apply(NETWORK_POLICIES, build_loading_policy(model))
    yield Apply(SERVICES, build_service(model))
    if model.spec.group_size > 1:
        yield Apply(NETWORK_POLICIES, build_group_policy(model, settings))
        yield Apply(SERVICES, build_group_service(model))
    claim = build_claim(model)
    if claim is not None:
        yield Apply(PERSISTENT_VOLUME_CLAIMS, claim)


def _members(serving: Serving, template: Manifest) -> Iterator[Apply]:
    if serving.model.spec.group_size > 1:
        yield Apply(DEPLOYMENTS, build_members(serving.model, serving.launch, template))


def _after_pods(serving: Serving, settings: OperatorSettings) -> Iterator[Apply]:
    budget = build_disruption_budget(serving.model)
    if budget is not None:
        yield Apply(DISRUPTION_BUDGETS, budget)
    if serving.model.spec.cache.prefetch:
        yield Apply(DAEMON_SETS, build_prefetch(serving, settings))


def _launch(
    model: Model, artifact: Artifact, resolution: Resolution, there: Place, extras: tuple[ExtraPlace, ...]
) -> Launch:
    # The runtime looks for itself; where the Model names an engine, it is shown the file that this engine loads.
    named = model.spec.engine.type is not EngineType.AUTO and resolution.weights
    template = model.spec.chat_template
    holds = (there.hold_path, *(extra.hold_path for extra in extras))
    paths = {extra.key: extra.path for extra in extras}
    draft_path = paths.pop(DRAFT, None)
    return build_launch(
        model,
        artifact,
        model_path=f"{there.model_path}/{resolution.weights}" if named else there.model_path,
        port=ENGINE_PORT,
        chat_template_path=f"{TEMPLATE_FOLDER}/{template.config_map_ref.key}" if template is not None else None,
        adapter_paths=paths,
        draft_path=draft_path,
        hold_paths=tuple(dict.fromkeys(path for path in holds if path is not None)),
    )


def _image(model: Model, engine: EngineType, placement: Placement, settings: OperatorSettings) -> str:
    if model.spec.engine.image:
        return model.spec.engine.image
    if engine is EngineType.VLLM:
        return _vllm_image(placement, settings)
    if engine is EngineType.TORCH:
        return _torch_image(placement, settings)
    if placement.profile is None:
        return settings.images.cpu
    which = _IMAGE_OF[placement.profile.backend]
    image: str = getattr(settings.images, which)
    if not image:
        message = f"this installation has no image for {placement.profile.backend}"
        remedy = f"set images.{which} in the chart's values, or spec.engine.image"
        raise InvalidSpec(FieldError("spec.accelerator", message, remedy, Reason.UNSUPPORTED_FIELD))
    return image


def _vllm_image(placement: Placement, settings: OperatorSettings) -> str:
    """Each build of vLLM computes on one kind of hardware; for GPUs that are not NVIDIA's none is ours."""
    if placement.profile is None:
        image, field, where = settings.images.vllm_cpu, "images.vllmCpu", " on the CPU"
    elif placement.profile.backend is Backend.CUDA:
        image, field, where = settings.images.vllm, "images.vllm", ""
    else:
        message = f"Berth's image of VLLM is for NVIDIA GPUs, and this Model is to run on {placement.profile.backend}"
        remedy = "name an image with a build for it in spec.engine.image, or use a GGUF file, which LlamaCpp serves"
        raise InvalidSpec(FieldError("spec.engine.type", message, remedy, Reason.UNSUPPORTED_FIELD))
    if not image:
        message = f"this installation has no image for VLLM{where}"
        remedy = f"set {field} in the chart's values, or name an image in spec.engine.image"
        raise InvalidSpec(FieldError("spec.engine.type", message, remedy, Reason.UNSUPPORTED_FIELD))
    return image


def _torch_image(placement: Placement, settings: OperatorSettings) -> str:
    """One image for CPUs and for NVIDIA's GPUs: PyTorch's usual build computes on both."""
    if placement.profile is not None and placement.profile.backend is not Backend.CUDA:
        message = f"Berth's image of Torch computes on the CPU and on NVIDIA GPUs, not on {placement.profile.backend}"
        remedy = (
            "build its target with PyTorch for that, and name it in spec.engine.image, or leave out spec.accelerator"
        )
        raise InvalidSpec(FieldError("spec.engine.type", message, remedy, Reason.UNSUPPORTED_FIELD))
    if not settings.images.torch:
        message = "this installation has no image for Torch, which serves this model"
        remedy = "set images.torch in the chart's values, name one in spec.engine.image, or bring the model as ONNX"
        raise InvalidSpec(FieldError("spec.engine.type", message, remedy, Reason.UNSUPPORTED_FIELD))
    return settings.images.torch


def _surges(placement: Placement, rollout: Rollout, revision: str) -> bool:
    """Whether new pods start beside the old ones. With GPUs only if one is free, or both would wait for ever.

    It is decided when a revision begins and then kept: nodes that fill and empty must not rewrite a Deployment.
    """
    if placement.profile is None:
        return True
    if rollout.exists and rollout.revision == revision:
        return rollout.surges
    return placement.has_free is True


def _would_harm(placement: Placement, rollout: Rollout) -> bool:
    """Pods that can't run must not take the place of those that serve; where none do, they may wait for a node."""
    return placement.is_hopeless or (placement.has_no_node and rollout.ready > 0)
