"""A model that lies on a mounted claim (`pvc://`), where nothing is fetched: what is there, and what pods are held to.

Reading hundreds of gigabytes to know a sha256 would cost each pod what the claim was to save. So its digest is that of
the list of its files with their sizes and the times of their last change, as of sources that tell no sha256.
"""

import os
from pathlib import Path

from berth_api.claim_path import ClaimPath, claim_path
from berth_api.errors import FieldError, InvalidSpec
from berth_store.detect.folder import is_text
from berth_store.digest import Digest
from berth_store.errors import DigestMismatch, NoModelInSource, SourceNotFound, SourceUnauthorized
from berth_store.headers.folder import is_own_file
from berth_store.sources.identity import listed_digest
from berth_store.sources.protocol import ListedFile

MOST_FILES = 10_000


def parse_on_claim(uri: str) -> ClaimPath:
    """The place that a source's URI names. Raises InvalidSpec."""
    found = claim_path(uri)
    if found is None:
        raise InvalidSpec(FieldError("spec.source.uri", f"{uri} names no place on a claim", "write pvc://claim/folder"))
    return found


def find_on_claim(volume: Path, place: ClaimPath) -> Path:
    """The folder or file, where the claim is mounted at `volume`. Raises SourceNotFound, or what hides it."""
    path = volume / place.path
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceNotFound(
            f"{place.uri}: there is nothing at {place.path or 'its root'} on the claim {place.claim}; "
            f"it has {_beside(path)}. Write the path from the root of the claim"
        ) from error
    except OSError as error:
        raise _unreadable(place, path, error) from error
    return path


def list_on_claim(path: Path, place: ClaimPath) -> tuple[ListedFile, ...]:
    """The model's own files below `path`, or the file that it is: none that is hidden, or a link out of the folder.

    Raises NoModelInSource where there are none or too many, and SourceUnauthorized where they can't be listed.
    """
    if path.is_file():
        return (_listed(path, path.name),)
    files = tuple(_listed(path / name, name) for name in _names(path, place) if is_own_file(path, path / name))
    if not files:
        raise NoModelInSource(f"{place.uri}: the folder has no files; name the one that the model lies in")
    return files


def digest_on_claim(files: tuple[ListedFile, ...], place: ClaimPath, pinned: Digest | None) -> Digest:
    """The digest of what lies there. Raises DigestMismatch where it is not the pinned one."""
    found = listed_digest(files)
    if pinned is not None and pinned != found:
        raise DigestMismatch(
            f"{place.uri}: the files there have the digest {found}, not {pinned}: some were changed since. Write that "
            "one into spec.source.digest to serve what is there now, or put the files back"
        )
    return found


def _names(root: Path, place: ClaimPath) -> list[str]:
    def refuse(error: OSError) -> None:
        raise _unreadable(place, Path(error.filename), error) from error

    names = []
    for folder, below, here in os.walk(root, onerror=refuse):
        below[:] = filter(_is_shown, below)
        inside = Path(folder).relative_to(root)
        names += [str(inside / name) for name in here if _is_shown(name)]
        if len(names) > MOST_FILES:
            raise NoModelInSource(f"{place.uri}: it holds more than {MOST_FILES:,} files; name the model's own folder")
    return sorted(names)


def _is_shown(name: str) -> bool:
    """As detection sees a folder: nothing that is hidden, or whose name nobody could be told."""
    return not name.startswith(".") and is_text(name)


def _listed(path: Path, name: str) -> ListedFile:
    status = path.stat()
    return ListedFile(name, status.st_size, version=str(status.st_mtime_ns))


def _unreadable(place: ClaimPath, path: Path, error: OSError) -> SourceUnauthorized:
    return SourceUnauthorized(
        f"{place.uri}: {path.name or path} can't be read: {error.strerror}; let the user or group {os.getuid()} of the "
        "model's pods read the files on the claim"
    )


def _beside(path: Path) -> str:
    """What lies where the missing path leaves what is there, for people."""
    parent = next(each for each in path.parents if each.is_dir())
    try:
        names = sorted(each.name for each in parent.iterdir())
    except OSError:
        return "a folder above it that can't be read"
    listed = ", ".join(names[:8])
    return f"{listed}{' and others' if len(names) > 8 else ''}" if listed else "nothing at all"
