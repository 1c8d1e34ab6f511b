"""The fleets of nodes that kwok plays, and the accelerator profiles that speak of them in the chart's values.

Pods placed on such a node become Ready by themselves, so a hundred of them cost nothing.
"""

from collections.abc import Mapping
from typing import Any

from berth_kube.resources import NODES
from e2e.cluster.fleet import KINDS, TAINT, NodeKind, build_fleet, build_node
from e2e.cluster.node import Node
from e2e.support.objects import Objects, name_of
from e2e.support.until import until

Json = dict[str, Any]
FAKE_TAINT = {"key": TAINT, "operator": "Exists", "effect": "NoSchedule"}
CPU_SELECTOR = {"e2e.berth.dev/fleet": "cpu"}
_CPU_KIND = NodeKind("m7i.48xlarge", "example.com/device", 0, CPU_SELECTOR, 192, "768Gi")

# What one device of each kind has, as its vendor's discovery says: no two are alike, so one answer is the smallest.
MEMORY: Mapping[str, str] = {
    "a10g": "23028Mi",
    "l4": "23034Mi",
    "h100": "81559Mi",
    "a100": "81920Mi",
    "mi300x": "192Gi",
}
# In the chart's values, and on no node.
NOWHERE = "b300"


def build_profiles() -> dict[str, Json]:
    """The chart's `profiles`: one for each kind of the fleet, and one that no node has."""
    known = {name: _profile(name, KINDS[name]) for name in MEMORY}
    elsewhere = {"memory": "288Gi", "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-B300"}}
    return {**known, NOWHERE: {**elsewhere, "tolerations": [FAKE_TAINT]}}


def _profile(name: str, kind: NodeKind) -> Json:
    product = {label: value for label, value in kind.labels.items() if ".product" in label}
    return {
        "resource": kind.resource,
        "memory": MEMORY[name],
        "backend": "ROCm" if kind.resource.startswith("amd.") else "CUDA",
        "nodeSelector": product,
        "tolerations": [FAKE_TAINT],
    }


def join_nodes(node: Node, objects: Objects) -> None:
    """Add to the cluster's own fleet a node without accelerators and more L4s, and wait until all are Ready."""
    fleet = [build_node("cpu-0", _CPU_KIND), *build_fleet({**dict.fromkeys(MEMORY, 1), "l4": 3})]
    node.apply(fleet)
    until(
        lambda: all(_is_there(objects, one) for one in fleet),
        seconds=30,
        what="every fake node is Ready with all it has",
    )


def _is_there(objects: Objects, wanted: Json) -> bool:
    status = objects.read(NODES, "", name_of(wanted)).get("status", {})
    ready = any(part["type"] == "Ready" and part["status"] == "True" for part in status.get("conditions", ()))
    # The API server writes quantities in its own way (2048Gi as 2Ti), so only their names are compared.
    return ready and wanted["status"]["allocatable"].keys() <= status.get("allocatable", {}).keys()
