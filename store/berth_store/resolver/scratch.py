"""A source's files in scratch space as detection wants to see them: by name, without their content. `Scratch`.

Of large files nothing is checked against a digest, for only whole ones have one. What is learnt is for planning;
whoever fetches the weights checks them. Small files whose sha256 nobody tells (Hugging Face has git's digests of them)
are read whole, so that the digest of all files together is known.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from berth_api.errors import UnsupportedModel
from berth_store.archive.contents import files_in, refusal, scopes
from berth_store.archive.inventory import Inventory
from berth_store.archive.kinds import ArchiveLayer, Codec, Scope, archive_layers
from berth_store.archive.tar import TarError
from berth_store.digest import Digest, digest_of, hex_of
from berth_store.durable import writing
from berth_store.errors import DigestMismatch
from berth_store.fetch import git_digest_of
from berth_store.manifest import Manifest
from berth_store.ranges import Range
from berth_store.registries import RegistryConfig
from berth_store.resolver.archives import MOST_PACKED_BYTES, PackedArchive, PlainArchive, check_packed
from berth_store.resolver.sparse_blob import SparseBlob
from berth_store.sources.oci import archive_file, list_inside
from berth_store.sources.protocol import ListedFile, Source, key_of
from berth_store.tasks import in_thread, run_all
from berth_store.view import ensure_view, plan_links

# What is fetched of each file before anybody asks: small files whole, of large ones the beginning of the header.
HEAD_BYTES = 128 * 1024
# More than the headers of any real artifact take, and little enough for any disk.
MOST_BYTES = 512 * 1024 * 1024
# Hugging Face takes no larger file without a sha256.
WHOLE_BYTES = 32 * 1024 * 1024


class Stretches(Protocol):
    """A file of `size` bytes that is not all there. `supply` has a stretch of it there when it returns."""

    size: int

    async def supply(self, wanted: Range) -> None: ...  # noqa: D102


class Scratch:
    """Sparse blobs in `root`, laid out as in a store, and the `view` of them. `origin` names the source in messages.

    Compressed archives, which have to be streamed, are looked into up to `most_packed_bytes` together.
    """

    def __init__(
        self,
        root: Path,
        source: Source,
        origin: str,
        config: RegistryConfig,
        *,
        most_packed_bytes: int = MOST_PACKED_BYTES,
    ) -> None:
        self.view = root / "views" / "model"
        self._source = source
        self._origin = origin
        self._config = config
        self._most_packed_bytes = most_packed_bytes
        self._slots = asyncio.Semaphore(config.connections)
        self._left_bytes = MOST_BYTES
        self._folder = root / "blobs" / "sha256"
        self._by_key: dict[str, Stretches] = {}
        self._by_path: dict[Path, Stretches] = {}

    async def look_into(self, manifest: Manifest) -> tuple[ListedFile, ...]:
        """The files in the archives of a registry's artifact, as `berth_store.unpack` has them but for their digests,
        which are made up.
        """
        archives = archive_layers(manifest)
        check_packed(archives, self._origin, self._most_packed_bytes)
        self._make_folder()
        for scope in scopes(manifest):
            inventories = [await self._list(layer, scope) for layer in archives]
            if files := files_in(manifest, scope, inventories, self._origin):
                return list_inside(files)
        return ()

    async def prepare(self, files: Sequence[ListedFile]) -> tuple[ListedFile, ...]:
        """Make a view of `files`, and fetch the beginning of each; the same with the digests that are known then."""
        keys = [key_of(f"{self._origin} {file.path}", file) for file in files]
        named = [(file.path, Digest(f"sha256:{key}")) for file, key in zip(files, keys, strict=True)]
        links = plan_links(named, self._origin)
        self._make_folder()
        for file, key in zip(files, keys, strict=True):
            self._by_path[self.view / file.path] = self._by_key.get(key) or self._sparse(file, key)
        with writing(self._folder):
            self.view.parent.mkdir()
            ensure_view(self.view, links)
        await run_all(self._fetch_head(stretches) for stretches in set(self._by_path.values()))
        return tuple([await self._digested(file) for file in files])

    async def supply(self, path: Path, wanted: Range) -> None:
        """Have the bytes `wanted` of a file of the view."""
        await self._by_path[path].supply(wanted)

    async def _list(self, layer: ArchiveLayer, scope: Scope) -> Inventory:
        file, key = archive_file(layer), hex_of(layer.descriptor.digest)
        if layer.codec is Codec.NONE:
            known = self._by_key.get(key)
            blob = known if isinstance(known, SparseBlob) else self._sparse(file, key)
            archive: PlainArchive | PackedArchive = PlainArchive(layer, blob, self._folder / key, self._folder)
        else:
            remote = self._source.open(file)
            archive = PackedArchive(layer, remote, self._config.retry, self._folder, self._count)
        try:
            inventory, members = await archive.list(scope)
        except TarError as error:
            raise refusal(self._origin, layer, str(error)) from error
        self._by_key.update({hex_of(digest): member for digest, member in members.items()})
        return inventory

    def _sparse(self, file: ListedFile, key: str) -> SparseBlob:
        blob = SparseBlob(self._source.open(file), self._config.retry, self._folder / key, file.size, self._count)
        blob.make()
        self._by_key[key] = blob
        return blob

    def _make_folder(self) -> None:
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)

    async def _fetch_head(self, stretches: Stretches) -> None:
        async with self._slots:
            await stretches.supply(Range(0, min(stretches.size, HEAD_BYTES)))

    async def _digested(self, file: ListedFile) -> ListedFile:
        if file.digest is not None or not file.git_digest or file.size > WHOLE_BYTES:
            return file
        path = self.view / file.path
        await self.supply(path, Range(0, file.size))
        if await in_thread(git_digest_of, path, file.size) != file.git_digest:
            raise DigestMismatch(
                f"{file.path}: what is sent has another digest than the git digest {file.git_digest} that was "
                "announced; the upload was damaged, or something on the way changes it. Try again"
            )
        return replace(file, digest=digest_of(await in_thread(path.read_bytes)))

    def _count(self, count_bytes: int) -> None:
        self._left_bytes -= count_bytes
        if self._left_bytes < 0:
            raise UnsupportedModel(
                f"to know what it is, more than {MOST_BYTES:,} bytes of it would have to be read, and no real model "
                "needs that; fetch it from a source that you trust, and from a server that answers range requests"
            )
