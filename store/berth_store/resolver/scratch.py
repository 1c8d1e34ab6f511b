"""A source's files in scratch space as detection wants to see them: by name, without their content. `Scratch`.

Of large files nothing is checked against a digest, for only whole ones have one. What is learnt is for planning;
whoever fetches the weights checks them. Small files whose sha256 nobody tells (Hugging Face has git's digests of them)
are read whole, so that the digest of all files together is known.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from berth_api.errors import UnsupportedModel
from berth_store.digest import Digest, digest_of
from berth_store.durable import writing
from berth_store.errors import DigestMismatch
from berth_store.fetch import git_digest_of
from berth_store.ranges import Range
from berth_store.registries import RegistryConfig
from berth_store.resolver.sparse_blob import SparseBlob
from berth_store.sources.protocol import ListedFile, Source, key_of
from berth_store.tasks import in_thread, run_all
from berth_store.view import ensure_view, plan_links

# What is fetched of each file before anybody asks: small files whole, of large ones the beginning of the header.
HEAD_BYTES = 128 * 1024
# More than the headers of any real artifact take, and little enough for any disk.
MOST_BYTES = 512 * 1024 * 1024
# Hugging Face takes no larger file without a sha256.
WHOLE_BYTES = 32 * 1024 * 1024


class Scratch:
    """Sparse blobs in `root`, laid out as in a store, and the `view` of them. `origin` names the source in messages."""

    def __init__(
        self, root: Path, source: Source, files: Sequence[ListedFile], origin: str, config: RegistryConfig
    ) -> None:
        self.view = root / "views" / "model"
        self._files = files
        self._slots = asyncio.Semaphore(config.connections)
        self._left_bytes = MOST_BYTES
        self._folder = root / "blobs" / "sha256"
        keys = {file.path: key_of(f"{origin} {file.path}", file) for file in files}
        self._links = plan_links([(path, Digest(f"sha256:{key}")) for path, key in keys.items()], origin)
        by_key = {
            key: SparseBlob(source.open(file), config.retry, self._folder / key, file.size, self._count)
            for file in files
            if (key := keys[file.path])
        }
        self._blobs = {path: by_key[key] for path, key in keys.items()}

    async def prepare(self) -> tuple[ListedFile, ...]:
        """Make files and view, and fetch the beginning of each file; the files with the digests that are known then."""
        with writing(self._folder):
            self._folder.mkdir(parents=True)
            self.view.parent.mkdir()
            ensure_view(self.view, self._links)
        blobs = set(self._blobs.values())
        for blob in blobs:
            blob.make()
        await run_all(self._fetch_head(blob) for blob in blobs)
        return tuple([await self._digested(file) for file in self._files])

    async def supply(self, path: Path, wanted: Range) -> None:
        """Have the bytes `wanted` of a file of the view."""
        await self._blobs[str(path.relative_to(self.view))].supply(wanted)

    async def _fetch_head(self, blob: SparseBlob) -> None:
        async with self._slots:
            await blob.supply(Range(0, min(blob.size, HEAD_BYTES)))

    async def _digested(self, file: ListedFile) -> ListedFile:
        if file.digest is not None or not file.git_digest or file.size > WHOLE_BYTES:
            return file
        await self._blobs[file.path].supply(Range(0, file.size))
        path = self.view / file.path
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
