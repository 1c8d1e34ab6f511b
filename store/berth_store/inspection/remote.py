"""`inspect_remote`: what a registry or another source holds under a name, known from headers by ranges.

The way is the resolver's: manifest and config, the list of files, the beginning of each, and what detection reads of
them. Weights are not fetched. A compressed archive can't be read by ranges; one that is not small is left closed.
"""

import asyncio
from pathlib import Path
from typing import Final

from berth_api.errors import FieldError, InvalidSpec, UnsupportedModel
from berth_store.detect import DetectedAdapter, DetectedModel
from berth_store.detect.paged import detect_either_paged
from berth_store.digest import digest_of
from berth_store.errors import DigestMismatch, NoModelInSource
from berth_store.inspection.describe import Evidence, Written, describe
from berth_store.inspection.description import Description
from berth_store.manifest import Manifest, parse_manifest
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.resolver.look import Look, look
from berth_store.resolver.resolve import held_to
from berth_store.resolver.scratch import Scratch
from berth_store.signing.found import fetch_signatures
from berth_store.small import fetch_small
from berth_store.sources.address import Address, Name
from berth_store.sources.gather import build_gathered
from berth_store.sources.oci import config_file
from berth_store.sources.opened import open_source
from berth_store.sources.protocol import ListedFile, Listing, Source
from berth_store.transport import Transport

MOST_PACKED_BYTES: Final = 64 * 1024 * 1024
"""Compressed archives are streamed up to so many bytes together, to know what they hold: somebody waits."""


async def inspect_remote(name: Name, *, registries: RegistryConfig, scratch: Path) -> Description:
    """What is there; `scratch` is an empty folder for the parts of it that are looked at.

    Raises what `berth_store.errors` lists, and InvalidSpec for a name that is on this machine only. What is there and
    can't be served as it is, is described too, with its `problem`.
    """
    if name.is_local:
        message = f"{name} is in this machine's store only"
        raise InvalidSpec(
            FieldError("--remote", message, "leave it out, or give the port of a registry (localhost:5000/…)")
        )
    async with Transport(registries) as transport:
        source = open_source(name, transport, registries)
        listing = await source.list_files()
        there = Scratch(scratch, source, str(name), registries, most_packed_bytes=MOST_PACKED_BYTES)
        inside, closed = await _look_into(there, listing)
        looked = await look(name, listing, inside, there)
        found, problem = (None, closed) if closed else await _detect(name, there)
        return describe(
            Evidence(
                name=name,
                tags=(str(name),),
                looked=looked,
                written=await _written(name, source, looked, registries),
                identity=held_to(name, listing, looked.files),
                view=there.view,
                found=found,
                problem=problem,
                signatures=tuple(await fetch_signatures(source, listing, registries)),
            )
        )


async def _look_into(there: Scratch, listing: Listing) -> tuple[tuple[ListedFile, ...], str]:
    """The files of the archives, or why these are left closed. Raises NoModelInSource where one is refused."""
    if listing.manifest is None:
        return (), ""
    try:
        return await there.look_into(listing.manifest), ""
    except NoModelInSource:
        raise
    except UnsupportedModel as error:
        return (), str(error)


async def _detect(name: Name, there: Scratch) -> tuple[DetectedModel | DetectedAdapter | None, str]:
    """What the files are, or why they can't be served as they are."""
    pickles = isinstance(name, Address) and name.trust.pickle
    try:
        return await detect_either_paged(there.view, there.supply, pickles=pickles), ""
    except UnsupportedModel as error:
        return None, str(error)


async def _written(name: Name, source: Source, looked: Look, registries: RegistryConfig) -> Written | None:
    """The registry's manifest with its config, or what the store would write of these files."""
    listing = looked.listing
    if isinstance(name, Reference) and listing.manifest is not None and listing.digest is not None:
        config = await _fetch_config(source, listing.manifest, registries)
        return Written(listing.digest, listing.manifest, config)
    digests = {path: digest for path, digest in looked.digests.items() if digest is not None}
    if len(digests) < len(looked.files):
        return None
    config, content = build_gathered(looked.files, digests)
    manifest = parse_manifest(content, origin=str(name))
    assert isinstance(manifest, Manifest), "it was built as one"
    return Written(digest_of(content), manifest, config)


async def _fetch_config(source: Source, manifest: Manifest, registries: RegistryConfig) -> bytes:
    blob = source.open(config_file(manifest))
    content = await fetch_small(blob, manifest.config.size, registries, asyncio.Semaphore(1))
    if digest_of(content) != manifest.config.digest:
        raise DigestMismatch(
            f"{blob.subject}: what is sent has the digest {digest_of(content)}; the registry's copy is damaged. Push "
            "the model again"
        )
    return content
