"""Unpacking: the files of an artifact's archives, each a blob of the store under its own digest.

No name from an archive ever becomes a path here. Files are written under numbers into a fresh folder of `ingest/`,
hashed on the way; when the whole archive was good they are flushed and become blobs, and last of all the inventory
`unpacked/<hex of the archive>.<scope>.json` is written. So files are shared with whoever has the same content, views
show them like any other, and a sweep keeps what an inventory of a needed archive names. An archive lies here under its
digest, which means that it was verified.

An archive with one bad entry is refused whole, and leaves nothing.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from berth_store import locks
from berth_store.archive.contents import files_in, refusal, scopes
from berth_store.archive.inventory import MAX_INVENTORY_BYTES, File, Inventory, parse_inventory, render_inventory
from berth_store.archive.kinds import ArchiveLayer, Scope, archive_layers
from berth_store.archive.streams import Stream, open_stream
from berth_store.archive.tar import Member, TarError
from berth_store.archive.walk import Census, walk
from berth_store.digest import Digest, hex_of
from berth_store.durable import publish, temporary_name, write_all, write_atomically, writing
from berth_store.manifest import Descriptor, Manifest
from berth_store.room import Room, open_room

if TYPE_CHECKING:
    from berth_store.local import Store


def unpack(store: "Store", manifest: Manifest, origin: str) -> tuple[File, ...]:
    """The files of the artifact's archives, by the names that they have in its view; unpacked if they are not yet.

    NoModelInSource names the layer that is refused, and why.
    """
    archives = archive_layers(manifest)
    keeps = frozenset(hex_of(blob.digest) for blob in manifest.blobs)
    for scope in scopes(manifest):
        inventories = [_ensured(store, layer, scope, origin, keeps) for layer in archives]
        if files := files_in(manifest, scope, inventories, origin):
            return files
    return ()


def inventory_paths(folder: Path, digest: Digest) -> tuple[Path, ...]:
    """Where the inventories of an archive lie, if there are any."""
    return tuple(folder / f"{hex_of(digest)}.{scope}.json" for scope in Scope)


def read_inventory(path: Path) -> Inventory | None:
    """The inventory at `path`; None if there is none, or a damaged one."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_INVENTORY_BYTES + 1)
    except FileNotFoundError:
        return None
    return parse_inventory(content)


def _ensured(store: "Store", layer: ArchiveLayer, scope: Scope, origin: str, keeps: frozenset[str]) -> Inventory:
    """The inventory of an archive all of whose files are here; `keeps` as in DiskFull."""
    path = store.unpacked / f"{hex_of(layer.descriptor.digest)}.{scope}.json"
    inventory = _whole_inventory(store, path)
    if inventory is not None:
        return inventory
    with store.using(), locks.exclusive(store.locks / hex_of(layer.descriptor.digest)):
        inventory = _whole_inventory(store, path)
        if inventory is None:
            with writing(store.root):
                inventory = _unpack_layer(store, layer, scope, origin, keeps)
                write_atomically(path, render_inventory(inventory), scratch=store.ingest, mode=0o444)
    return inventory


def _whole_inventory(store: "Store", path: Path) -> Inventory | None:
    inventory = read_inventory(path)
    return inventory if inventory is not None and all(map(store.has, map(_described, inventory.files))) else None


def _unpack_layer(store: "Store", layer: ArchiveLayer, scope: Scope, origin: str, keeps: frozenset[str]) -> Inventory:
    census = Census(scope, layer.descriptor.size)
    with _fresh_folder(store.ingest) as staging, open_room(store, layer.descriptor.size, keeps) as room:
        try:
            with store.blob_path(layer.descriptor.digest).open("rb", buffering=0) as packed:
                stream = open_stream(packed.read, layer.codec, layer.descriptor.size)
                files = tuple(
                    _write(staging / str(number), member, stream, room)
                    for number, member in enumerate(walk(stream, census))
                )
        except TarError as error:
            raise refusal(origin, layer, str(error)) from error
        for number, file in enumerate(files):
            _publish(store, staging / str(number), file)
    return Inventory(files=files, removed=tuple(census.removed), emptied=tuple(census.emptied))


def _write(path: Path, member: Member, stream: Stream, room: Room) -> File:
    """One member's content into the new file at `path`."""
    sha256, left = hashlib.sha256(), member.size
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        room.give(file, member.name, member.size)
        while left:
            piece = stream.read(left)
            if not piece:
                raise TarError(f"it is cut off in the file {member.name[:120]!r}")
            write_all(file, piece)
            sha256.update(piece)
            left -= len(piece)
    finally:
        os.close(file)
    return File(name=member.name, digest=Digest(f"sha256:{sha256.hexdigest()}"), size=member.size)


def _publish(store: "Store", path: Path, file: File) -> None:
    """Make a whole file a blob, unless it is one already."""
    if store.has(_described(file)):
        return
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fchmod(handle, 0o444)
        os.fsync(handle)
    finally:
        os.close(handle)
    publish(path, store.blob_path(file.digest))


def _described(file: File) -> Descriptor:
    return Descriptor(media_type="", digest=file.digest, size=file.size)


@contextmanager
def _fresh_folder(parent: Path) -> Iterator[Path]:
    folder = temporary_name(parent)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
