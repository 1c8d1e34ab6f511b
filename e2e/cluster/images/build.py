"""Build the images that have changed, without Docker, and push them to a registry."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import machine
from e2e.cluster.images.base import Surroundings, write_context
from e2e.cluster.images.table import Image, build_table, fingerprint

# Kept between clusters: layers that did not change are never made twice.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "berth/images"
BASE = "localhost/berth/base"
# Each change of the code leaves about ten images and layers behind. Beyond this many, all but the newest images go with
# everything that those do not need, and the packages are installed anew once.
KEPT_IMAGES = 400


@dataclass(frozen=True)
class Destination:
    """Where images go: HOST/PATH of a registry, how to see what it has, and how a push gets there."""

    address: str
    has: Callable[[str, str], bool] = lambda _name, _tag: False
    before: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class BuildFailed(RuntimeError):  # noqa: N818 - reads as what happened
    """An image could not be built or pushed; the message ends with the builder's last words."""


def bring_images(destination: Destination, names: Sequence[str]) -> Mapping[str, str]:
    """Build the images called `names` (all if none) where inputs changed, and push them; their references by name.

    Raises MachineLacks where buildah or debootstrap is missing, and BuildFailed.
    """
    machine.demand_root()
    machine.demand(machine.IMAGE_NEEDS)
    base = _ensure_base(Surroundings.from_environment(os.environ))
    tagged = [(image, fingerprint(image, base)) for image in build_table()]
    references = {}
    for image, tag in tagged:
        if names and image.name not in names:
            continue
        references[image.name] = f"{destination.address}/{image.name}:{tag}"
        if not destination.has(image.name, tag):
            if not _exists(_local(image, tag)):
                _build(image, f"{BASE}:{base}", _local(image, tag))
            _push(_local(image, tag), references[image.name], destination)
    _prune({f"{BASE}:{base}", *(_local(image, tag) for image, tag in tagged)})
    return references


def _local(image: Image, tag: str) -> str:
    return f"localhost/berth/{image.name}:{tag}"


def _ensure_base(surroundings: Surroundings) -> str:
    tag = surroundings.fingerprint
    if not _exists(f"{BASE}:{tag}"):
        CACHE.mkdir(parents=True, exist_ok=True)
        with _timed("built base"), tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            write_context(Path(scratch), CACHE, surroundings)
            _buildah("bud", "--isolation=chroot", f"--tag={BASE}:{tag}", scratch)
    return tag


def _build(image: Image, base: str, local: str) -> None:
    arguments = {"BASE_IMAGE": base, **image.arguments}
    words = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    words += [f"--target={image.target}"] if image.target else []
    with _timed(f"built {image.name}"), _context(image) as folder:
        words += [f"--file={image.dockerfile}", f"--tag={local}", str(folder)]
        _buildah("bud", "--isolation=chroot", "--layers", "--pull=false", *words)


def _push(local: str, reference: str, destination: Destination) -> None:
    with _timed(f"pushed {reference}"):
        words = ["--quiet", *destination.options, local, f"docker://{reference}"]
        _buildah("push", *words, before=destination.before)


def _prune(kept: Set[str]) -> None:
    if len(_buildah("images", "--all", "--quiet").split()) <= KEPT_IMAGES:
        return
    with _timed("removed old images"):
        named = _buildah("images", "--format={{.Name}}:{{.Tag}}", "--filter=reference=localhost/berth/*").split()
        if old := sorted(set(named) - kept):
            _buildah("rmi", *old)
        _buildah("rmi", "--prune", "--force")


def _exists(local: str) -> bool:
    return bool(_buildah("images", "--quiet", f"--filter=reference={local}").strip())


def _buildah(verb: str, *words: str, before: Sequence[str] = ()) -> str:
    # buildah reads this variable only where it is not told its folders.
    driver = os.environ.get("STORAGE_DRIVER")
    storage = [f"--root={CACHE / 'storage'}", f"--runroot={CACHE / 'run'}"]
    storage += [f"--storage-driver={driver}"] if driver else []
    argv = [*before, "buildah", *storage, verb, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildFailed(f"`buildah {verb}` ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
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
