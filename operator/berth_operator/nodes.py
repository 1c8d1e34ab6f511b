"""What is read from nodes: which of them are meant by labels, and how many devices are free on each."""

from collections.abc import Mapping, Sequence

from berth_api.quantity import parse_quantity
from berth_kube.resources import Object
from berth_operator.pods import has_ended


def matching_nodes(nodes: Sequence[Object], selector: Mapping[str, str]) -> list[Object]:
    """The nodes that have these labels."""
    return [node for node in nodes if selector.items() <= (node["metadata"].get("labels") or {}).items()]


def all_devices(node: Object, resource: str) -> int:
    """The devices of a node, used or not."""
    return _amount(node.get("status", {}).get("allocatable"), resource)


def free_devices(node: Object, resource: str, pods: Sequence[Object]) -> int:
    """The devices of a node that no pod of Berth holds; none where new pods are kept off it."""
    if node.get("spec", {}).get("unschedulable"):
        return 0
    name = node["metadata"]["name"]
    held = sum(_held(pod, resource) for pod in pods if pod.get("spec", {}).get("nodeName") == name)
    return max(all_devices(node, resource) - held, 0)


def _held(pod: Object, resource: str) -> int:
    if has_ended(pod):
        return 0
    containers = pod["spec"].get("containers") or ()
    return sum(_amount((container.get("resources") or {}).get("limits"), resource) for container in containers)


def _amount(amounts: object, resource: str) -> int:
    if not isinstance(amounts, Mapping):
        return 0
    try:
        return int(parse_quantity(str(amounts.get(resource, "0"))))
    except ValueError:
        return 0
