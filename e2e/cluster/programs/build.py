"""Compile the programs, each module only when what decides it has changed."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.cluster.machine import MachineLacks
from e2e.cluster.programs.folders import DEFAULT_KUBERNETES, Programs
from e2e.cluster.programs.modules import KUBERNETES, MODULES, Module, build_arguments, fingerprint, rewrite_versions


def build_programs(programs: Programs) -> None:
    """Bring every program of this version into its folder; raises MachineLacks where Go is missing."""
    for module in MODULES:
        arguments = build_arguments(module, programs.kubernetes, programs.folder)
        stamp = programs.folder / f".{module.name}.sha256"
        if _is_built(module, programs.folder, stamp, fingerprint(module, arguments)):
            continue
        _compile(module, programs, arguments)
        stamp.write_text(fingerprint(module, arguments))


def _is_built(module: Module, folder: Path, stamp: Path, wanted: str) -> bool:
    names = (*module.outputs, *module.links)
    return stamp.exists() and stamp.read_text() == wanted and all((folder / name).exists() for name in names)


def _compile(module: Module, programs: Programs, arguments: list[str]) -> None:
    go = shutil.which("go")
    if go is None:
        raise MachineLacks(
            "Go was not found, and the cluster's programs are compiled with it: install Go 1.26 or newer"
        )
    programs.folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    sys.stderr.write(f"compiling {', '.join((*module.outputs, *module.links))} …\n")
    with _sources(module, programs.kubernetes, go) as folder:
        subprocess.run([go, *arguments], cwd=folder, env=_environment(), check=True)
    for link in module.links:
        (programs.folder / link).unlink(missing_ok=True)
        (programs.folder / link).symlink_to(module.name)
    sys.stderr.write(f"compiled {module.name} in {time.monotonic() - started:.0f} s\n")


@contextmanager
def _sources(module: Module, kubernetes: str, go: str) -> Iterator[Path]:
    """The module's folder, or for another version of Kubernetes a copy with its versions."""
    if module is not KUBERNETES or kubernetes == DEFAULT_KUBERNETES:
        yield module.folder
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shutil.copyfile(module.folder / "main.go", folder / "main.go")
        (folder / "go.mod").write_text(rewrite_versions((module.folder / "go.mod").read_text(), kubernetes))
        subprocess.run([go, "mod", "tidy"], cwd=folder, env=_environment(), check=True)
        yield folder


def _environment() -> dict[str, str]:
    # Static programs: they run in images that hold nothing else.
    return {**os.environ, "CGO_ENABLED": "0"}
