"""`s3://`: the objects below a prefix, at Amazon or at any server that speaks S3 (`endpoint`).

Amazon's buckets are asked under their own host names, those of an endpoint by path, which every server understands. An
entity tag tells one version from the next; it is not believed to be a digest, for of an object that was uploaded in
parts it is none. What arrives is hashed here.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import aiohttp
from yarl import URL

from berth_api.errors import FieldError, InvalidSpec
from berth_store.errors import (
    NoModelInSource,
    SourceError,
    SourceNotFound,
    SourceUnauthorized,
    SourceUnreachable,
)
from berth_store.manifest import MAX_LAYERS
from berth_store.registries import RegistryConfig
from berth_store.retry import with_retries
from berth_store.sources.access import BucketAccess
from berth_store.sources.locations import BucketLocation
from berth_store.sources.protocol import ListedFile, Listing
from berth_store.sources.s3_listing import MAX_PAGE_BYTES, BucketObject, Page, parse_error, parse_page
from berth_store.sources.s3_signature import sign
from berth_store.sources.web import Site, SiteFile, retry_after_of
from berth_store.transport import Transport, read_body

MAX_ERROR_BYTES = 64 * 1024
_UNRESERVED = "-_.~"
_MISSING = frozenset({"NoSuchBucket", "NoSuchKey"})
_UNKNOWN_KEYS = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
)
_BUSY = frozenset({"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable"})


class BucketSource:
    """See `berth_store.sources.protocol.Source`."""

    def __init__(self, location: BucketLocation, transport: Transport, config: RegistryConfig) -> None:
        self._location = location
        self._config = config
        self._access = config.access.bucket_login()
        base = bucket_url(location.bucket, self._access, config)
        self._site = Site(transport, config, base, self._authorize, self._explain)
        self.host = self._site.host
        self._keys: dict[str, str] = {}

    async def list_files(self) -> Listing:
        """Every object below the prefix, without the markers that stand for folders; or the object of that name."""
        prefix = self._location.prefix
        below = f"{prefix}/" if prefix else ""
        objects = [each for each in await self._list_all(below) if not each.key.endswith("/")]
        if not objects and prefix:
            page = await self._retried(prefix, most=1)
            objects = [each for each in page.objects if each.key == prefix]
            below = prefix[: prefix.rfind("/") + 1]
        if not objects:
            raise SourceNotFound(f"{self._location.uri}: the bucket has nothing there; check the prefix")
        self._keys = {each.key.removeprefix(below): each.key for each in objects}
        files = (ListedFile(each.key.removeprefix(below), each.size, version=each.etag) for each in objects)
        return Listing(tuple(files))

    def open(self, file: ListedFile) -> SiteFile:
        """One of the listed objects."""
        key = self._keys[file.path]
        return SiteFile(self._site, self._url(quote(key, safe=f"/{_UNRESERVED}")), self._subject(key), file.version)

    async def read_attached(self, _: Listing) -> list[bytes]:
        """None: a signature is a file of a bucket like any other."""
        return []

    async def _list_all(self, below: str) -> Sequence[BucketObject]:
        found: dict[str, BucketObject] = {}
        token = ""
        while True:
            page = await self._retried(below, token=token)
            before = len(found)
            found.update((each.key, each) for each in page.objects if each.key.startswith(below))
            if len(found) > MAX_LAYERS:
                raise NoModelInSource(
                    f"{self._location.uri}: there are more than {MAX_LAYERS:,} objects; name the model's own folder"
                )
            if not page.next_token:
                return tuple(found.values())
            if len(found) == before:
                raise SourceUnreachable(f"{self._location.uri}: {self.host} lists pages without end", permanent=True)
            token = page.next_token

    async def _retried(self, prefix: str, *, token: str = "", most: int = 1000) -> Page:
        return await with_retries(self._config.first_contact, lambda: self._page(prefix, token, most))

    async def _page(self, prefix: str, token: str, most: int) -> Page:
        query = {"list-type": "2", "prefix": prefix, "continuation-token": token, "max-keys": str(most)}
        asked = "&".join(f"{name}={quote(value, safe=_UNRESERVED)}" for name, value in sorted(query.items()) if value)
        async with self._site.get(self._url(f"?{asked}")) as response:
            if response.status != 200:
                raise await self._site.failure(response, self._location.uri)
            content = await read_body(response, MAX_PAGE_BYTES)
        return parse_page(content, self._location.uri)

    def _url(self, rest: str) -> URL:
        return URL(f"{self._site.base}{rest}", encoded=True)

    def _subject(self, key: str) -> str:
        return f"s3://{self._location.bucket}/{key}"

    def _authorize(self, url: URL, headers: Mapping[str, str]) -> Mapping[str, str]:
        access = self._access
        if not access.key_id:
            return {}
        return sign(
            url,
            headers,
            key_id=access.key_id,
            key=access.key,
            session_token=access.session_token,
            region=access.region,
            now=datetime.now(UTC),
        )

    async def _explain(self, response: aiohttp.ClientResponse, subject: str) -> SourceError:
        code, said, region = parse_error(await read_body(response, MAX_ERROR_BYTES))
        region = region or response.headers.get("x-amz-bucket-region", "")
        status, quoted = response.status, f" (it says: {code} {said})" if code else ""
        if region and region != self._access.region and status in {301, 400, 403}:
            return SourceUnauthorized(
                f"{subject}: the bucket is in the region {region[:32]}, and was asked in {self._access.region}; set "
                "the key `region` of the Secret, or AWS_REGION"
            )
        if code == "RequestTimeTooSkewed":
            return SourceUnreachable(f"{subject}: this machine's clock is wrong{quoted}; set it right", permanent=True)
        if code in _UNKNOWN_KEYS or status in {401, 403}:
            return SourceUnauthorized(f"{subject}: {self.host} does not allow it{quoted}; {self._access.advice}")
        if code in _MISSING or status == 404:
            return SourceNotFound(f"{subject}: {self.host} has no such bucket or object{quoted}; check the address")
        message = f"{subject}: {self.host} answered with status {status}{quoted}"
        if code in _BUSY or status >= 500 or status in {408, 429}:
            return SourceUnreachable(f"{message}; try again later", retry_after_seconds=retry_after_of(response))
        return SourceUnreachable(f"{message}; check the endpoint and the region", permanent=True)


def bucket_url(bucket: str, access: BucketAccess, config: RegistryConfig) -> URL:
    """Where a bucket's objects lie: an address that ends with a slash. Raises InvalidSpec for an unusable endpoint."""
    if not access.endpoint:
        host = f"s3.{access.region}.amazonaws.com"
        # A certificate of Amazon's covers one label, so a bucket with dots in its name has to be a path.
        return URL(f"https://{host}/{bucket}/" if "." in bucket else f"https://{bucket}.{host}/")
    try:
        endpoint = URL(access.endpoint if "://" in access.endpoint else f"https://{access.endpoint}")
    except ValueError:
        endpoint = URL()
    may_be_plain = endpoint.scheme == "http" and config.allows_plain_http(endpoint.host or "", endpoint.explicit_port)
    if (
        endpoint.host is None
        or endpoint.raw_user is not None
        or endpoint.raw_query_string
        or not (endpoint.scheme == "https" or may_be_plain)
    ):
        remedy = "write https://host[:port]; plain HTTP is for hosts in BERTH_INSECURE_REGISTRIES"
        raise InvalidSpec(FieldError("S3 endpoint", f"{access.endpoint[:100]!r} can't be asked", remedy))
    return URL(f"{str(endpoint).rstrip('/')}/{bucket}/", encoded=True)
