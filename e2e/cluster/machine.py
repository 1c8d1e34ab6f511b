"""What the machine must bring: which programs are missing, and in one line how to get them."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# The program or plugin that is looked for, and the Debian package that holds it.
CLUSTER_NEEDS: Mapping[str, str] = {
    "runc": "runc",
    "ptp": "containernetworking-plugins",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
IMAGE_NEEDS: Mapping[str, str] = {"buildah": "buildah", "debootstrap": "debootstrap"}
CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
# Debian keeps some of these where an ordinary user's PATH does not lead.
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")


class MachineLacks(RuntimeError):  # noqa: N818 - reads as what happened
    """The machine can't do what was asked; the message is one line with the remedy."""


def find_program(name: str) -> str | None:
    """Where the program or network plugin `name` is, or None."""
    folders = [*os.environ.get("PATH", "").split(":"), *SYSTEM_FOLDERS, *map(str, CNI_FOLDERS)]
    return shutil.which(name, path=":".join(folders))


def missing_packages(needs: Mapping[str, str], find: Callable[[str], str | None] = find_program) -> list[str]:
    """The packages that hold what `find` does not find, each once."""
    return sorted({package for program, package in needs.items() if find(program) is None})


def install_command(packages: Sequence[str]) -> list[str]:
    """What installs the packages on Debian and its relatives."""
    return ["apt-get", "install", "--yes", "--no-install-recommends", *packages]


def may_install(environment: Mapping[str, str]) -> bool:
    """Whether we may install packages ourselves: in CI, or where the user says so. Never behind anybody's back."""
    return environment.get("CI") == "true" or environment.get("BERTH_INSTALL") == "1"


def may_make_namespaces() -> bool:
    """Whether we are root on Linux."""
    return Path("/proc/self/ns/net").exists() and os.geteuid() == 0


def demand_root() -> None:
    """Raise MachineLacks unless we are root on Linux."""
    if not may_make_namespaces():
        raise MachineLacks(
            "a cluster of our own needs Linux and root: use sudo, or name your own cluster's context in "
            "BERTH_E2E_CONTEXTS beside KUBECONFIG, or install kind and Docker"
        )


def demand(needs: Mapping[str, str]) -> None:
    """Make sure that all programs in `needs` are there; raises MachineLacks, or installs them where that is allowed."""
    packages = missing_packages(needs)
    if not packages:
        return
    command = install_command(packages)
    if not may_install(os.environ):
        raise MachineLacks(f"{', '.join(packages)} missing: run `{' '.join(command)}`, or set BERTH_INSTALL=1")
    subprocess.run(["apt-get", "update", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    )
