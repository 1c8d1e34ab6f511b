"""`https://`: one file on a web server. Its version is the entity tag, or the time of its last change."""

import re
from collections.abc import Mapping
from functools import partial
from urllib.parse import unquote

import aiohttp
from yarl import URL

from berth_store.errors import NoModelInSource, SourceError, SourceNotFound, SourceUnauthorized, SourceUnreachable
from berth_store.origin import find_scheme, with_scheme
from berth_store.registries import RegistryConfig
from berth_store.retry import with_retries
from berth_store.signing.bundle import MAX_BUNDLE_BYTES, SIGNATURE_NAME
from berth_store.sources.access import Login
from berth_store.sources.locations import WebLocation
from berth_store.sources.protocol import ListedFile, Listing
from berth_store.sources.web import Site, SiteFile, retry_after_of, version_of
from berth_store.transport import Transport, read_body

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
_TOTAL = re.compile(r"bytes 0-0/(\d{1,16})")
MAX_BYTES = 1 << 50


class WebSource:
    """See `berth_store.sources.protocol.Source`."""

    def __init__(self, location: WebLocation, transport: Transport, config: RegistryConfig) -> None:
        self.host = location.host
        self._location = location
        self._transport = transport
        self._config = config
        self._login = Login()
        self._site: Site | None = None

    async def list_files(self) -> Listing:
        """The one file, with the size and version that the server tells."""
        name = unquote(self._location.url.raw_name)
        if name.lower().endswith(_ARCHIVES):
            raise NoModelInSource(f"{self._location.uri}: archives are not unpacked; put the model's file itself there")
        origin = await with_retries(
            self._config.first_contact,
            lambda: find_scheme(self._transport, self._config, self._location.url.origin()),
        )
        url = with_scheme(self._location.url, origin.scheme)
        self._login = self._config.access.web_login(url)
        self._site = Site(self._transport, self._config, url, self._authorize, self._explain)
        return Listing((await with_retries(self._config.first_contact, lambda: self._describe(url, name)),))

    def open(self, file: ListedFile) -> SiteFile:
        """The file. Only after `list_files`."""
        assert self._site is not None, "list_files comes first"
        return SiteFile(self._site, self._site.base, self._location.uri, file.version)

    async def read_attached(self, listing: Listing) -> list[bytes]:
        """The files `NAME.sig` and `model.sig` in the folder of the one that is named."""
        names = [f"{file.path}.sig" for file in listing.files] + [SIGNATURE_NAME]
        found = [await with_retries(self._config.first_contact, partial(self._read, name)) for name in names]
        return [content for content in found if content is not None]

    async def _read(self, name: str) -> bytes | None:
        """The small file of that name beside the one that is named; None where the server gives none."""
        assert self._site is not None, "list_files comes first"
        url = self._site.base.with_name(name)
        async with self._site.get(url) as response:
            if response.status >= 500 or response.status in {408, 425, 429}:
                raise await self._site.failure(response, str(url))
            return await read_body(response, MAX_BUNDLE_BYTES) if response.status == 200 else None

    async def _describe(self, url: URL, name: str) -> ListedFile:
        assert self._site is not None
        # A HEAD would be the plain way, but addresses that are signed for GET refuse it.
        async with self._site.get(url, {"Range": "bytes=0-0"}) as response:
            size = _size_of(response)
            if response.status not in {200, 206}:
                raise await self._site.failure(response, self._location.uri)
            version = version_of(response)
        if size is None:
            raise SourceUnreachable(
                f"{self._location.uri}: {self.host} does not say how large the file is; use a server that sends "
                "Content-Length, or push the model to a registry",
                permanent=True,
            )
        if not version:
            raise SourceUnreachable(
                f"{self._location.uri}: {self.host} sends neither an ETag nor Last-Modified, so nobody could tell a "
                "file that changes from one that stays; use another server, or push the model to a registry",
                permanent=True,
            )
        return ListedFile(name, size, version=version)

    def _authorize(self, _: URL, __: Mapping[str, str]) -> Mapping[str, str]:
        return self._login.headers

    async def _explain(self, response: aiohttp.ClientResponse, subject: str) -> SourceError:
        status = response.status
        if status in {401, 403}:
            return SourceUnauthorized(
                f"{subject}: {self.host} does not allow it (status {status}); {self._login.advice}"
            )
        if status in {404, 410}:
            return SourceNotFound(f"{subject}: {self.host} has no such file; check the address")
        message = f"{subject}: {self.host} answered with status {status}"
        if status >= 500 or status in {408, 425, 429}:
            return SourceUnreachable(f"{message}; try again later", retry_after_seconds=retry_after_of(response))
        return SourceUnreachable(f"{message}; check the address", permanent=True)


def _size_of(response: aiohttp.ClientResponse) -> int | None:
    if response.status == 206:
        said = _TOTAL.fullmatch(response.headers.get("Content-Range", ""))
        size = int(said[1]) if said else None
    else:
        size = response.content_length if response.status == 200 else None
    return size if size is not None and size <= MAX_BYTES else None
