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
from e2e.cluster.images.table import Image, build_table, chosen, fingerprint

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
    """Build the images called `names` where inputs changed, and push them; their references by name.

    Without names it is all but those that are built by name alone. Raises MachineLacks where buildah, debootstrap or
    what an image is made of is missing, and BuildFailed.
    """
    machine.demand_root()
    machine.demand(machine.IMAGE_NEEDS)
    base = _ensure_base(Surroundings.from_environment(os.environ))
    known = [each for image in build_table() for each in (image, *image.on.values())]
    tags = {image.name: fingerprint(image, base) for image in known}
    references = {}
    for image in chosen(names):
        references[image.name] = f"{destination.address}/{image.name}:{tags[image.name]}"
        if not destination.has(image.name, tags[image.name]):
            _push(_ensure(image, f"{BASE}:{base}", tags), references[image.name], destination)
    _prune({f"{BASE}:{base}", *(_local(image, tags) for image in known)})
    return references


def _local(image: Image, tags: Mapping[str, str]) -> str:
    return f"localhost/berth/{image.name}:{tags[image.name]}"


def _ensure(image: Image, base: str, tags: Mapping[str, str]) -> str:
    """The name of the image on this machine, built if it is not there, after those that it stands on."""
    local = _local(image, tags)
    if not _exists(local):
        on = {argument: _ensure(other, base, tags) for argument, other in image.on.items()}
        _build(image, {"BASE_IMAGE": base, **on, **image.arguments}, local)
    return local


def _ensure_base(surroundings: Surroundings) -> str:
    tag = surroundings.fingerprint
    if not _exists(f"{BASE}:{tag}"):
        CACHE.mkdir(parents=True, exist_ok=True)
        with _timed("built base"), tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            write_context(Path(scratch), CACHE, surroundings)
            _buildah("bud", "--isolation=chroot", f"--tag={BASE}:{tag}", scratch)
    return tag


def _build(image: Image, arguments: Mapping[str, str], local: str) -> None:
    words = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    words += [f"--target={image.target}"] if image.target else []
    for name, folder in image.beside.items():
        if not folder.is_dir():
            raise machine.MachineLacks(f"{folder} is missing: run `make vllm`, which makes it")
        words.append(f"--build-context={name}={folder}")
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
