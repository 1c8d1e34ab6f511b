"""Pulling a model: from a registry, or another source, into the store of this machine.

The manifest comes first and decides what is fetched; blobs that are here are not fetched again, ones that another
process is fetching are waited for; the name is written last. So an interrupted pull leaves no half-named artifact, and
the next one goes on where it was. What is no whole artifact of a registry gets a manifest here, see `sources.gather`:
it is imported when it is wanted, for an artifact of a registry needs none of the readers of formats that come with it.
So is what judges signatures, see `signing.judge`: before the name is written, and also of what is here already.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from berth_store.digest import Digest, hex_of
from berth_store.durable import writing
from berth_store.errors import DigestMismatch, SourceNotFound
from berth_store.fetch import Fetcher, Wanted
from berth_store.local import Store
from berth_store.manifest import Descriptor
from berth_store.model_manifest import fetch_model_manifest, refuse_local
from berth_store.progress import Meter, Report, Stage
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.registry import Registry
from berth_store.signing.demand import Demand
from berth_store.sources.address import Address, Name
from berth_store.tasks import in_thread, run_all
from berth_store.transport import Transport
from berth_store.unpack import unpack
from berth_store.view import plan_view

if TYPE_CHECKING:
    from berth_store.signing.judge import Judge


async def pull(
    store: Store,
    name: Name,
    *,
    registries: RegistryConfig | None = None,
    progress: Report | None = None,
    slots: asyncio.Semaphore | None = None,
    demand: Demand | None = None,
) -> Digest:
    """Bring the artifact into the store under its name, and return the digest of its manifest.

    `slots` bounds the requests of several pulls together; by default each pull has `registries.connections` of its own.
    What a `demand` asks of its signature is judged before it is named, and each time anew.
    Raises what `berth_store.errors` lists; what had been fetched by then is kept for the next attempt.
    """
    config = registries or RegistryConfig.from_environment()
    meter = Meter(name, progress)
    meter.enter(Stage.RESOLVING)
    judge = _judge(demand) if demand is not None else None
    digest = await in_thread(_already_here, store, name)
    if digest is not None and judge is not None:
        digest = await in_thread(_accepted, judge, store, name, digest)
    if digest is None:
        async with Transport(config) as transport:
            fetcher = Fetcher(store, config, meter, slots=slots)
            if isinstance(name, Address):
                from berth_store.sources.gather import gather  # noqa: PLC0415 - see the module's docstring

                digest = await gather(name, transport, fetcher, judge)
            else:
                digest = await _pull_artifact(name, transport, fetcher, judge)
    meter.enter(Stage.DONE)
    return digest


def _already_here(store: Store, name: Name) -> Digest | None:
    """The digest, if asking could change nothing: the name is pinned, or one of this store only."""
    if isinstance(name, Address):
        from berth_store.sources import gather  # noqa: PLC0415 - see the module's docstring

        look = gather.gather_local if name.is_local else gather.find_gathered
        return _unless_damaged(lambda: look(store, name))
    if name.digest is None and not name.is_local:
        return None
    return _unless_damaged(lambda: _whole(store, name))


def _judge(demand: Demand) -> "Judge":
    from berth_store.signing.judge import Judge  # noqa: PLC0415 - see the module's docstring

    return Judge(demand)


def _accepted(judge: "Judge", store: Store, name: Name, digest: Digest) -> Digest | None:
    """The digest, if its signatures that are here suffice; None where the source may have others.

    Raises SignatureMissing or SignatureInvalid where it can't, for the name is this store's alone.
    """
    if name.is_local:
        judge.signer_of(store, name, digest)
        return digest
    return digest if judge.accepts(store, name, digest) else None


def _whole(store: Store, reference: Reference) -> Digest | None:
    digest = store.resolve(reference)
    if digest is None or store.missing(store.manifest(digest)):
        return None
    store.tag(reference, digest)
    return digest


def _unless_damaged(look: Callable[[], Digest | None]) -> Digest | None:
    """What is found; None where the manifest itself is damaged, for fetching it again repairs it."""
    try:
        return look()
    except (SourceNotFound, DigestMismatch):
        return None


async def _pull_artifact(reference: Reference, transport: Transport, fetcher: Fetcher, judge: "Judge | None") -> Digest:
    """One whole artifact on its way into the store."""
    refuse_local(reference)
    store, meter = fetcher.store, fetcher.meter
    registry = Registry(transport, fetcher.config, reference)
    fetched, manifest = await fetch_model_manifest(registry, reference)
    signatures = await judge.look_at(registry, reference, fetched.digest, manifest) if judge else []
    missing = [_wanted(registry, reference, blob) for blob in store.missing(manifest)]
    meter.expect(manifest.size_bytes)
    meter.add(manifest.size_bytes - sum(blob.size for blob in missing))
    with store.using(), writing(store.root):
        async with fetcher.room_for(missing, (blob.digest for blob in manifest.blobs)):
            await run_all(fetcher.fetch(blob) for blob in missing)
        unpacked = await in_thread(unpack, store, manifest, str(reference))
        if unpacked or judge is not None:  # Else the names of all files have been checked with the manifest.
            links = plan_view(manifest, str(reference), unpacked)
            if judge is not None:
                await in_thread(judge.admit, store, fetched.digest, links, signatures, str(reference))
        await in_thread(store.write_blob, fetched.content)
        await in_thread(store.tag, reference, fetched.digest)
    return fetched.digest


def _wanted(registry: Registry, reference: Reference, blob: Descriptor) -> Wanted:
    remote = registry.blob(reference.repository, blob.digest)
    return Wanted(hex_of(blob.digest), blob.size, remote, blob.digest)
