"""Build what has changed and bring it into the cluster."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from e2e.cluster import machine
from e2e.cluster.images.base import Surroundings, write_context
from e2e.cluster.images.table import Image, build_table, fingerprint
from e2e.cluster.namespaces import entering_network
from e2e.cluster.node import Node

# Kept between clusters: layers that did not change are never made twice.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "berth/images"
BASE = "localhost/berth/base"


def bring_images(node: Node, names: Sequence[str] = ()) -> None:
    """Build the images called `names` (all if none) where inputs changed, and push them to the cluster's registry.

    `node.images` tells their references afterwards. Raises MachineLacks where buildah or debootstrap is missing.
    """
    machine.demand(machine.IMAGE_NEEDS)
    surroundings = Surroundings.from_environment(os.environ)
    base = _ensure_base(surroundings)
    for image in build_table():
        if names and image.name not in names:
            continue
        tag = fingerprint(image, base)
        local, reference = f"localhost/berth/{image.name}:{tag}", f"{node.registry}/berth/{image.name}:{tag}"
        if not _is_pushed(node, image.name, tag):
            if not _exists(local):
                _build(image, f"{BASE}:{base}", local)
            _push(node, local, reference)
        node.layout.images.write_text(json.dumps({**node.images, image.name: reference}, indent=1))


def _ensure_base(surroundings: Surroundings) -> str:
    tag = surroundings.fingerprint
    if not _exists(f"{BASE}:{tag}"):
        CACHE.mkdir(parents=True, exist_ok=True)
        with _timed("base"), tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            write_context(Path(scratch), CACHE, surroundings)
            _buildah("bud", "--isolation=chroot", f"--tag={BASE}:{tag}", scratch)
    return tag


def _build(image: Image, base: str, local: str) -> None:
    arguments = {"BASE_IMAGE": base, **image.arguments}
    words = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    target = [f"--target={image.target}"] if image.target else []
    with _timed(image.name), _context(image) as folder:
        words += [*target, f"--file={image.dockerfile}", f"--tag={local}", str(folder)]
        _buildah("bud", "--isolation=chroot", "--layers", "--pull=false", *words)


def _push(node: Node, local: str, reference: str) -> None:
    # Nothing leaves the machine, so packing layers would only cost time, here and where they are unpacked.
    words = ["push", "--disable-compression", "--tls-verify=false", "--quiet", local, f"docker://{reference}"]
    with _timed(f"{reference} (push)"):
        _buildah(*words, before=entering_network(node.layout))


def _is_pushed(node: Node, name: str, tag: str) -> bool:
    repository = node.layout.state / "lib/registry/docker/registry/v2/repositories/berth" / name
    return (repository / "_manifests/tags" / tag / "current/link").exists()


def _exists(local: str) -> bool:
    return bool(_buildah("images", "--quiet", f"--filter=reference={local}").strip())


def _buildah(verb: str, *words: str, before: Sequence[str] = ()) -> str:
    """What `buildah VERB` printed; what it said while it failed stands in the RuntimeError."""
    argv = [*before, "buildah", f"--root={CACHE / 'storage'}", f"--runroot={CACHE / 'run'}", verb, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"`buildah {verb}` ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


@contextmanager
def _context(image: Image) -> Iterator[Path]:
    if isinstance(image.context, Path):
        yield image.context
        return
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        for name, path in image.context.items():
            shutil.copy2(path, Path(scratch) / name)
        yield Path(scratch)


@contextmanager
def _timed(what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    sys.stderr.write(f"{what} in {time.monotonic() - started:.0f} s\n")
