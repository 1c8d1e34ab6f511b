"""Where the compiled programs lie: one folder for each version of Kubernetes, below .tools, which git ignores."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
DEFAULT_KUBERNETES = "1.35.4"


@dataclass(frozen=True)
class Programs:
    """The programs of one version of Kubernetes."""

    kubernetes: str
    tools: Path = REPOSITORY / ".tools"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Programs":
        """The version that KUBERNETES_VERSION names, with or without a leading v, or the default."""
        return cls((environment.get("KUBERNETES_VERSION") or DEFAULT_KUBERNETES).removeprefix("v"))

    @property
    def folder(self) -> Path:
        """What was compiled for this version."""
        return self.tools / "kube" / self.kubernetes / "bin"

    @property
    def helm_folder(self) -> Path:
        """Where helm is if the machine has none of its own; the same for all versions."""
        return self.tools / "kube/bin"

    @property
    def folders(self) -> tuple[Path, ...]:
        """What belongs on the PATH of whoever works inside the cluster."""
        return (self.folder, self.helm_folder, self.tools / "bin")

    def path(self, name: str) -> Path:
        """The program `name`."""
        return (self.tools / "bin" if name == "registry" else self.folder) / name
