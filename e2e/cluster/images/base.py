"""The image that all others start from, made by debootstrap, because no registry can be asked for one.

Where this machine gets its packages from (certificates, an index, wheels in a folder) is carried into this image alone:
the project's Dockerfiles say nothing about it.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SUITE = "bookworm"
# What slim Python images hold too, and GNU's OpenMP, with which llama.cpp computes.
PACKAGES = ("ca-certificates", "libgomp1", "python3", "python3-venv")
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
WHEELS = "/opt/wheels"
CARRIED = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT")
# What only a running Debian needs.
_DROPPED = ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man")


@dataclass(frozen=True)
class Surroundings:
    """How this machine gets packages: its bundle of certificates, its folder of wheels, its settings of pip."""

    bundle: Path | None = None
    wheels: Path | None = None
    settings: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Surroundings":
        """What is set; a folder of wheels that is missing or empty counts as none."""
        bundle = environment.get("PIP_CERT") or environment.get("SSL_CERT_FILE")
        wheels = Path(environment.get("PIP_FIND_LINKS") or "/nonexistent")
        return cls(
            bundle=Path(bundle) if bundle else None,
            wheels=wheels if wheels.is_dir() and any(wheels.iterdir()) else None,
            settings=tuple((name, environment[name]) for name in CARRIED if environment.get(name)),
        )

    @property
    def fingerprint(self) -> str:
        """A digest of what the image takes from here."""
        names = sorted(path.name for path in self.wheels.iterdir()) if self.wheels else []
        digest = hashlib.sha256(json.dumps([SUITE, PACKAGES, self.settings, names]).encode())
        digest.update(self.bundle.read_bytes() if self.bundle else b"")
        return digest.hexdigest()[:12]


def build_dockerfile(surroundings: Surroundings) -> str:
    """The Dockerfile of the base image; its context holds rootfs.tar, and `bundle` and `wheels` where there are any."""
    variables = dict(surroundings.settings)
    lines = ["FROM scratch", "ADD rootfs.tar /"]
    if surroundings.bundle:
        lines.append(f"COPY bundle {BUNDLE}")
        variables |= {"PIP_CERT": BUNDLE, "SSL_CERT_FILE": BUNDLE}
    if surroundings.wheels:
        lines.append(f"COPY wheels {WHEELS}")
        variables["PIP_FIND_LINKS"] = WHEELS
    lines += [f"ENV {name}={json.dumps(value)}" for name, value in sorted(variables.items())]
    return "\n".join([*lines, 'CMD ["python3"]']) + "\n"


def write_context(folder: Path, cache: Path, surroundings: Surroundings) -> None:
    """Fill `folder` with the Dockerfile of the base image and what it copies."""
    (folder / "Dockerfile").write_text(build_dockerfile(surroundings))
    os.link(ensure_rootfs(cache), folder / "rootfs.tar")
    if surroundings.bundle:
        shutil.copyfile(surroundings.bundle, folder / "bundle")
    if surroundings.wheels:
        shutil.copytree(surroundings.wheels, folder / "wheels")


def ensure_rootfs(cache: Path) -> Path:
    """The archive of Debian with PACKAGES, made once for each list of them."""
    name = hashlib.sha256(json.dumps([SUITE, PACKAGES]).encode()).hexdigest()[:12]
    archive = cache / f"rootfs-{name}.tar"
    if archive.exists():
        return archive
    rootfs, partial = cache / f"rootfs-{name}", archive.with_suffix(".partial")
    if rootfs.exists():
        shutil.rmtree(rootfs)
    words = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(rootfs)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    for dropped in _DROPPED:
        shutil.rmtree(rootfs / dropped)
        (rootfs / dropped).mkdir()
    subprocess.run(
        ["tar", "--create", "--numeric-owner", f"--file={partial}", f"--directory={rootfs}", "."], check=True
    )
    shutil.rmtree(rootfs)
    return partial.rename(archive)
