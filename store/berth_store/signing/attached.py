"""Signatures that a registry keeps beside an artifact: manifests that refer to it, one for each signature.

Their form is that of cosign's BUNDLE_SPEC, so that its tools and ours find what the other has attached. Registries that
know the API for referrers are asked by it; for the others the list is an index under a tag that is made of the digest
(distribution specification 1.1, "Referrers Tag Schema"). What is attached may come from anybody: numbers and sizes are
bounded, and nothing is believed before `berth_store.signing.check` has judged it.
"""

import asyncio
import re
from dataclasses import replace
from functools import partial
from typing import Final

from pydantic import Field, ValidationError
from yarl import URL

from berth_store import mediatypes
from berth_store.auth import Scopes, scope
from berth_store.digest import Digest, digest_of, hex_of
from berth_store.errors import DigestMismatch, NoModelInSource, SourceNotFound, SourceUnreachable
from berth_store.manifest import MAX_MANIFEST_BYTES, Descriptor, Index, OciPart, canonical_json
from berth_store.reference import Reference
from berth_store.registry import Registry
from berth_store.retry import with_retries
from berth_store.signing.bundle import MAX_BUNDLE_BYTES, MAX_SIGNATURES, MEDIA_TYPE
from berth_store.signing.statement import PREDICATE_TYPE
from berth_store.small import fetch_small
from berth_store.transport import read_body

EMPTY: Final = b"{}"
_EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"
_PREDICATE: Final = "dev.sigstore.bundle.predicateType"
_ANNOTATIONS: Final = {"dev.sigstore.bundle.content": "dsse-envelope", _PREDICATE: PREDICATE_TYPE}
_NO_SUCH_API: Final = frozenset({400, 401, 403, 404, 405, 501})
"""Whoever may read the artifact, as is seen by then, is refused the list only where the registry does not know it."""
_MAX_PAGES: Final = 8
_MAX_TOTAL_BYTES: Final = 4 * MAX_BUNDLE_BYTES
_NEXT: Final = re.compile(r'<([^>]{1,2048})>\s*;[^,]*\brel="?next"?')


class _Attached(OciPart):
    """The manifest of a signature, as far as it is needed."""

    layers: tuple[Descriptor, ...] = Field(min_length=1, max_length=MAX_SIGNATURES)


async def fetch_attached(registry: Registry, reference: Reference, artifact: Digest) -> list[bytes]:
    """The signatures that are attached to the artifact in the reference's repository. Raises SourceError."""
    found: list[bytes] = []
    left_bytes = _MAX_TOTAL_BYTES
    for entry in (await _list(registry, reference, artifact))[:MAX_SIGNATURES]:
        layer = await _layer(registry, reference, entry)
        if layer is None or layer.size > min(MAX_BUNDLE_BYTES, left_bytes):
            continue
        blob = registry.blob(reference.repository, layer.digest)
        content = await fetch_small(blob, layer.size, registry.config, asyncio.Semaphore(1))
        left_bytes -= len(content)
        found.append(content)
    return found


def build_attachment(subject: Descriptor, signature: Descriptor) -> bytes:
    """The manifest by which a signature refers to an artifact."""
    described = {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size}
    layer = {
        "mediaType": MEDIA_TYPE,
        "digest": signature.digest,
        "size": signature.size,
        "annotations": {mediatypes.ANNOTATION_TITLE: f"sha256-{hex_of(signature.digest)}.sigstore.json"},
    }
    return canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": mediatypes.OCI_MANIFEST,
            "artifactType": MEDIA_TYPE,
            "config": {"mediaType": _EMPTY_TYPE, "digest": digest_of(EMPTY), "size": len(EMPTY)},
            "layers": [layer],
            "subject": described,
            "annotations": _ANNOTATIONS,
        }
    )


async def attach(registry: Registry, reference: Reference, subject: Digest, manifest: bytes) -> None:
    """Put the manifest of a signature, whose blobs are there, into the repository, so that it is found. SourceError."""
    digest = digest_of(manifest)
    if await _put(registry, reference, digest, mediatypes.OCI_MANIFEST, manifest):
        return
    listed = await _tagged(registry, reference, subject)
    if any(entry.digest == digest for entry in listed.manifests):
        return
    entry = Descriptor(
        media_type=mediatypes.OCI_MANIFEST,
        digest=digest,
        size=len(manifest),
        artifact_type=MEDIA_TYPE,
        annotations=dict(_ANNOTATIONS),
    )
    index = listed.model_copy(update={"manifests": (*listed.manifests, entry)})
    content = canonical_json(index.model_dump(by_alias=True, exclude_none=True))
    await _put(registry, reference, _tag_of(subject), mediatypes.OCI_INDEX, content)


async def _put(registry: Registry, reference: Reference, name: str, media_type: str, content: bytes) -> bool:
    """Whether the registry says that it has understood what the manifest refers to."""
    where, headers = f"{reference.repository}/manifests/{name}", {"Content-Type": media_type}
    scopes: Scopes = (scope(reference.repository, "pull,push"),)

    async def once() -> bool:
        async with registry.request("PUT", where, scopes, headers=headers, body=content) as response:
            if response.status != 201:
                raise await registry.failure(response, f"{reference.name}, its signature")
            return "OCI-Subject" in response.headers

    return await with_retries(registry.config.retry, once)


async def _list(registry: Registry, reference: Reference, artifact: Digest) -> list[Descriptor]:
    """What says of itself that it is such a signature."""
    entries = await _ask_api(registry, reference, artifact)
    if entries is None:
        entries = list((await _tagged(registry, reference, artifact)).manifests)
    return [
        entry
        for entry in entries
        if entry.artifact_type == MEDIA_TYPE and entry.annotation(_PREDICATE) in {None, PREDICATE_TYPE}
    ]


async def _ask_api(registry: Registry, reference: Reference, artifact: Digest) -> list[Descriptor] | None:
    """What the registry's API lists; None where it has none."""
    where: str | URL = f"{reference.repository}/referrers/{artifact}?artifactType={MEDIA_TYPE.replace('+', '%2B')}"
    entries: list[Descriptor] = []
    for _ in range(_MAX_PAGES):
        page = await with_retries(registry.config.first_contact, partial(_ask_page, registry, reference, where))
        if page is None:
            return entries or None
        index, following = page
        entries += index.manifests
        if following is None or len(entries) >= MAX_SIGNATURES:
            break
        where = following
    return entries


async def _ask_page(registry: Registry, reference: Reference, where: str | URL) -> tuple[Index, URL | None] | None:
    scopes: Scopes = (scope(reference.repository, "pull"),)
    async with registry.request("GET", where, scopes, headers={"Accept": mediatypes.OCI_INDEX}) as response:
        if response.status in _NO_SUCH_API:
            return None
        if response.status != 200:
            raise await registry.failure(response, f"{reference.name}, its signatures")
        content = await read_body(response, MAX_MANIFEST_BYTES)
        found = _NEXT.search(response.headers.get("Link", ""))
        following = response.url.join(URL(found[1])) if found else None
    return _index(content, reference), following


async def _tagged(registry: Registry, reference: Reference, artifact: Digest) -> Index:
    """The index under the tag of the digest; an empty one where there is none."""
    named = replace(reference, tag=_tag_of(artifact), digest=None)
    try:
        fetched = await with_retries(registry.config.first_contact, lambda: registry.fetch_manifest(named))
    except SourceNotFound:
        return Index(manifests=())
    return _index(fetched.content, reference)


async def _layer(registry: Registry, reference: Reference, entry: Descriptor) -> Descriptor | None:
    """The blob of a signature; None where its manifest is none, or gone."""
    named = reference.with_digest(entry.digest)
    try:
        fetched = await with_retries(registry.config.first_contact, lambda: registry.fetch_manifest(named))
        return _Attached.model_validate_json(fetched.content).layers[0]
    except (ValidationError, SourceNotFound, DigestMismatch, NoModelInSource):
        return None


def _index(content: bytes, reference: Reference) -> Index:
    try:
        return Index.model_validate_json(content[: MAX_MANIFEST_BYTES + 1])
    except ValidationError as error:
        raise SourceUnreachable(
            f"{reference}: {reference.registry} gives no list of its signatures that can be read; look at what stands "
            "under the tag that is made of its digest",
            permanent=True,
        ) from error


def _tag_of(artifact: Digest) -> str:
    return f"sha256-{hex_of(artifact)}"
