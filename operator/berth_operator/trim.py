"""What is kept of the objects of other kinds: a cluster has many pods and nodes, and facts need little of each.

Called by the reflectors for each object that comes in. Keeping less also means that fewer changes count as one.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from berth_api.names import LABEL_COMPONENT
from berth_kube.resources import Object
from berth_operator.children.names import MEMBER_COMPONENT, PREFETCH_COMPONENT

_IDENTITY: Final = ("name", "namespace", "uid", "resourceVersion", "labels", "creationTimestamp", "deletionTimestamp")
_CONTAINER: Final = ("name", "image", "resources", "restartPolicy")


def keep_pod(pod: Object) -> Object:
    """Metadata and status whole; of the spec where it runs, what its containers are and ask for, images as volumes."""
    spec = pod.get("spec") or {}
    kept: dict[str, Any] = _pick(spec, ("nodeName", "priorityClassName", "runtimeClassName"))
    for group in ("initContainers", "containers"):
        kept[group] = [_pick(container, _CONTAINER) for container in spec.get(group) or ()]
    images = [_pick(volume, ("name", "image")) for volume in spec.get("volumes") or () if "image" in volume]
    return {**pod, "spec": {**kept, "volumes": images} if images else kept}


def keep_node(node: Object) -> Object:
    """What decides whether a pod fits: labels, taints, what is allocatable, whether it is Ready."""
    status = node.get("status") or {}
    return {
        "metadata": _pick(node["metadata"], _IDENTITY),
        "spec": _pick(node.get("spec") or {}, ("unschedulable", "taints")),
        "status": _pick(status, ("allocatable", "capacity")) | {"conditions": _ready_only(status)},
    }


def keep_gateway_pod(pod: Object) -> Object:
    """Where to ask it, and whether it is worth asking."""
    status = pod.get("status") or {}
    return {
        "metadata": _pick(pod["metadata"], _IDENTITY),
        "status": _pick(status, ("phase", "podIP")) | {"conditions": _ready_only(status)},
    }


def is_same(old: Object | None, new: Object | None) -> bool:
    """Whether nothing but the version differs between two kept objects."""
    return old is not None and new is not None and _without_version(old) == _without_version(new)


def is_engine(pod: Object) -> bool:
    """Whether it is an engine's pod; those of Jobs and DaemonSets belong to Models, too."""
    return _component(pod) == "engine"


def is_member(pod: Object) -> bool:
    """Whether it computes with the head of a group, which is an engine's pod."""
    return _component(pod) == MEMBER_COMPONENT


def is_resolver(pod: Object) -> bool:
    """Whether it is of a Job that looks at a source."""
    return not (is_engine(pod) or is_member(pod) or is_prefetch(pod))


def is_prefetch(pod: Object) -> bool:
    """Whether it is there for the image of a Model on its node."""
    return _component(pod) == PREFETCH_COMPONENT


def _component(pod: Object) -> object:
    return (pod["metadata"].get("labels") or {}).get(LABEL_COMPONENT)


def _ready_only(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The condition without its heartbeat, which changes for ever."""
    found = (one for one in status.get("conditions") or () if one.get("type") == "Ready")
    return [_pick(one, ("type", "status", "reason", "lastTransitionTime")) for one in found]


def _without_version(obj: Object) -> Object:
    metadata = {name: value for name, value in obj["metadata"].items() if name != "resourceVersion"}
    return {**obj, "metadata": metadata}


def _pick(source: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: source[name] for name in names if name in source}
