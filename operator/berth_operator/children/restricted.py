"""What makes a pod pass Pod Security *restricted*, with a root that can't be written and a place for what must be."""

from typing import Final

from berth_operator.children.metadata import Manifest

_USER: Final = 65532
TEMPORARY_PATH: Final = "/tmp"  # noqa: S108 - a volume of the pod's own
_TEMPORARY_VOLUME: Final = "tmp"
_TEMPORARY_SIZE: Final = "1Gi"


def pod_security() -> Manifest:
    """The pod's security context. The group owns the volumes, so that loader and engine read one another's files."""
    return {
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "runAsGroup": _USER,
        "fsGroup": _USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    """A container's security context."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def temporary_volume() -> Manifest:
    """The only place besides the model's volume that a pod may write to; it is HOME as well."""
    return {"name": _TEMPORARY_VOLUME, "emptyDir": {"sizeLimit": _TEMPORARY_SIZE}}


def temporary_mount() -> Manifest:
    """The mount of `temporary_volume`."""
    return {"name": _TEMPORARY_VOLUME, "mountPath": TEMPORARY_PATH}


def escape_arguments(command: list[str]) -> list[str]:
    """A command in which the kubelet expands nothing: `$(X)` and `$$` in a path or argument stay what they are."""
    return [part.replace("$", "$$") for part in command]
