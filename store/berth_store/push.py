"""Pushing an artifact: from the store of this machine to a registry.

What the registry has is not sent again, nor what it has of a blob in whose middle an earlier push was killed; what
another of its repositories has is mounted. The manifest comes last, so that nobody can pull half of an artifact, and
the registry's digest of it is compared with ours. The signatures that are kept with it are attached after that.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from berth_api.errors import FieldError, InvalidSpec
from berth_store import index
from berth_store.auth import Scopes, scope
from berth_store.digest import Digest
from berth_store.errors import DigestMismatch, SourceError, SourceNotFound
from berth_store.local import Store
from berth_store.manifest import MAX_MANIFEST_BYTES, Descriptor, Manifest
from berth_store.progress import Meter, Report, Stage
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.registry import Registry
from berth_store.retry import with_retries
from berth_store.signing.attached import EMPTY, attach, build_attachment
from berth_store.signing.kept import read_kept
from berth_store.tasks import in_thread, run_all
from berth_store.transport import Transport
from berth_store.upload import Upload, takes_chunks
from berth_store.upload_session import KEPT_BYTES, UploadSession, upload_session


async def push(
    store: Store,
    reference: Reference,
    *,
    registries: RegistryConfig | None = None,
    progress: Report | None = None,
    slots: asyncio.Semaphore | None = None,
) -> Digest:
    """Bring the artifact that the name stands for in the store to the name's registry, and return its digest.

    Raises what `berth_store.errors` lists; InvalidSpec for a name that belongs to this machine only.
    """
    if reference.is_local:
        remedy = (
            "name it after a registry first (`berth package`, with the registry's host in the name), then push that"
        )
        raise InvalidSpec(FieldError("reference host", "names on localhost stay on this machine", remedy))
    config = registries or RegistryConfig.from_environment()
    digest = await in_thread(store.resolve, reference)
    if digest is None:
        raise SourceNotFound(f"{reference}: this store has no such name; `berth list` shows the ones it has")
    manifest = await in_thread(store.manifest, digest)
    missing = store.missing(manifest)
    if missing:
        raise SourceNotFound(f"{reference}: {len(missing)} of its blobs are not in this store any more; pull it again")
    meter = Meter(reference, progress)
    meter.expect(manifest.size_bytes)
    meter.enter(Stage.PUSHING)
    with store.using():
        async with Transport(config) as transport:
            registry = Registry(transport, config, reference)
            bounds = slots or asyncio.Semaphore(config.connections)
            await _Push(store, registry, reference, meter, bounds).run(digest, manifest)
    meter.enter(Stage.DONE)
    return digest


def repositories_with(store: Store, registry: str, repository: str, digest: Digest) -> tuple[str, ...]:
    """Other repositories of the registry from which, by what the store knows, the blob could be mounted."""
    found = []
    for entry in index.entries(store.read_index()):
        known = entry.reference
        if not isinstance(known, Reference) or known.registry != registry or known.repository == repository:
            continue
        try:
            digests = {blob.digest for blob in store.manifest(entry.digest).blobs}
        except SourceError:
            continue
        if digest in digests:
            found.append(known.repository)
    return tuple(dict.fromkeys(found))


class _Push:
    """One artifact on its way into a registry."""

    def __init__(
        self, store: Store, registry: Registry, reference: Reference, meter: Meter, slots: asyncio.Semaphore
    ) -> None:
        self._store = store
        self._registry = registry
        self._reference = reference
        self._repository = reference.repository
        self._scopes: Scopes = (scope(reference.repository, "pull,push"),)
        self._meter = meter
        self._slots = slots

    async def run(self, digest: Digest, manifest: Manifest) -> None:
        await run_all(self._send(blob) for blob in manifest.blobs)
        content = await in_thread(self._store.read_blob, digest, MAX_MANIFEST_BYTES)
        await with_retries(self._registry.config.retry, lambda: self._put_manifest(digest, manifest, content))
        signatures = await in_thread(read_kept, self._store, digest)
        if signatures:
            subject = Descriptor(media_type=manifest.media_type, digest=digest, size=len(content))
            await self._attach(subject, signatures)

    async def _attach(self, subject: Descriptor, signatures: Sequence[bytes]) -> None:
        """Send signatures and what refers by them to the artifact, one after the other: each may change one list."""
        await self._send(await in_thread(self._store.write_blob, EMPTY))
        for signature in signatures:
            blob = await in_thread(self._store.write_blob, signature)
            await self._send(blob)
            await attach(self._registry, self._reference, subject.digest, build_attachment(subject, blob))

    async def _send(self, blob: Descriptor) -> None:
        retry = self._registry.config.first_contact
        async with self._slots:
            if await with_retries(retry, lambda: self._registry.has_blob(self._repository, blob.digest, self._scopes)):
                self._meter.add(blob.size)
                return
            others = await in_thread(repositories_with, self._store, self._registry.name, self._repository, blob.digest)
            with self._session_of(blob) as session:
                upload = Upload(
                    self._registry,
                    self._repository,
                    self._scopes,
                    blob,
                    self._store.blob_path(blob.digest),
                    meter=self._meter,
                    kept=session,
                )
                await upload.run(mount_from=others[0] if others else None)

    def _session_of(self, blob: Descriptor) -> AbstractContextManager[UploadSession]:
        if blob.size < KEPT_BYTES or not takes_chunks(self._registry.name):
            return nullcontext(UploadSession(None))
        return upload_session(self._store, self._registry.name, self._repository, blob.digest)

    async def _put_manifest(self, digest: Digest, manifest: Manifest, content: bytes) -> None:
        where = f"{self._repository}/manifests/{self._reference.tag or digest}"
        headers = {"Content-Type": manifest.media_type}
        async with self._registry.request("PUT", where, self._scopes, headers=headers, body=content) as response:
            if response.status != 201:
                raise await self._registry.failure(response, str(self._reference))
            stored = response.headers.get("Docker-Content-Digest")
        if stored is None:
            stored = (await self._registry.fetch_manifest(self._reference)).digest
        if stored != digest:
            raise DigestMismatch(f"{self._reference}: the registry has stored {stored} instead of {digest}; push again")
