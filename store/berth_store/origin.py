"""Which addresses may be asked, and in which scheme: finding the one that a host speaks, and following a redirect.

`berth_store.registry` and the sources beside it ask here, so that no door is less guarded than another: https, except
for loopback addresses and hosts that `BERTH_INSECURE_REGISTRIES` lists.
"""

import aiohttp
from yarl import URL

from berth_store.errors import SourceUnreachable
from berth_store.registries import RegistryConfig
from berth_store.transport import Transport

MAX_HOPS = 6
# Answers of a redirect's target that say something of the request and not of an address that has expired.
_OF_THE_REQUEST = frozenset({200, 206, 416, 429})


class KeptAddress:
    """Where a redirect led, for the next requests to ask at once; kept while it works.

    Several requests are under way at the same time: what one of them learns of an old address must not cost the
    others a newer one.
    """

    def __init__(self) -> None:
        self.url: URL | None = None

    def works(self, url: URL, status: int) -> bool:
        """Whether the answer of `url` is one to the request; its status says too whether `url` is to be kept."""
        works = status in _OF_THE_REQUEST or status >= 500
        if works:
            self.url = url
        elif self.url == url:
            self.url = None
        return works


async def find_scheme(transport: Transport, config: RegistryConfig, secure: URL) -> URL:
    """`secure`, an https address, or the same in plain HTTP where the host may be asked so and speaks no TLS.

    It is asked once to find that out.
    """
    if not config.allows_plain_http(secure.host or "", secure.explicit_port):
        return secure
    try:
        async with transport.send("GET", secure):
            return secure
    except SourceUnreachable as error:
        # An untrusted certificate means that TLS is spoken here: no reason to fall back on plain HTTP.
        if isinstance(error.__cause__, aiohttp.ClientConnectorCertificateError):
            raise
        return with_scheme(secure, "http")


def with_scheme(url: URL, scheme: str) -> URL:
    """The same address in another scheme, not a character of its path and query changed: they may be signed."""
    return URL(f"{scheme}{str(url).removeprefix(url.scheme)}", encoded=True)


def redirect_target(response: aiohttp.ClientResponse, config: RegistryConfig, host: str) -> URL:
    """The address in a Location header: from https it must lead to https, or to where plain HTTP is allowed."""
    try:
        target = response.url.join(URL(response.headers["Location"], encoded=True))
    except ValueError as error:
        raise SourceUnreachable(f"{host}: it sends us to an address that is none", permanent=True) from error
    if target.scheme == "http" and response.url.scheme == "https" and target.host == response.url.host:
        # A server behind a proxy that ends TLS often knows itself under http only.
        target = target.with_scheme("https").with_port(response.url.explicit_port)
    may_be_plain = response.url.scheme == "http" or config.allows_plain_http(target.host or "", target.port)
    if target.host is None or target.scheme not in ({"https", "http"} if may_be_plain else {"https"}):
        raise SourceUnreachable(
            f"{host}: it sends us to {target.scheme}://{target.host or ''}, which is not https", permanent=True
        )
    return target
