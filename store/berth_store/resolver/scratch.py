"""An artifact in scratch space as detection wants to see it: its files by name, without their content. `Scratch`.

Nothing here is checked against a digest, for only whole blobs have one. What is learnt is for planning; whoever fetches
the weights checks them.
"""

import asyncio
from pathlib import Path
from typing import Protocol

from berth_api.errors import UnsupportedModel
from berth_store.archive.kinds import ArchiveLayer, Codec, Scope, archive_layers, is_image
from berth_store.archive.listing import File, Listing, merge, model_files
from berth_store.archive.tar import TarError
from berth_store.digest import Digest, hex_of
from berth_store.durable import writing
from berth_store.manifest import Descriptor, Manifest
from berth_store.ranges import Range
from berth_store.reference import Reference
from berth_store.registry import Registry
from berth_store.resolver.archives import PackedArchive, PlainArchive, check_packed
from berth_store.resolver.sparse_blob import SparseBlob
from berth_store.tasks import run_all
from berth_store.unpack import check_no_image, empty_image, refusal
from berth_store.view import ensure_view, file_layers, plan_view

# What is fetched of each file before anybody asks: small files whole, of large ones the beginning of the header.
HEAD_BYTES = 128 * 1024
# More than the headers of any real artifact take, and little enough for any disk.
MOST_BYTES = 512 * 1024 * 1024


class Source(Protocol):
    """A file of `size` bytes that is not all there. `supply` has a stretch of it there when it returns."""

    size: int

    async def supply(self, wanted: Range) -> None: ...  # noqa: D102


class Scratch:
    """Sparse blobs in `root`, laid out as in a store, and the `view` of them."""

    def __init__(
        self, root: Path, registry: Registry, reference: Reference, digest: Digest, manifest: Manifest
    ) -> None:
        self.view = root / "views" / hex_of(digest)
        self.size_bytes = manifest.size_bytes
        self._slots = asyncio.Semaphore(registry.config.connections)
        self._left_bytes = MOST_BYTES
        self._manifest = manifest
        self._registry = registry
        self._reference = reference
        self._folder = root / "blobs" / "sha256"
        self._sources: dict[Digest, Source] = {}
        self._digests: dict[Path, Digest] = {}

    async def prepare(self) -> None:
        """Make files and view, and fetch the beginning of each file."""
        layers, archives = file_layers(self._manifest), archive_layers(self._manifest)
        check_packed(archives, str(self._reference))
        with writing(self._folder):
            self._folder.mkdir(parents=True)
            self.view.parent.mkdir()
        for layer in layers:
            if layer.digest not in self._sources:
                self._sources[layer.digest] = self._sparse(layer)
        unpacked = await self._unpacked(archives)
        # A cluster gives a model's volume room for its archives, and for what they hold.
        self.size_bytes += sum(file.size for file in unpacked)
        links = plan_view(self._manifest, str(self._reference), unpacked)
        self._digests = {self.view / link.name: link.digest for link in links}
        with writing(self._folder):
            ensure_view(self.view, links)
        await run_all(self._fetch_head(self._sources[digest]) for digest in set(self._digests.values()))

    async def supply(self, path: Path, wanted: Range) -> None:
        """Have the bytes `wanted` of a file of the view."""
        await self._sources[self._digests[path]].supply(wanted)

    async def _unpacked(self, archives: tuple[ArchiveLayer, ...]) -> tuple[File, ...]:
        """The files of the archives, as `berth_store.unpack` has them."""
        if not is_image(self._manifest):
            listings = [await self._list(layer, Scope.ALL) for layer in archives]
            for layer, listing in zip(archives, listings, strict=True):
                check_no_image(listing, layer, str(self._reference))
            return tuple(file for listing in listings for file in listing.files)
        for scope in (Scope.MODELS, Scope.ALL):
            merged = merge([await self._list(layer, scope) for layer in archives])
            files = model_files(merged) if scope is Scope.MODELS else merged
            if files:
                return files
        raise empty_image(str(self._reference))

    async def _list(self, layer: ArchiveLayer, scope: Scope) -> Listing:
        described = layer.descriptor
        if layer.codec is Codec.NONE:
            known = self._sources.get(described.digest)
            blob = known if isinstance(known, SparseBlob) else self._sparse(described)
            self._sources[described.digest] = blob
            archive: PlainArchive | PackedArchive = PlainArchive(
                layer, blob, self._folder / hex_of(described.digest), self._folder
            )
        else:
            source = self._registry.blob(self._reference.repository, described.digest)
            archive = PackedArchive(layer, self._registry, source, self._folder, self._count)
        try:
            listing, members = await archive.list(scope)
        except TarError as error:
            raise refusal(str(self._reference), layer, str(error)) from error
        self._sources.update(members)
        return listing

    def _sparse(self, layer: Descriptor) -> SparseBlob:
        blob = SparseBlob(
            self._registry,
            self._registry.blob(self._reference.repository, layer.digest),
            self._folder / hex_of(layer.digest),
            layer.size,
            self._count,
        )
        blob.make()
        return blob

    async def _fetch_head(self, source: Source) -> None:
        async with self._slots:
            await source.supply(Range(0, min(source.size, HEAD_BYTES)))

    def _count(self, count_bytes: int) -> None:
        self._left_bytes -= count_bytes
        if self._left_bytes < 0:
            raise UnsupportedModel(
                f"to know what it is, more than {MOST_BYTES:,} bytes of it would have to be read, and no real model "
                "needs that; fetch it from a source that you trust, and from a registry that answers range requests"
            )
