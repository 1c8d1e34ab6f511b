"""A demand put to what is on its way into the store, and to what is there: `Judge`.

`berth_store.pull`, `berth_store.sources.gather` and the resolver have one where a signature is demanded, and call it
before a name or a view shows the artifact. Files are compared by the digests under which they were fetched: nothing is
read a second time.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from berth_store.archive.kinds import archive_layers
from berth_store.digest import Digest
from berth_store.errors import SignatureInvalid, SignatureMissing, SourceError
from berth_store.manifest import Manifest
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.registry import Registry
from berth_store.signing.attached import fetch_attached
from berth_store.signing.bundle import MAX_BUNDLE_BYTES, MAX_SIGNATURES, SIGNATURE_NAME
from berth_store.signing.check import check_signatures, covering
from berth_store.signing.demand import Demand
from berth_store.signing.found import fetch_signatures, read_own
from berth_store.signing.kept import keep, read_kept
from berth_store.signing.policies import build_policy
from berth_store.small import fetch_small
from berth_store.sources.address import Address, Name
from berth_store.sources.protocol import Gathered
from berth_store.tasks import in_thread
from berth_store.unpack import unpack
from berth_store.view import Link, file_layers, layer_names, plan_view

if TYPE_CHECKING:
    from berth_store.local import Store


class Judge:
    """Judges by one demand, of which it raises InvalidSpec where that can't be read."""

    def __init__(self, demand: Demand) -> None:
        self._policy = build_policy(demand)

    def signer_here(self, store: "Store", artifact: Digest, origin: str, *, is_whole: bool = True) -> str:
        """Who signed an artifact of the store. Raises SignatureMissing or SignatureInvalid.

        Of some files of a source (`is_whole` is False) only such signatures are kept as list none that was not there.
        """
        manifest = store.manifest(artifact)
        files = _by_name(plan_view(manifest, origin, unpack(store, manifest, origin)))
        signatures = [*read_kept(store, artifact), *(read_own(store, files) if is_whole else [])]
        return self._check(signatures, files, origin, files if is_whole else None)

    def signer_of(self, store: "Store", name: Name, artifact: Digest) -> str:
        """The same of what a name stands for: of some files of an artifact of this store, who signed the artifact."""
        if name.is_local and isinstance(name, Address) and isinstance(name.location, Reference):
            return self.signer_here(store, store.resolve(name.location) or artifact, str(name))
        return self.signer_here(store, artifact, str(name), is_whole=isinstance(name, Reference))

    def accepts(self, store: "Store", name: Name, artifact: Digest) -> bool:
        """Whether what is here suffices, so that nobody has to be asked."""
        try:
            self.signer_of(store, name, artifact)
        except SourceError:  # What is damaged here may be whole there.
            return False
        return True

    async def look_at(
        self, registry: Registry, reference: Reference, artifact: Digest, manifest: Manifest
    ) -> list[bytes]:
        """The signatures of a registry's artifact. Where all its files are layers, it is judged before they come."""
        signatures = await fetch_attached(registry, reference, artifact)
        layers = dict(zip(layer_names(manifest), file_layers(manifest), strict=True))
        own = layers.get(SIGNATURE_NAME)
        if own is not None and own.size <= MAX_BUNDLE_BYTES:
            blob = registry.blob(reference.repository, own.digest)
            signatures.append(await fetch_small(blob, own.size, registry.config, asyncio.Semaphore(1)))
        if not archive_layers(manifest):
            digests = {name: layer.digest for name, layer in layers.items()}
            self._check(signatures, digests, str(reference), digests)
        return signatures

    def admit(
        self, store: "Store", artifact: Digest, links: Iterable[Link], signatures: Sequence[bytes], origin: str
    ) -> None:
        """Judge a whole artifact whose blobs are there, and keep its signatures for whoever judges next."""
        files = _by_name(links)
        found = [*signatures, *read_own(store, files)]
        self._check(found, files, origin, files)
        keep(store, artifact, covering(found[:MAX_SIGNATURES], files))

    async def admit_gathered(self, store: "Store", there: Gathered, origin: str, config: RegistryConfig) -> list[bytes]:
        """Judge files of a source whose digests are known; the signatures to be kept with them."""
        inside = {file.path: file.digest for file in there.inside if file.digest is not None}
        found = [
            *await fetch_signatures(there.source, there.listing, config),
            *await in_thread(read_own, store, inside),
        ]
        self._check(found, there.digests, origin, there.names)
        return covering(found[:MAX_SIGNATURES], there.names)

    async def foresee(self, there: Gathered, origin: str, config: RegistryConfig) -> str:
        """Who has signed a source's files, as far as can be told without all their digests; empty where it can't be.

        That is where a signature lies in an archive. Whoever fetches the files judges again.
        """
        found = await fetch_signatures(there.source, there.listing, config)
        try:
            return self._check(found, there.digests, origin, there.names)
        except (SignatureMissing, SignatureInvalid):
            if any(file.path == SIGNATURE_NAME for file in there.inside):
                return ""
            raise

    def _check(
        self,
        signatures: Sequence[bytes],
        files: Mapping[str, Digest | None],
        origin: str,
        listed: Collection[str] | None,
    ) -> str:
        return check_signatures(self._policy, signatures, files, origin, listed=listed)


def _by_name(links: Iterable[Link]) -> dict[str, Digest]:
    return {str(link.name): link.digest for link in links}
