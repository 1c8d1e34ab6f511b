"""Fake nodes with accelerators, so that the real scheduler has something to choose from. kwok plays them.

Only pods that tolerate the taint land there, so nothing that must really run is lost to a fake.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

TAINT = "kwok.x-k8s.io/node"
PRODUCT_LABEL = "nvidia.com/gpu.product"
AMD_PRODUCT_LABEL = "amd.com/gpu.product-name"


@dataclass(frozen=True)
class NodeKind:
    """One kind of machine that clouds rent: its accelerators under their resource name, and what else it has."""

    instance_type: str
    resource: str
    accelerators: int
    labels: Mapping[str, str]
    cpu: int
    memory: str


def _nvidia(instance_type: str, *, product: str, accelerators: int, memory_mib: int, cpu: int, memory: str) -> NodeKind:
    labels = {
        PRODUCT_LABEL: product,
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.count": str(accelerators),
        "nvidia.com/gpu.memory": str(memory_mib),
    }
    return NodeKind(instance_type, "nvidia.com/gpu", accelerators, labels, cpu, memory)


# Labels as the vendors' own discovery writes them (gpu-feature-discovery, AMD's node labeller); sizes as AWS and Azure
# rent them.
KINDS: Mapping[str, NodeKind] = MappingProxyType(
    {
        "l4": _nvidia("g6.4xlarge", product="NVIDIA-L4", accelerators=1, memory_mib=23034, cpu=16, memory="64Gi"),
        "a10g": _nvidia("g5.12xlarge", product="NVIDIA-A10G", accelerators=4, memory_mib=23028, cpu=48, memory="192Gi"),
        "a100": _nvidia(
            "p4de.24xlarge", product="NVIDIA-A100-SXM4-80GB", accelerators=8, memory_mib=81920, cpu=96, memory="1152Gi"
        ),
        "h100": _nvidia(
            "p5.48xlarge", product="NVIDIA-H100-80GB-HBM3", accelerators=8, memory_mib=81559, cpu=192, memory="2048Gi"
        ),
        "mi300x": NodeKind(
            "Standard_ND96isr_MI300X_v5",
            "amd.com/gpu",
            8,
            {AMD_PRODUCT_LABEL: "AMD_Instinct_MI300X_OAM", "amd.com/gpu.vram": "192G"},
            96,
            "1850Gi",
        ),
    }
)


def build_node(name: str, kind: NodeKind) -> dict[str, Any]:
    """The Node object `name` of this kind, with its capacity: kwok leaves that as it finds it."""
    resources = {
        "cpu": str(kind.cpu),
        "memory": kind.memory,
        "pods": "110",
        "ephemeral-storage": "1Ti",
        kind.resource: str(kind.accelerators),
    }
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": kind.instance_type,
        "type": "kwok",
        **kind.labels,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {TAINT: "fake"}},
        "spec": {"taints": [{"key": TAINT, "value": "fake", "effect": "NoSchedule"}]},
        "status": {"capacity": resources, "allocatable": resources},
    }


def build_fleet(counts: Mapping[str, int]) -> Iterable[dict[str, Any]]:
    """Nodes KIND-0, KIND-1, … for each kind in `counts`. A kind that is not in KINDS is a KeyError."""
    return [build_node(f"{name}-{index}", KINDS[name]) for name, count in counts.items() for index in range(count)]
