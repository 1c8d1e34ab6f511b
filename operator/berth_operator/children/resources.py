"""How much the engine's container asks for. Who names a resource decides on its request and its limit alone."""

from typing import Final

from berth_api.artifact import Artifact, EngineType
from berth_api.memory import GIBIBYTE, MEBIBYTE, host_request_bytes, volume_bytes
from berth_api.model import Model
from berth_operator.children.engine_volumes import CACHE_BYTES
from berth_operator.children.metadata import Manifest
from berth_operator.placement import Placement

_EPHEMERAL: Final = "ephemeral-storage"
_WRITTEN_BESIDES: Final = 128 * MEBIBYTE
"""What a pod writes besides the model's volume, as a rule: its log."""
_WRITTEN_AT_MOST: Final = 2 * GIBIBYTE


def build_resources(
    model: Model, artifact: Artifact, placement: Placement, engine: EngineType, *, on_node: bool = True
) -> Manifest:
    """Requests and limits of the engine's container.

    Without a word on memory, what the artifact's size comes to is requested and nothing is limited. Without one on
    ephemeral storage, it follows the model's volume, if that is `on_node`. GPUs are the profile's resource.
    """
    requests = {name: str(amount) for name, amount in model.spec.resources.requests.items()}
    limits = {name: str(amount) for name, amount in model.spec.resources.limits.items()}
    named = requests.keys() | limits.keys()
    if placement.profile is not None:
        limits[placement.profile.resource] = str(placement.count)
        requests.pop(placement.profile.resource, None)
    if artifact.size_bytes is not None:
        if "memory" not in named:
            requests["memory"] = in_mebibytes(_memory_bytes(artifact.size_bytes, placement, engine))
        if on_node and _EPHEMERAL not in named:
            volume = volume_bytes(artifact.size_bytes)
            requests[_EPHEMERAL] = in_mebibytes(volume + _WRITTEN_BESIDES)
            cache = CACHE_BYTES if engine is EngineType.VLLM else 0
            limits[_EPHEMERAL] = in_mebibytes(volume + cache + _WRITTEN_AT_MOST)
    return {
        name: dict(sorted(amounts.items())) for name, amounts in (("requests", requests), ("limits", limits)) if amounts
    }


def _memory_bytes(size_bytes: int, placement: Placement, engine: EngineType) -> int:
    """Of vLLM on the CPU all is known that it will take, as its KV cache is of a size that it is told."""
    on_devices, whole = placement.count > 0, placement.memory.per_device_bytes
    if engine is EngineType.VLLM and not on_devices and whole is not None:
        return whole
    return host_request_bytes(size_bytes, on_devices=on_devices, engine=engine)


def in_mebibytes(size_bytes: int) -> str:
    """A quantity in whole MiB, which is how people read it in `kubectl describe`."""
    return f"{-(-size_bytes // MEBIBYTE)}Mi"
