"""Asking one host over HTTP with credentials that nobody else gets: `Site`, and `SiteFile`, one file of it.

Every source but the registry is built of these. Redirects are followed; to another host nothing goes along but the
range. Where a file lies elsewhere (a CDN, a signed address), that address is kept while it works.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
from yarl import URL

from berth_store.errors import DigestMismatch, SourceError, SourceUnreachable
from berth_store.origin import MAX_HOPS, KeptAddress, redirect_target
from berth_store.ranges import Range
from berth_store.registries import RegistryConfig
from berth_store.retry import parse_retry_after
from berth_store.transport import Transport

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

Authorize = Callable[[URL, Mapping[str, str]], Mapping[str, str]]
Explain = Callable[[aiohttp.ClientResponse, str], Awaitable[SourceError]]


class Site:
    """The host at `base`. `authorize` gives the headers to send for an address of it, beside those that it is given;
    `explain` the error for an answer of it about a subject.
    """

    def __init__(
        self, transport: Transport, config: RegistryConfig, base: URL, authorize: Authorize, explain: Explain
    ) -> None:
        self.base = base
        self.host = base.raw_authority.rpartition("@")[2]
        self._transport = transport
        self._config = config
        self._authorize = authorize
        self._explain = explain

    @asynccontextmanager
    async def get(self, url: URL, headers: Mapping[str, str] | None = None) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a GET, wherever redirects lead."""
        for _ in range(MAX_HOPS):
            sent = dict(headers or {})
            if self.is_here(url):
                sent.update(self._authorize(url, sent))
            async with self._transport.send("GET", url, headers=sent) as response:
                if response.status in _REDIRECTS and "Location" in response.headers:
                    url = redirect_target(response, self._config, self.host)
                    continue
                yield response
                return
        raise SourceUnreachable(f"{self.host}: more than {MAX_HOPS} redirects for one file; it is misconfigured")

    @asynccontextmanager
    async def get_elsewhere(self, url: URL, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer of an address that an earlier redirect gave, asked as anybody."""
        async with self._transport.send("GET", url, headers=headers) as response:
            yield response

    def is_here(self, url: URL) -> bool:
        """Whether an address is of this very host, port and scheme."""
        return url.origin() == self.base.origin()

    async def failure(self, response: aiohttp.ClientResponse, subject: str) -> SourceError:
        """The error for an answer that is not what was asked for."""
        if self.is_here(response.url):
            return await self._explain(response, subject)
        where = response.url.host or ""
        # Whatever it says may be of an address that has expired since, so it is worth asking for another.
        message = f"{subject}: {where}, where {self.host} sends us, answered with status {response.status}"
        return SourceUnreachable(f"{message}; try again later", retry_after_seconds=retry_after_of(response))


class SiteFile:
    """One file of a site; see `berth_store.sources.protocol.RemoteFile`.

    With a `version` every answer must be of that version: else the file has changed on the way, and what was fetched
    of the old one must not be mixed with the new.
    """

    def __init__(self, site: Site, url: URL, subject: str, version: str = "") -> None:
        self.subject = subject
        self._site = site
        self._url = url
        self._version = version
        self._elsewhere = KeptAddress()

    @asynccontextmanager
    async def open(self, span: Range | None) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a request for `span`, or for the whole file."""
        headers = {"Range": f"bytes={span.start}-{span.stop - 1}"} if span else {}
        if span and self._version.startswith('"'):
            headers["If-Range"] = self._version
        known = self._elsewhere.url
        if known is not None:
            async with self._site.get_elsewhere(known, headers) as response:
                if self._elsewhere.works(known, response.status):
                    self._check_version(response)
                    yield response
                    return
        async with self._site.get(self._url, headers) as response:
            if not self._site.is_here(response.url):
                self._elsewhere.works(response.url, response.status)
            self._check_version(response)
            yield response

    async def failure(self, response: aiohttp.ClientResponse) -> SourceError:
        """See `Site.failure`."""
        return await self._site.failure(response, self.subject)

    def _check_version(self, response: aiohttp.ClientResponse) -> None:
        if response.status not in {200, 206} or not self._version:
            return
        found = version_of(response)
        if found != self._version:
            raise DigestMismatch(
                f"{self.subject}: the file was changed while it was being fetched (its version was "
                f"{self._version[:80]} and is {found[:80] or 'not told'}); what was fetched is not used. Fetch it "
                "again when nobody writes it"
            )


def version_of(response: aiohttp.ClientResponse) -> str:
    """What the server says that changes with the content: the entity tag, else the time of the last change."""
    return response.headers.get("ETag", "").strip() or response.headers.get("Last-Modified", "").strip()


def retry_after_of(response: aiohttp.ClientResponse) -> float | None:
    """How long the server asks to wait, in seconds; None if it asks for nothing."""
    return parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
