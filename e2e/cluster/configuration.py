"""The programs' configuration files: those of config/, with the addresses filled in."""

import re
from collections.abc import Mapping
from pathlib import Path

from e2e.cluster import addresses

SOURCES = Path(__file__).with_name("config")
# Where each file goes, below the folder that the programs see as /run/berth.
TARGETS = {
    "containerd.toml": "containerd.toml",
    "pods.conflist": "cni/10-pods.conflist",
    "kubelet.yaml": "kubelet.yaml",
    "Corefile": "Corefile",
    "audit.yaml": "audit.yaml",
    "registry.yaml": "registry.yaml",
    "hosts.toml": f"registries/{addresses.REGISTRY}/hosts.toml",
    "system.yaml": "system.yaml",
    "stages.yaml": "stages.yaml",
}
_PLACEHOLDER = re.compile(r"@([A-Z_]+)@")


def render(text: str, values: Mapping[str, str]) -> str:
    """The text with each @NAME@ replaced by its value. A name that has none is a KeyError."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)


def write_configuration(folder: Path, cgroup: str) -> None:
    """Write every file below `folder`; `cgroup` is the control group that pods live below."""
    values = {**addresses.PLACEHOLDERS, "CGROUP": f"/{cgroup}"}
    for source, target in TARGETS.items():
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render((SOURCES / source).read_text(), values))
