"""Where one cluster keeps its files. Everything that it writes lies in one state folder, which `down` removes.

Inside the cluster's mount namespace three folders of that state folder take the place of /run, /var/lib and /var/log.
So every program of the cluster runs with its default paths, and still writes nowhere else.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_STATE = Path("/tmp/berth-cluster")  # noqa: S108 - only root makes clusters, and the folder is made with mode 0700
COVERED = {"run": Path("/run"), "lib": Path("/var/lib"), "log": Path("/var/log")}
# Where the programs find their configuration, as they see it and as the machine sees it.
CONFIG = Path("/run/berth")


class StateFolderRefused(ValueError):  # noqa: N818 - reads as what happened
    """The state folder would hide itself, or is not an absolute path."""


@dataclass(frozen=True)
class Layout:
    """The paths of one cluster, as the machine outside sees them."""

    state: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Layout":
        """The state folder that BERTH_CLUSTER_STATE names, or the default."""
        return cls.at(Path(environment.get("BERTH_CLUSTER_STATE") or DEFAULT_STATE))

    @classmethod
    def at(cls, state: Path) -> "Layout":
        """A layout in the folder `state`; raises StateFolderRefused where the cluster could not see it."""
        covering = [str(path) for path in COVERED.values() if state.is_relative_to(path)]
        if covering or not state.is_absolute():
            why = f"lies below {covering[0]}, which the cluster covers" if covering else "is not an absolute path"
            raise StateFolderRefused(f"the state folder {state} {why}: set BERTH_CLUSTER_STATE to one elsewhere")
        return cls(Path(os.path.normpath(state)))

    @property
    def name(self) -> str:
        """A name for what can't live in the folder (control groups), different for each state folder."""
        return f"berth-cluster-{hashlib.sha256(str(self.state).encode()).hexdigest()[:8]}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's way in; it holds its certificates, so it may be copied."""
        return self.state / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """What the API server was asked, by whom: one JSON event of audit.k8s.io/v1 a line."""
        return self.logs / "audit.log"

    @property
    def logs(self) -> Path:
        """What each program said: NAME.log."""
        return self.state / "log/berth"

    @property
    def config(self) -> Path:
        """The programs' configuration; they see it as CONFIG."""
        return self.state / "run/berth"

    @property
    def pids(self) -> Path:
        """One file a program with its process id, as the cluster's own process namespace counts."""
        return self.state / "pids"

    @property
    def anchor(self) -> Path:
        """The process id, as the machine counts, of the process that holds the namespaces."""
        return self.state / "anchor.pid"

    @property
    def images(self) -> Path:
        """The references of our images in the cluster's registry, by name, as JSON."""
        return self.state / "images.json"

    @property
    def lock(self) -> Path:
        """Held while the cluster is brought up or down; beside the state folder, because `down` removes that."""
        return self.state.with_name(self.state.name + ".lock")
