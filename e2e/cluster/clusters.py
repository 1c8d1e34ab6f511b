"""The clusters that the commands work on: one of our own, one that the user has and allows, or one that kind makes.

Own is the one that all tests run on. The other two are for what a machine without root, or without Linux, can do.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import yaml

from e2e.cluster import lifecycle, machine
from e2e.cluster.images.build import Destination, bring_images
from e2e.cluster.images.docker import build_with_docker
from e2e.cluster.namespaces import entering_network
from e2e.cluster.node import Node

KIND_NAME = "berth"


class Cluster(Protocol):
    """A cluster to install Berth on."""

    def bring_up(self) -> Path:
        """Make it or heal it; its kubeconfig. Raises MachineLacks."""

    def bring_down(self) -> None:
        """Remove it, if we made it."""

    def command(self, argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """The command line and environment that run `argv` where the cluster can be reached."""

    def bring_images(self, names: Sequence[str]) -> Mapping[str, str]:
        """Build the images called `names` (all if none) and bring them in; their references. Raises MachineLacks."""


@dataclass(frozen=True)
class Own:
    """The one-node cluster in namespaces of this machine."""

    node: Node

    def bring_up(self) -> Path:
        """See Cluster."""
        lifecycle.bring_up(self.node)
        return self.node.kubeconfig

    def bring_down(self) -> None:
        """See Cluster."""
        lifecycle.bring_down(self.node.layout)

    def command(self, argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """See Cluster."""
        # Entering the mounts leaves the working folder behind.
        return self.node.command(["env", f"--chdir={Path.cwd()}", *argv]), self.node.environment

    def bring_images(self, names: Sequence[str]) -> Mapping[str, str]:
        """See Cluster. `node.images` tells the references from now on."""
        layout = self.node.layout
        repositories = layout.state / "lib/registry/docker/registry/v2/repositories/berth"
        destination = Destination(
            f"{self.node.registry}/berth",
            has=lambda name, tag: (repositories / name / "_manifests/tags" / tag / "current/link").exists(),
            before=tuple(entering_network(layout)),
            # Nothing leaves the machine: packing layers would only cost time, here and where they are unpacked.
            options=("--tls-verify=false", "--disable-compression"),
        )
        images = {**self.node.images, **bring_images(destination, names)}
        layout.images.write_text(json.dumps(images, indent=1))
        return images


@dataclass(frozen=True)
class Existing:
    """A cluster that the user has; images go to the registry that BERTH_E2E_REGISTRY names (host/path)."""

    kubeconfig: str
    registry: str | None

    def bring_up(self) -> Path:
        """See Cluster."""
        return Path(self.kubeconfig)

    def bring_down(self) -> None:
        """See Cluster: it is not ours to remove."""

    def command(self, argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """See Cluster."""
        return list(argv), {**os.environ, "KUBECONFIG": self.kubeconfig}

    def bring_images(self, names: Sequence[str]) -> Mapping[str, str]:
        """See Cluster."""
        if not self.registry:
            raise machine.MachineLacks(
                "no registry to push to: set BERTH_E2E_REGISTRY to one that the cluster pulls from"
            )
        return bring_images(Destination(self.registry), names)


@dataclass(frozen=True)
class Kind:
    """A cluster in a container, made by kind; Docker builds the images."""

    state: Path

    @property
    def kubeconfig(self) -> Path:
        """Where kind writes how to reach it."""
        return self.state / "kubeconfig"

    def bring_up(self) -> Path:
        """See Cluster."""
        self.state.mkdir(parents=True, exist_ok=True)
        running = subprocess.run(["kind", "get", "clusters"], check=True, capture_output=True, text=True).stdout
        verb = ["export", "kubeconfig"] if KIND_NAME in running.split() else ["create", "cluster", "--wait=120s"]
        subprocess.run(["kind", *verb, f"--name={KIND_NAME}", f"--kubeconfig={self.kubeconfig}"], check=True)
        return self.kubeconfig

    def bring_down(self) -> None:
        """See Cluster."""
        subprocess.run(["kind", "delete", "cluster", f"--name={KIND_NAME}"], check=True)
        if self.state.exists():
            shutil.rmtree(self.state)

    def command(self, argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """See Cluster."""
        return list(argv), {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def bring_images(self, names: Sequence[str]) -> Mapping[str, str]:
        """See Cluster."""
        images = build_with_docker(names)
        if images:
            subprocess.run(["kind", "load", "docker-image", f"--name={KIND_NAME}", *images.values()], check=True)
        return images


def choose_cluster(environment: Mapping[str, str], *, may_make_own: bool, has_kind: bool) -> Cluster:
    """The user's cluster if its context is listed in BERTH_E2E_CONTEXTS, else our own, else kind's.

    Where none is possible it is our own, whose first step says what the machine lacks.
    """
    kubeconfig = environment.get("KUBECONFIG", "")
    allowed = environment.get("BERTH_E2E_CONTEXTS", "").replace(",", " ").split()
    if kubeconfig and allowed and current_context(kubeconfig) in allowed:
        return Existing(kubeconfig, environment.get("BERTH_E2E_REGISTRY"))
    node = Node.from_environment(environment)
    if has_kind and not may_make_own:
        return Kind(node.layout.state)
    return Own(node)


def current_context(kubeconfig: str) -> str | None:
    """The current context of KUBECONFIG: of several files, the first that has one decides."""
    for path in kubeconfig.split(os.pathsep):
        document = yaml.safe_load(Path(path).read_text()) if Path(path).is_file() else None
        if document and document.get("current-context"):
            return str(document["current-context"])
    return None


def cluster_of_this_machine() -> Cluster:
    """What `choose_cluster` says here and now."""
    has_kind = shutil.which("kind") is not None and shutil.which("docker") is not None
    return choose_cluster(os.environ, may_make_own=machine.may_make_namespaces(), has_kind=has_kind)
