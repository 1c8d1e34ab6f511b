"""Where signatures are found: among the files of a model, and attached to an artifact. Nothing is judged here.

`berth_store.signing.judge` and `berth_store.inspection` call; no library for keys is needed to find one.
"""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from berth_store.digest import Digest
from berth_store.registries import RegistryConfig
from berth_store.signing.bundle import MAX_BUNDLE_BYTES, SIGNATURE_NAME
from berth_store.small import fetch_small
from berth_store.sources.protocol import Listing, Source

if TYPE_CHECKING:
    from berth_store.local import Store


async def fetch_signatures(source: Source, listing: Listing, config: RegistryConfig) -> list[bytes]:
    """The signatures of a source's files: the one among them, and those that are attached. Raises SourceError."""
    own = [file for file in listing.files if file.path == SIGNATURE_NAME and file.size <= MAX_BUNDLE_BYTES]
    found = [await fetch_small(source.open(file), file.size, config, asyncio.Semaphore(1)) for file in own]
    return [*found, *await source.read_attached(listing)]


def read_own(store: "Store", files: Mapping[str, Digest]) -> list[bytes]:
    """The signature among files of this machine's store, if there is one."""
    digest = files.get(SIGNATURE_NAME)
    if digest is None or store.blob_path(digest).stat().st_size > MAX_BUNDLE_BYTES:
        return []
    return [store.read_blob(digest, MAX_BUNDLE_BYTES)]
