"""Views: an artifact's files under their own names, as links into the blobs. Engines read models here.

The names are annotations of a manifest from elsewhere. One hostile name, and the whole artifact is refused: nothing is
cleaned up, renamed or skipped, for what an engine reads must be what was packaged. A view is built beside its place and
renamed; one that was tampered with is repaired link by link, so that a reader never finds the folder missing.
"""

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from berth_store import mediatypes
from berth_store.archive.inventory import File
from berth_store.archive.kinds import codec_of
from berth_store.digest import Digest, hex_of
from berth_store.durable import flush_folder, temporary_name
from berth_store.errors import NoModelInSource
from berth_store.manifest import Descriptor, Manifest
from berth_store.names import folded, name_fault


@dataclass(frozen=True)
class Link:
    """One file of a view."""

    name: PurePosixPath
    digest: Digest

    @property
    def target(self) -> str:
        """Where the link points: relative, so that the store can be moved or mounted elsewhere."""
        up = "../" * (len(self.name.parts) + 1)
        return f"{up}blobs/sha256/{hex_of(self.digest)}"


def plan_view(manifest: Manifest, origin: str, unpacked: Sequence[File] = ()) -> tuple[Link, ...]:
    """The links of the artifact's view. NoModelInSource names the first name that is refused, and why.

    `unpacked` are the files of its archives; without them, the links of the other layers are planned.
    """
    layers = zip(layer_names(manifest), file_layers(manifest), strict=True)
    files = [(name, layer.digest) for name, layer in layers]
    return plan_links([*files, *((file.name, file.digest) for file in unpacked)], origin)


def plan_links(files: Sequence[tuple[str, Digest]], origin: str) -> tuple[Link, ...]:
    """The links to files, each given by its name and the digest under which it lies. Raises NoModelInSource."""
    links = tuple(Link(_checked(name, origin), digest) for name, digest in files)
    _check_distinct(links, origin)
    return links


def file_layers(manifest: Manifest) -> tuple[Descriptor, ...]:
    """The layers that are files and no archives."""
    return tuple(layer for layer in manifest.layers if codec_of(manifest, layer) is None)


def layer_names(manifest: Manifest) -> tuple[str, ...]:
    """The name of each layer that is a file: its annotation, or else a name for its type."""
    layers = file_layers(manifest)
    kinds = Counter(layer.media_type for layer in layers)
    seen: Counter[str] = Counter()
    names = []
    for layer in layers:
        seen[layer.media_type] += 1
        stated = next(filter(None, map(layer.annotation, mediatypes.NAME_ANNOTATIONS)), None)
        if layer.media_type == mediatypes.CHAT_TEMPLATE and manifest.config.media_type == mediatypes.CONFIG_V01:
            stated = (
                None  # In v0.1 the type alone says what a file is for, and the template's name is its maker's whim.
            )
        names.append(stated or _default_name(layer.media_type, seen[layer.media_type], kinds[layer.media_type]))
    return tuple(names)


def ensure_view(folder: Path, links: tuple[Link, ...]) -> None:
    """Make `folder` hold exactly `links`. The caller holds the view's lock."""
    if folder.is_dir() and not folder.is_symlink():
        _repair(folder, links)
        return
    building = temporary_name(folder.parent)
    building.mkdir(parents=True)
    for link in links:
        path = building / link.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(link.target)
    if folder.is_symlink() or folder.exists():
        folder.unlink()
    building.rename(folder)
    flush_folder(folder.parent)


def is_whole(folder: Path, links: tuple[Link, ...]) -> bool:
    """Whether `folder` holds every link as it must be, and nothing else."""
    wanted = {str(link.name): link.target for link in links}
    found = {str(path.relative_to(folder)): _link_target(path) for path in _files(folder)}
    return found == wanted


def _repair(folder: Path, links: tuple[Link, ...]) -> None:
    wanted = {str(link.name): link.target for link in links}
    for path in _files(folder):
        if str(path.relative_to(folder)) not in wanted:
            path.unlink()
    for name, target in wanted.items():
        path = folder / name
        if _link_target(path) == target:
            continue
        _clear_way(folder, path)
        fresh = temporary_name(path.parent)
        fresh.symlink_to(target)
        fresh.replace(path)


def _clear_way(folder: Path, path: Path) -> None:
    """Make `path`'s parents real folders inside `folder`, and `path` itself no folder."""
    for parent in [*reversed(path.relative_to(folder).parents)][1:]:
        place = folder / parent
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            place.unlink()
        place.mkdir(exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)


def _files(folder: Path) -> list[Path]:
    """Everything below `folder` that is no folder; links are not followed."""
    return [
        Path(parent) / name
        for parent, folders, files in os.walk(folder)
        for name in (*files, *(each for each in folders if (Path(parent) / each).is_symlink()))
    ]


def _link_target(path: Path) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _default_name(media_type: str, number: int, count: int) -> str:
    name = PurePosixPath(mediatypes.DEFAULT_NAMES.get(media_type, "file"))
    if count == 1:
        return str(name)
    return f"{name.stem}-{number:05d}-of-{count:05d}{name.suffix}"


def _checked(name: str, origin: str) -> PurePosixPath:
    fault = name_fault(name)
    if fault:
        raise NoModelInSource(
            f"{origin}: the file name {name[:120]!r} is refused, it {fault}; nothing was written. "
            "Package the model again from a source that you trust"
        )
    return PurePosixPath(name)


def _check_distinct(links: tuple[Link, ...], origin: str) -> None:
    """Refuse names that are, or on some file systems would be, the same, or a file where another needs a folder."""
    files: dict[str, PurePosixPath] = {}
    for link in links:
        other = files.setdefault(folded(str(link.name)), link.name)
        if other is not link.name:
            raise NoModelInSource(
                f"{origin}: the file names {str(other)!r} and {str(link.name)!r} collide; it is refused"
            )
    for folder in dict.fromkeys(link.name.parent for link in links):
        for parent in (folder, *folder.parents):
            if folded(str(parent)) in files:
                raise NoModelInSource(f"{origin}: {str(parent)!r} is both a file and a folder; it is refused")
