"""Where a Model's pods may run: on the CPU, or on the first profile that its artifact fits and that has nodes.

A profile that was chosen is kept while it can be: otherwise a GPU that becomes free elsewhere would restart a model.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from berth_api.arguments import split_argument
from berth_api.artifact import Artifact, EngineType
from berth_api.conditions import Condition, ConditionType, Reason
from berth_api.errors import FieldError, InvalidSpec
from berth_api.launch import asked_cache_bytes
from berth_api.memory import GIBIBYTE, fit_on_devices, fit_on_host, kv_cache_bytes, share_bytes
from berth_api.model import Model
from berth_api.model_status import MemoryFit
from berth_api.quantity import Quantity
from berth_api.scale import Accelerator
from berth_api.sizes import size_words
from berth_kube.resources import Object
from berth_operator.conditions import holds, not_holds, unknown
from berth_operator.nodes import all_devices, free_devices, matching_nodes
from berth_operator.settings import OperatorSettings, Profile


@dataclass(frozen=True)
class Placement:
    """The chosen hardware. `name` and `profile` are empty on the CPU; `condition` is `Fits`.

    `has_free` says whether a node could take one more pod now; None where nodes can't be seen.
    """

    memory: MemoryFit
    condition: Condition
    name: str = ""
    profile: Profile | None = None
    count: int = 0
    has_free: bool | None = None

    @property
    def is_hopeless(self) -> bool:
        """Whether pods started there could not run: they would only take the place of what serves."""
        return self.condition.reason == Reason.TOO_LARGE_FOR_PROFILE

    @property
    def has_no_node(self) -> bool:
        """Whether no node that we see is of this kind. One may come, and an autoscaler may wait for a pod to ask."""
        return self.condition.reason == Reason.NO_SUCH_NODE


@dataclass(frozen=True)
class Before:
    """The profile that was chosen before. `is_held`: pods of the Model have devices of it, ready or on their way."""

    profile: str = ""
    is_held: bool = False


@dataclass(frozen=True)
class Hardware:
    """What is known of the cluster's machines: its nodes if we may see them, and all pods that hold devices."""

    nodes: Sequence[Object] | None = None
    pods: Sequence[Object] = ()


def place(
    model: Model,
    artifact: Artifact,
    hardware: Hardware,
    settings: OperatorSettings,
    before: Before,
    *,
    engine: EngineType = EngineType.AUTO,
) -> Placement:
    """Choose the place for an engine. Raises InvalidSpec where no profile can be meant."""
    accelerator = model.spec.accelerator
    if accelerator is None:
        return _on_host(model, artifact, engine)
    profiles = candidates(accelerator, settings.profiles)
    arguments = dict(split_argument(argument) for argument in model.spec.engine.args)
    kv_cache = kv_cache_bytes(
        artifact, context_length=model.spec.context_length, dtype=arguments.get("kv-cache-dtype", "auto")
    )
    offloaded = round(float(arguments.get("cpu-offload-gb", "0")) * GIBIBYTE)
    wish = _Wish(artifact, accelerator.count, accelerator.nodes, kv_cache, offloaded, model.spec.pod.node_selector)
    return _prefer([_on_profile(name, profile, wish, hardware) for name, profile in profiles.items()], before)


@dataclass(frozen=True)
class _Wish:
    """`count` devices for each of `pods`, which share weights and KV cache among all of them."""

    artifact: Artifact
    count: int
    pods: int
    kv_cache_bytes: int | None
    offloaded_bytes: int
    node_selector: Mapping[str, str]

    @property
    def devices(self) -> int:
        return self.count * self.pods

    def has_room(self, devices: Iterable[int]) -> bool:
        """Whether all pods find their devices on nodes that have so many each."""
        return sum(there // self.count for there in devices) >= self.pods


def candidates(accelerator: Accelerator, profiles: Mapping[str, Profile]) -> dict[str, Profile]:
    """The profiles that an accelerator may mean, the preferred first. By memory, the smallest that suffices leads."""
    if accelerator.profiles is not None:
        errors = [
            FieldError(
                f"spec.accelerator.profiles[{index}]",
                f"there is no profile `{name}`",
                f"use one of {_listed(profiles)}, or ask the administrator for it",
                Reason.UNKNOWN_PROFILE,
            )
            for index, name in enumerate(accelerator.profiles)
            if name not in profiles
        ]
        if errors:
            raise InvalidSpec(*errors)
        return {name: profiles[name] for name in accelerator.profiles}
    assert accelerator.memory is not None
    return _by_memory(accelerator.memory, profiles)


def _by_memory(memory: Quantity, profiles: Mapping[str, Profile]) -> dict[str, Profile]:
    enough = {name: profile for name, profile in profiles.items() if profile.memory.bytes >= memory.bytes}
    if not enough:
        message = f"no profile has {memory} on one GPU"
        remedy = f"ask for less, for the profiles are {_listed(profiles)}, or ask the administrator for a larger one"
        raise InvalidSpec(FieldError("spec.accelerator.memory", message, remedy, Reason.UNKNOWN_PROFILE))
    return dict(sorted(enough.items(), key=lambda item: (item[1].memory.bytes, item[0])))


def _listed(profiles: Mapping[str, Profile]) -> str:
    return ", ".join(f"`{name}` ({profile.memory})" for name, profile in sorted(profiles.items())) or "(none)"


def _on_host(model: Model, artifact: Artifact, engine: EngineType) -> Placement:
    memory = _host_memory(model, artifact, engine)
    if memory.per_device_bytes is None:
        return Placement(memory, _size_unknown())
    limit = model.spec.resources.limits.get("memory")
    # A limit just above the weights is slow and not hopeless: the kernel reads from the disk again what it let go.
    if limit is not None and memory.weights_bytes is not None and limit.bytes < memory.weights_bytes:
        message = (
            f"{_sum(memory)} are needed, and spec.resources.limits.memory is {limit}, less than the weights alone: "
            "raise it, or take a smaller quantisation"
        )
        return Placement(memory, not_holds(ConditionType.FITS, Reason.TOO_LARGE_FOR_PROFILE, message))
    return Placement(memory, holds(ConditionType.FITS, f"{_sum(memory)} are needed in the node's memory"))


def _host_memory(model: Model, artifact: Artifact, engine: EngineType) -> MemoryFit:
    cache = asked_cache_bytes(model, artifact) if engine is EngineType.VLLM else None
    return fit_on_host(artifact, engine=engine, kv_cache_bytes=cache)


def _on_profile(name: str, profile: Profile, wish: _Wish, hardware: Hardware) -> Placement:
    memory = fit_on_devices(
        wish.artifact,
        count=wish.devices,
        device_bytes=profile.memory.bytes,
        kv_cache_bytes=wish.kv_cache_bytes,
        offloaded_bytes=wish.offloaded_bytes,
    )
    has_node, has_free = None, None
    if hardware.nodes is not None:
        selector = {**wish.node_selector, **profile.node_selector}
        nodes = matching_nodes(hardware.nodes, selector)
        has_node = wish.has_room(all_devices(node, profile.resource) for node in nodes)
        has_free = wish.has_room(free_devices(node, profile.resource, hardware.pods) for node in nodes)
    condition = _fits(name, profile, wish, memory, has_node)
    return Placement(memory, condition, name, profile, wish.count, has_free)


def _fits(name: str, profile: Profile, wish: _Wish, memory: MemoryFit, has_node: bool | None) -> Condition:
    count, pods = wish.devices, "" if wish.pods == 1 else f" for each of {wish.pods} pods"
    devices = f"{wish.count} of profile {name} with {profile.memory} each{pods}"
    if memory.per_device_bytes is not None and memory.per_device_bytes > profile.memory.bytes:
        shorter = ", or a lower spec.contextLength" if memory.kv_cache_bytes else ""
        message = (
            f"{_sum(memory, count)} are needed on each GPU, and there are {devices}: take a larger profile, a higher "
            f"spec.accelerator.count or a smaller quantisation{shorter}"
        )
        return not_holds(ConditionType.FITS, Reason.TOO_LARGE_FOR_PROFILE, message)
    if has_node is False:
        which = "no node has" if wish.pods == 1 else f"the nodes have no room for {wish.pods} pods with"
        message = (
            f"{which} {wish.count} of {profile.resource} and the labels of profile {name}: the administrator must add "
            "such a node, or correct the profile in the chart's values"
        )
        return not_holds(ConditionType.FITS, Reason.NO_SUCH_NODE, message)
    if memory.per_device_bytes is None:
        return _size_unknown()
    if has_node is None:
        return unknown(
            ConditionType.FITS, f"{_sum(memory, count)} are needed on each GPU; the nodes can't be seen from here"
        )
    return holds(ConditionType.FITS, f"{_sum(memory, count)} are needed on each GPU, and there are {devices}")


def _size_unknown() -> Condition:
    return unknown(ConditionType.FITS, "the artifact's size is not known; spec.artifact.sizeBytes may say it")


def _sum(memory: MemoryFit, count: int = 1) -> str:
    """`5.7 GiB (4.7 GiB of weights + 1.0 GiB for the engine)`, with the share of one GPU where there are several."""
    assert memory.weights_bytes is not None
    assert memory.overhead_bytes is not None
    assert memory.per_device_bytes is not None
    kv_cache = share_bytes(memory.kv_cache_bytes or 0, count)
    weights = memory.per_device_bytes - memory.overhead_bytes - kv_cache
    share = "" if weights == memory.weights_bytes else f", the share of {size_words(memory.weights_bytes)},"
    parts = [f"{size_words(weights)} of weights{share}"]
    if kv_cache:
        purpose = " for one request of the longest context" if memory.device_bytes is not None else ""
        parts.append(f"{size_words(kv_cache)} of KV cache{purpose}")
    parts.append(f"{size_words(memory.overhead_bytes)} for the engine")
    return f"{size_words(memory.per_device_bytes)} ({' + '.join(parts)})"


def _prefer(choices: Sequence[Placement], before: Before) -> Placement:
    """The one whose devices are held; else the first with room, with nodes, that fits, or the last of all.

    Among equals the one chosen before comes first, so that pods which wait are not made anew for nothing.
    """
    in_order = sorted(choices, key=lambda choice: choice.name != before.profile)
    fitting = [choice for choice in in_order if not choice.is_hopeless]
    with_nodes = [choice for choice in fitting if not choice.has_no_node]
    with_room = [choice for choice in with_nodes if choice.has_free is not False]
    held = [choice for choice in with_nodes if before.is_held and choice.name == before.profile]
    return next(iter((*held, *with_room, *with_nodes, *fitting, *reversed(choices))))
