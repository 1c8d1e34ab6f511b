"""How much memory and disk a Model needs, from what its headers give. Lower bounds with stated allowances, no promises.

Headers give the bytes of all files, which is at least what the weights take once they are loaded. What the engine needs
besides (its libraries, compute buffers) is an allowance here. The KV cache of one request of the longest context is
added where the artifact says what a token takes: vLLM does not start without it. For how many requests at once there
is room is the engine's affair.
"""

from berth_api.artifact import Artifact, EngineType
from berth_api.model_status import MemoryFit

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30

HOST_OVERHEAD_BYTES = 512 * MEBIBYTE
"""Python, the engine's library and its buffers in the host's memory."""
_HOST_OVERHEADS = {EngineType.TORCH: GIBIBYTE, EngineType.VLLM: 3 * GIBIBYTE}
"""Of engines whose libraries are larger: PyTorch's and transformers' take 700 MiB before there is a batch, and vLLM is
three processes with PyTorch in each.
"""
LEAST_VLLM_CACHE_BYTES = 2 * GIBIBYTE
"""The KV cache that vLLM gets on the CPU at least, which is room for some short requests beside one another."""
_SPARE_TOKENS = 256
"""The cache is kept in blocks of so many tokens at most, and the last one may be used for a single token."""
DEVICE_OVERHEAD_BYTES = GIBIBYTE
"""The device's context and the engine's compute buffers, on each GPU."""
_CACHE_SHARE = 5
"""On the CPU one fifth of the weights is added for KV cache and activations."""
_DEVICE_HOST_SHARE = 10
"""With GPUs the weights only pass through the host, so a tenth of them is asked for."""

_SIXTEEN_BITS = frozenset({"auto", "float16", "bfloat16"})
_THIRTY_TWO_BITS = frozenset({"float", "float32"})

_VOLUME_SPARE_SHARE = 20
_VOLUME_SPARE_BYTES = 256 * MEBIBYTE


def fit_on_host(
    artifact: Artifact, *, engine: EngineType = EngineType.AUTO, kv_cache_bytes: int | None = None
) -> MemoryFit:
    """The arithmetic of a Model on the CPU: `perDeviceBytes` is what one pod needs of its node's memory."""
    overhead = _HOST_OVERHEADS.get(engine, HOST_OVERHEAD_BYTES)
    if artifact.size_bytes is None:
        return MemoryFit(kv_cache_bytes=kv_cache_bytes, overhead_bytes=overhead)
    return MemoryFit(
        weights_bytes=artifact.size_bytes,
        kv_cache_bytes=kv_cache_bytes,
        overhead_bytes=overhead,
        per_device_bytes=artifact.size_bytes + (kv_cache_bytes or 0) + overhead,
    )


def fit_on_devices(
    artifact: Artifact, *, count: int, device_bytes: int, kv_cache_bytes: int | None = None, offloaded_bytes: int = 0
) -> MemoryFit:
    """The arithmetic of a Model whose weights and KV cache are shared evenly by `count` devices of `device_bytes` each.

    `offloaded_bytes` of the weights are kept in the host's memory, for each device.
    """
    if artifact.size_bytes is None:
        return MemoryFit(kv_cache_bytes=kv_cache_bytes, overhead_bytes=DEVICE_OVERHEAD_BYTES, device_bytes=device_bytes)
    weights = max(0, share_bytes(artifact.size_bytes, count) - offloaded_bytes)
    return MemoryFit(
        weights_bytes=artifact.size_bytes,
        kv_cache_bytes=kv_cache_bytes,
        overhead_bytes=DEVICE_OVERHEAD_BYTES,
        per_device_bytes=weights + share_bytes(kv_cache_bytes or 0, count) + DEVICE_OVERHEAD_BYTES,
        device_bytes=device_bytes,
    )


def share_bytes(size_bytes: int, count: int) -> int:
    """What each of `count` devices gets of something."""
    return -(-size_bytes // count)


def kv_cache_bytes(artifact: Artifact, *, context_length: int | None, dtype: str = "auto") -> int | None:
    """The KV cache of one request of the longest context; None where it, or the size of a number, is not known."""
    length = context_length or artifact.context_length
    if artifact.kv_bytes_per_token is None or length is None or dtype not in _SIXTEEN_BITS:
        return None
    return artifact.kv_bytes_per_token * length


def vllm_cache_bytes(artifact: Artifact, *, context_length: int | None, dtype: str = "auto") -> int:
    """The KV cache that vLLM is given on the CPU, in whole MiB: it takes nine tenths of the machine's memory otherwise.

    Two GiB, or what one request of the longest context takes if that is more. `dtype` is that of the model's numbers.
    """
    length, per_token = context_length or artifact.context_length, artifact.kv_bytes_per_token
    if per_token is None or length is None:
        return LEAST_VLLM_CACHE_BYTES
    wide = 2 if dtype in _THIRTY_TWO_BITS else 1
    return max(LEAST_VLLM_CACHE_BYTES, _whole_mebibytes(wide * per_token * (length + _SPARE_TOKENS)))


def host_request_bytes(size_bytes: int, *, on_devices: bool, engine: EngineType = EngineType.AUTO) -> int:
    """The memory request of a pod whose Model asks for none, in whole MiB.

    On the CPU: the files, a fifth more, and 512 MiB (Torch: 1 GiB). With GPUs: 1 GiB and a tenth of the files.
    """
    if on_devices:
        return _whole_mebibytes(GIBIBYTE + size_bytes // _DEVICE_HOST_SHARE)
    return _whole_mebibytes(size_bytes + size_bytes // _CACHE_SHARE + _HOST_OVERHEADS.get(engine, HOST_OVERHEAD_BYTES))


def volume_bytes(size_bytes: int) -> int:
    """The size limit of the volume that the files are fetched into: 5 % and 256 MiB above them, in whole MiB."""
    return _whole_mebibytes(size_bytes + size_bytes // _VOLUME_SPARE_SHARE + _VOLUME_SPARE_BYTES)


def _whole_mebibytes(size_bytes: int) -> int:
    return -(-size_bytes // MEBIBYTE) * MEBIBYTE
