"""Freeing what no name stands for any more: blobs, views, signatures, and what interrupted work has left behind.

Only while nobody adds content (the store's lock is free at once); otherwise the next sweep finds the same. What
interrupted transfers left stays for a week, so that they can be resumed; what somebody holds stays without a name.
"""

import re
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from berth_store import locks
from berth_store.digest import Digest, hex_of
from berth_store.errors import NoModelInSource, SourceError
from berth_store.holds import held_pins
from berth_store.manifest import MAX_MANIFEST_BYTES, Index, parse_manifest
from berth_store.quota import RECEIPT_SUFFIX
from berth_store.unpack import read_inventory

if TYPE_CHECKING:
    from berth_store.local import Store

PARTIAL_AGE_SECONDS = 7 * 24 * 3600
_HEX = re.compile(r"(?:view-)?[0-9a-f]{64}")


@dataclass(frozen=True)
class Removal:
    """What a sweep has freed. `postponed` is True when it could not look, because content was being added."""

    digests: tuple[Digest, ...] = ()
    freed_bytes: int = 0
    postponed: bool = False


def sweep(store: "Store", *, now: float | None = None, keeps: frozenset[str] = frozenset()) -> Removal:
    """Delete what is not needed; `now` (seconds since the epoch) decides which partial files are too old.

    `keeps` are the hexes of blobs that are kept besides.
    """
    store.prepare()
    with locks.exclusive_if_free(store.locks / "store") as free:
        if not free:
            return Removal(postponed=True)
        needed = _needed(store)
        if needed is None:
            return Removal(postponed=True)
        needed = _with_unpacked(store.unpacked, needed | keeps | _held(store))
        _sweep_views(store, needed)
        _sweep_signatures(store.signatures, needed)
        unpacked_bytes = _sweep_ingest(store.ingest, needed, time.time() if now is None else now)
        _sweep_locks(store.locks)
        swept = _sweep_blobs(store.blobs, needed)
        return replace(swept, freed_bytes=swept.freed_bytes + unpacked_bytes)


def _needed(store: "Store") -> frozenset[str] | None:
    """The hexes of every manifest and blob with a name; None if a manifest can't be read, for then nobody knows."""
    found: set[Digest] = set()
    waiting = [entry.digest for entry in store.read_index().manifests]
    while waiting:
        digest = waiting.pop()
        if digest in found:
            continue
        found.add(digest)
        try:
            parsed = parse_manifest(store.read_blob(digest, MAX_MANIFEST_BYTES), origin=str(digest))
        except (SourceError, NoModelInSource):
            return None
        if isinstance(parsed, Index):
            waiting += [entry.digest for entry in parsed.manifests]
        else:
            found.update(blob.digest for blob in parsed.blobs)
    return frozenset(map(hex_of, found))


def _held(store: "Store") -> frozenset[str]:
    """The same of what is held, if it is a manifest; where files came without one, their names have the pin."""
    found: set[Digest] = set()
    for pin in held_pins(store.root):
        try:
            manifest = store.manifest(pin)
        except (SourceError, NoModelInSource):
            continue
        found.update((pin, *(blob.digest for blob in manifest.blobs)))
    return frozenset(map(hex_of, found))


def _with_unpacked(folder: Path, needed: frozenset[str]) -> frozenset[str]:
    """`needed`, and what lay in the archives among it; inventories of other archives are deleted."""
    found = set(needed)
    for path in folder.iterdir():
        inventory = read_inventory(path) if path.name.partition(".")[0] in needed else None
        if inventory is None:
            path.unlink()
        else:
            found.update(map(hex_of, inventory.digests))
    return frozenset(found)


def _sweep_blobs(folder: Path, needed: frozenset[str]) -> Removal:
    freed, digests = 0, []
    for path in folder.iterdir():
        if path.name not in needed and _HEX.fullmatch(path.name):
            freed += path.stat().st_size
            digests.append(Digest(f"sha256:{path.name}"))
            path.unlink()
    return Removal(tuple(sorted(digests)), freed)


def _sweep_views(store: "Store", needed: frozenset[str]) -> None:
    for path in store.views.iterdir():
        if path.name not in needed:
            if path.is_symlink() or not path.is_dir():
                path.unlink()
            else:
                shutil.rmtree(path)


def _sweep_signatures(folder: Path, needed: frozenset[str]) -> None:
    for path in folder.iterdir():
        if path.name not in needed:
            shutil.rmtree(path)


def _sweep_ingest(folder: Path, needed: frozenset[str], now: float) -> int:
    """How many bytes there were in folders of archives that were not unpacked to the end; a quota counts them."""
    freed = 0
    for path in folder.iterdir():
        if path.suffix == RECEIPT_SUFFIX and path.read_bytes().decode(errors="replace")[-64:] in needed:
            continue
        is_resumable = path.suffix in {".partial", ".journal", ".upload"} and _HEX.fullmatch(path.stem)
        if path.is_dir():
            freed += sum(file.stat().st_size for file in path.iterdir())
            shutil.rmtree(path)
        elif not is_resumable or now - path.stat().st_mtime > PARTIAL_AGE_SECONDS:
            path.unlink()
    return freed


def _sweep_locks(folder: Path) -> None:
    """The locks of blobs and views are free now, for they are only ever taken under the store's."""
    for path in folder.iterdir():
        if _HEX.fullmatch(path.name):
            path.unlink()
