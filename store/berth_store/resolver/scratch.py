"""An artifact in scratch space as detection wants to see it: its files by name, without their content. `Scratch`.

Nothing here is checked against a digest, for only whole blobs have one. What is learnt is for planning; whoever fetches
the weights checks them.
"""

import asyncio
from pathlib import Path

from berth_api.errors import UnsupportedModel
from berth_store.digest import Digest, hex_of
from berth_store.durable import writing
from berth_store.manifest import Manifest
from berth_store.ranges import Range
from berth_store.reference import Reference
from berth_store.registry import Registry
from berth_store.resolver.sparse_blob import SparseBlob
from berth_store.tasks import run_all
from berth_store.view import ensure_view, plan_view

# What is fetched of each file before anybody asks: small files whole, of large ones the beginning of the header.
HEAD_BYTES = 128 * 1024
# More than the headers of any real artifact take, and little enough for any disk.
MOST_BYTES = 512 * 1024 * 1024


class Scratch:
    """Sparse blobs in `root`, laid out as in a store, and the `view` of them."""

    def __init__(
        self, root: Path, registry: Registry, reference: Reference, digest: Digest, manifest: Manifest
    ) -> None:
        self.view = root / "views" / hex_of(digest)
        self._slots = asyncio.Semaphore(registry.config.connections)
        self._left_bytes = MOST_BYTES
        self._links = plan_view(manifest, str(reference))
        self._digests = {self.view / link.name: link.digest for link in self._links}
        self._folder = root / "blobs" / "sha256"
        self._blobs = {
            layer.digest: SparseBlob(
                registry,
                registry.blob(reference.repository, layer.digest),
                self._folder / hex_of(layer.digest),
                layer.size,
                self._count,
            )
            for layer in manifest.layers
        }

    async def prepare(self) -> None:
        """Make files and view, and fetch the beginning of each file."""
        with writing(self._folder):
            self._folder.mkdir(parents=True)
            self.view.parent.mkdir()
            ensure_view(self.view, self._links)
        for blob in self._blobs.values():
            blob.make()
        await run_all(self._fetch_head(blob) for blob in self._blobs.values())

    async def supply(self, path: Path, wanted: Range) -> None:
        """Have the bytes `wanted` of a file of the view."""
        await self._blobs[self._digests[path]].supply(wanted)

    async def _fetch_head(self, blob: SparseBlob) -> None:
        async with self._slots:
            await blob.supply(Range(0, min(blob.size, HEAD_BYTES)))

    def _count(self, count_bytes: int) -> None:
        self._left_bytes -= count_bytes
        if self._left_bytes < 0:
            raise UnsupportedModel(
                f"to know what it is, more than {MOST_BYTES:,} bytes of it would have to be read, and no real model "
                "needs that; fetch it from a source that you trust, and from a registry that answers range requests"
            )
