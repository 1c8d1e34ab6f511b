"""How much memory and disk a Model needs, from what its headers give. Lower bounds with stated allowances, no promises.

Headers give the bytes of all files, which is at least what the weights take once they are loaded. What the engine needs
besides (its libraries, compute buffers, a modest KV cache) is an allowance here; the KV cache at the asked context is
known to the engine alone until it has loaded the model, so it is left open.
"""

from berth_api.artifact import Artifact
from berth_api.model_status import MemoryFit

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30

HOST_OVERHEAD_BYTES = 512 * MEBIBYTE
"""Python, the engine's library and its buffers in the host's memory."""
DEVICE_OVERHEAD_BYTES = GIBIBYTE
"""The device's context and the engine's compute buffers, on each GPU."""
_CACHE_SHARE = 5
"""On the CPU one fifth of the weights is added for KV cache and activations."""
_DEVICE_HOST_SHARE = 10
"""With GPUs the weights only pass through the host, so a tenth of them is asked for."""

_VOLUME_SPARE_SHARE = 20
_VOLUME_SPARE_BYTES = 256 * MEBIBYTE


def fit_on_host(artifact: Artifact) -> MemoryFit:
    """The arithmetic of a Model on the CPU: `perDeviceBytes` is what one pod needs of its node's memory."""
    if artifact.size_bytes is None:
        return MemoryFit(overhead_bytes=HOST_OVERHEAD_BYTES)
    return MemoryFit(
        weights_bytes=artifact.size_bytes,
        overhead_bytes=HOST_OVERHEAD_BYTES,
        per_device_bytes=artifact.size_bytes + HOST_OVERHEAD_BYTES,
    )


def fit_on_devices(artifact: Artifact, *, count: int, device_bytes: int) -> MemoryFit:
    """The arithmetic of a Model whose weights are shared evenly by `count` devices of `device_bytes` each."""
    if artifact.size_bytes is None:
        return MemoryFit(overhead_bytes=DEVICE_OVERHEAD_BYTES, device_bytes=device_bytes)
    return MemoryFit(
        weights_bytes=artifact.size_bytes,
        overhead_bytes=DEVICE_OVERHEAD_BYTES,
        per_device_bytes=-(-artifact.size_bytes // count) + DEVICE_OVERHEAD_BYTES,
        device_bytes=device_bytes,
    )


def host_request_bytes(size_bytes: int, *, on_devices: bool) -> int:
    """The memory request of a pod whose Model asks for none, in whole MiB.

    On the CPU: the files, a fifth more, and 512 MiB. With GPUs: 1 GiB and a tenth of the files.
    """
    if on_devices:
        return _whole_mebibytes(GIBIBYTE + size_bytes // _DEVICE_HOST_SHARE)
    return _whole_mebibytes(size_bytes + size_bytes // _CACHE_SHARE + HOST_OVERHEAD_BYTES)


def volume_bytes(size_bytes: int) -> int:
    """The size limit of the volume that the files are fetched into: 5 % and 256 MiB above them, in whole MiB."""
    return _whole_mebibytes(size_bytes + size_bytes // _VOLUME_SPARE_SHARE + _VOLUME_SPARE_BYTES)


def _whole_mebibytes(size_bytes: int) -> int:
    return -(-size_bytes // MEBIBYTE) * MEBIBYTE
