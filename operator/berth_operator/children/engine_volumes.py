"""What an engine's pod needs besides the model and `/tmp`: shared memory, and for vLLM a cache that may grow."""

from collections.abc import Iterator, Mapping
from typing import Final

from berth_api.artifact import EngineType
from berth_api.memory import GIBIBYTE
from berth_api.model import Model
from berth_operator.children.metadata import Manifest

CACHE_BYTES: Final = 8 * GIBIBYTE
"""How much vLLM may write of compiled kernels and graphs; more than `/tmp` is for."""
_CACHE_PATH: Final = "/cache"
_CACHE_VOLUME: Final = "cache"
_SHARED_PATH: Final = "/dev/shm"  # noqa: S108 - where CUDA, ROCm and vLLM look for shared memory
_SHARED_VOLUME: Final = "shm"
_SHARED_SIZE: Final = "2Gi"
"""vLLM's processes, and NCCL's, talk by shared memory, of which a container has 64 MiB by itself."""


def engine_variables(engine: EngineType) -> Mapping[str, str]:
    """Variables of the container. Below XDG_CACHE_HOME the runtime puts all that vLLM and its libraries compile."""
    if engine is not EngineType.VLLM:
        return {}
    return {"XDG_CACHE_HOME": _CACHE_PATH, "HF_HUB_OFFLINE": "1"}


def engine_mounts(model: Model, engine: EngineType) -> Iterator[Manifest]:
    """Where they are."""
    if _shared_size(model, engine):
        yield {"name": _SHARED_VOLUME, "mountPath": _SHARED_PATH}
    if engine is EngineType.VLLM:
        yield {"name": _CACHE_VOLUME, "mountPath": _CACHE_PATH}


def engine_volumes(model: Model, engine: EngineType) -> Iterator[Manifest]:
    """What they are."""
    size = _shared_size(model, engine)
    if size:
        yield {"name": _SHARED_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": size}}
    if engine is EngineType.VLLM:
        yield {"name": _CACHE_VOLUME, "emptyDir": {"sizeLimit": f"{CACHE_BYTES // GIBIBYTE}Gi"}}


def _shared_size(model: Model, engine: EngineType) -> str:
    accelerator = model.spec.accelerator
    if accelerator is not None and accelerator.shared_memory is not None:
        return str(accelerator.shared_memory)
    return _SHARED_SIZE if engine is EngineType.VLLM else ""
