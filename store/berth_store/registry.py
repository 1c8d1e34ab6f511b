"""The client of one registry (OCI distribution specification 1.1): manifests, blobs, redirects, tokens.

`pull` and `push` open one for the registry of their reference. What arrives is checked here where it is small (a
manifest against its digest) and by `berth_store.download` where it is large.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
from yarl import URL

from berth_store import mediatypes
from berth_store.auth import Authorizer, Scopes, scope
from berth_store.credentials import DOCKER_HUB
from berth_store.digest import Digest, digest_of
from berth_store.errors import DigestMismatch, NoModelInSource, SourceError, SourceUnreachable
from berth_store.failures import registry_message, status_failure
from berth_store.manifest import MAX_MANIFEST_BYTES
from berth_store.origin import MAX_HOPS, KeptAddress, find_scheme, redirect_target
from berth_store.ranges import Range
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.retry import parse_retry_after
from berth_store.transport import Body, Transport, read_body

DOCKER_HUB_API = "registry-1.docker.io"
MAX_ERROR_BYTES = 64 * 1024
_READING = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class FetchedManifest:
    """A manifest's exact bytes, which have the digest `digest`."""

    content: bytes
    digest: Digest
    media_type: str


class Registry:
    """One registry, asked with one user's credentials."""

    def __init__(self, transport: Transport, config: RegistryConfig, reference: Reference) -> None:
        self.name = reference.registry
        self.config = config
        self._transport = transport
        self._auth = Authorizer(transport, config, self.name)
        self._base: URL | None = None
        self._finding_base = asyncio.Lock()

    async def fetch_manifest(self, reference: Reference) -> FetchedManifest:
        """The manifest that the reference names; DigestMismatch if it is not what a digest promises."""
        headers = {"Accept": ", ".join(mediatypes.MANIFESTS)}
        path = f"{reference.repository}/manifests/{reference.identifier}"
        async with self.request("GET", path, (scope(reference.repository, "pull"),), headers=headers) as response:
            if response.status != 200:
                raise await self.failure(response, str(reference))
            content = await read_body(response, MAX_MANIFEST_BYTES)
            promised = response.headers.get("Docker-Content-Digest", "")
        if len(content) > MAX_MANIFEST_BYTES:
            raise NoModelInSource(f"{reference}: the manifest is larger than {MAX_MANIFEST_BYTES} bytes")
        digest = digest_of(content)
        for wanted in filter(None, (reference.digest, promised if promised.startswith("sha256:") else None)):
            if digest != wanted:
                raise DigestMismatch(f"{reference}: {self.name} sent a manifest with the digest {digest}, not {wanted}")
        return FetchedManifest(content, digest, response.content_type)

    async def has_blob(self, repository: str, digest: Digest, scopes: Scopes) -> bool:
        """Whether the repository holds the blob already."""
        async with self.request("HEAD", f"{repository}/blobs/{digest}", scopes) as response:
            if response.status in {200, 404}:
                return response.status == 200
            raise await self.failure(response, f"{repository}@{digest}")

    def blob(self, repository: str, digest: Digest) -> "BlobSource":
        """A blob to read from."""
        return BlobSource(self, self._transport, repository, digest)

    async def failure(self, response: aiohttp.ClientResponse, subject: str) -> SourceError:
        """The error for an answer that is not what was asked for, with the registry's own words."""
        return status_failure(
            response.status,
            subject=subject,
            registry=self.name,
            said=registry_message(await read_body(response, MAX_ERROR_BYTES)),
            login=self._auth.login,
            retry_after_seconds=parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC)),
        )

    @asynccontextmanager
    async def request(
        self,
        method: str,
        where: str | URL,
        scopes: Scopes,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a request for `where` (below `/v2/`, or an address that the registry gave).

        Follows redirects; sends the Authorization header to the registry itself only, and renews it once when refused.
        """
        base = await self.base()
        url = where if isinstance(where, URL) else base.join(URL(f"/v2/{where}", encoded=True))
        renewed = False
        for _ in range(MAX_HOPS):
            is_ours = url.origin() == base.origin()
            sent = dict(headers or {})
            authorization = self._auth.header(scopes) if is_ours else None
            if authorization:
                sent["Authorization"] = authorization
            async with self._transport.send(method, url, headers=sent, body=body) as response:
                if response.status == 401 and is_ours and not renewed:
                    renewed = True
                    if await self._auth.satisfy(response, scopes, refused=authorization):
                        continue
                elif response.status in _redirects_of(method) and "Location" in response.headers:
                    url = self.resolve(response)
                    continue
                yield response
                return
        raise SourceUnreachable(
            f"{self.name}: more than {MAX_HOPS} redirects for {where}; the registry is misconfigured"
        )

    def resolve(self, response: aiohttp.ClientResponse) -> URL:
        """The address in a Location header; see `berth_store.origin`."""
        return redirect_target(response, self.config, self.name)

    async def base(self) -> URL:
        """The registry's address with the scheme that it speaks."""
        async with self._finding_base:
            if self._base is None:
                self._base = await self._find_base()
            return self._base

    async def _find_base(self) -> URL:
        name = DOCKER_HUB_API if self.name == DOCKER_HUB else self.name
        return await find_scheme(self._transport, self.config, URL(f"https://{name}/v2/"))


def _redirects_of(method: str) -> frozenset[int]:
    """The statuses that send a request elsewhere as it is: a body may only be sent again where the status says so."""
    return frozenset({301, 302, 303, 307, 308}) if method in _READING else frozenset({307, 308})


class BlobSource:
    """One blob of a registry. Where the registry redirects (to a store or CDN), that address is kept while it works."""

    def __init__(self, registry: Registry, transport: Transport, repository: str, digest: Digest) -> None:
        self._registry = registry
        self._transport = transport
        self._scopes = (scope(repository, "pull"),)
        self._path = f"{repository}/blobs/{digest}"
        self.subject = f"{registry.name}/{repository}@{digest}"
        self._elsewhere = KeptAddress()

    @asynccontextmanager
    async def open(self, span: Range | None) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a request for `span`, or for the whole blob; the caller looks at its status."""
        headers = {"Range": f"bytes={span.start}-{span.stop - 1}"} if span else {}
        known = self._elsewhere.url
        if known is not None:
            async with self._transport.send("GET", known, headers=headers) as response:
                if self._elsewhere.works(known, response.status):
                    yield response
                    return
        async with self._registry.request("GET", self._path, self._scopes, headers=headers) as response:
            if response.url.origin() != (await self._registry.base()).origin():
                self._elsewhere.works(response.url, response.status)
            yield response

    async def failure(self, response: aiohttp.ClientResponse) -> SourceError:
        """See `berth_store.sources.protocol.RemoteFile`."""
        return await self._registry.failure(response, self.subject)
