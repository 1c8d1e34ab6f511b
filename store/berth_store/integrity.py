"""Reading the store back: whether every blob still is what its digest says.

Disks rot and people edit files. `find_damage` reads everything that a name needs; `discard` takes damaged blobs away,
so that the next pull fetches them, and only them, anew.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from berth_store.digest import Digest
from berth_store.errors import DigestMismatch, NoModelInSource, SourceNotFound
from berth_store.local import Store
from berth_store.manifest import Descriptor, Manifest
from berth_store.unpack import inventory_paths, read_inventory

BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Damage:
    """One blob that is not as it must be; `needed_by` are the manifests that need it."""

    digest: Digest
    problem: str
    needed_by: tuple[Digest, ...]


def find_damage(store: Store, *, advance: Callable[[int], None] = lambda _: None) -> tuple[Damage, ...]:
    """Every damaged or missing blob that a name needs. `advance` is told the bytes that have been read."""
    needed: dict[Digest, list[Digest]] = {}
    blobs: dict[Digest, Descriptor] = {}
    damaged: list[Damage] = []
    for entry in {entry.digest: entry for entry in store.read_index().manifests}.values():
        try:
            manifest = store.manifest(entry.digest)
        except (SourceNotFound, DigestMismatch, NoModelInSource) as error:
            damaged.append(Damage(entry.digest, str(error), (entry.digest,)))
            continue
        for blob in (*manifest.blobs, *_unpacked(store, manifest)):
            blobs[blob.digest] = blob
            needed.setdefault(blob.digest, []).append(entry.digest)
    for blob in blobs.values():
        problem = _problem(store, blob, advance)
        if problem:
            damaged.append(Damage(blob.digest, problem, tuple(needed[blob.digest])))
    return tuple(damaged)


def discard(store: Store, damaged: Iterable[Damage]) -> None:
    """Take the damaged blobs out of the store. The names stay: pulling one of them again repairs it."""
    with store.using():
        for damage in damaged:
            store.blob_path(damage.digest).unlink(missing_ok=True)


def _unpacked(store: Store, manifest: Manifest) -> tuple[Descriptor, ...]:
    """What lay in the archives of the artifact, as far as it was unpacked."""
    paths = (path for layer in manifest.layers for path in inventory_paths(store.unpacked, layer.digest))
    inventories = filter(None, map(read_inventory, paths))
    return tuple(
        Descriptor(media_type="", digest=file.digest, size=file.size)
        for inventory in inventories
        for file in inventory.files
    )


def _problem(store: Store, blob: Descriptor, advance: Callable[[int], None]) -> str | None:
    path = store.blob_path(blob.digest)
    if not path.is_file():
        return "it is missing"
    if path.stat().st_size != blob.size:
        return f"it has {path.stat().st_size} bytes instead of {blob.size}"
    read = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            read.update(block)
            advance(len(block))
    return None if f"sha256:{read.hexdigest()}" == blob.digest else "its content was changed"
