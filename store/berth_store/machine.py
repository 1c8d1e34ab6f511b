"""What this machine is to an image index."""

import platform

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def machine_architecture() -> str:
    """The architecture by the name that images have for it (GOARCH)."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)
