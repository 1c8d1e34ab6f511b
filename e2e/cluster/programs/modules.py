"""Which Go modules are compiled into which programs. The go.mod and go.sum of a module pin its versions."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.programs.folders import DEFAULT_KUBERNETES

SOURCES = Path(__file__).parent


@dataclass(frozen=True)
class Module:
    """A folder beside this file, the packages in it that are compiled, and other names that the result goes by."""

    name: str
    packages: tuple[str, ...] = (".",)
    links: tuple[str, ...] = ()
    tags: str = ""

    @property
    def folder(self) -> Path:
        """Where its sources are."""
        return SOURCES / self.name

    @property
    def outputs(self) -> tuple[str, ...]:
        """The files that compiling it makes."""
        return tuple(self.name if package == "." else package.rsplit("/", 1)[1] for package in self.packages)


_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
KUBERNETES = Module(
    "kubernetes",
    links=(
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-proxy",
        "kubelet",
        "kubectl",
    ),
)
MODULES = (
    KUBERNETES,
    Module("addons", links=("coredns", "kwok")),
    Module(
        "containerd",
        packages=(f"{_CONTAINERD}/containerd", f"{_CONTAINERD}/containerd-shim-runc-v2", f"{_CONTAINERD}/ctr"),
        tags="no_btrfs",
    ),
    Module("pause"),
)


def build_arguments(module: Module, kubernetes: str, output: Path) -> list[str]:
    """What `go` is told so that it compiles the module into the folder `output`."""
    # Only Kubernetes does not know its version from its own sources.
    major, minor = kubernetes.split(".")[:2]
    version = "k8s.io/component-base/version"
    stamps = {"gitVersion": f"v{kubernetes}", "gitMajor": major, "gitMinor": minor}
    flags = ["-s", "-w", *(f"-X {version}.{name}={value}" for name, value in stamps.items() if module is KUBERNETES)]
    tags = [f"-tags={module.tags}"] if module.tags else []
    return ["build", "-trimpath", *tags, "-ldflags", " ".join(flags), "-o", f"{output}/", *module.packages]


def fingerprint(module: Module, arguments: Sequence[str]) -> str:
    """A digest of everything that decides what comes out: the sources, the pinned versions, the arguments."""
    digest = hashlib.sha256("\0".join(arguments).encode())
    for path in sorted(module.folder.glob("*")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def rewrite_versions(go_mod: str, kubernetes: str) -> str:
    """The go.mod of another version of Kubernetes: its own modules changed, whatever follows from them left to `go`."""
    old, new = (version.split(".", 1)[1] for version in (DEFAULT_KUBERNETES, kubernetes))
    direct = [line for line in go_mod.splitlines() if not line.endswith("// indirect") and "etcd" not in line]
    pattern = re.compile(rf"^(.*k8s\.io/\S+ v[01]\.){re.escape(old)}$")
    return "\n".join(pattern.sub(rf"\g<1>{new}", line) for line in direct) + "\n"
