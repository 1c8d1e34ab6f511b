"""One HTTP session with the settings that a transfer of weights needs; the only module that makes requests.

aiohttp's own reading of the environment (`trust_env`) is not used: with it a `.netrc` entry would be sent to hosts that
it is not meant for, and would collide with a registry's token. Proxies are taken from the environment here instead.
"""

import base64
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, Self
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from berth_api.errors import FieldError, InvalidSpec
from berth_store.errors import SourceUnreachable
from berth_store.failures import network_failure
from berth_store.registries import RegistryConfig, is_loopback

USER_AGENT = "berth"
READ_BUFFER_BYTES = 256 * 1024
BUNDLES_VARIABLE = "BERTH_CA_BUNDLE"

Body = Callable[[], AsyncIterator[bytes]] | bytes


@dataclass(frozen=True)
class Proxy:
    """A proxy, and the header that names its user, if its address does."""

    url: URL
    headers: Mapping[str, str]


class Transport:
    """An open session; use it as an async context manager."""

    def __init__(self, config: RegistryConfig) -> None:
        self._config = config
        self._proxies: dict[URL, Proxy | None] = {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=tls_context()),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=config.connect_timeout_seconds, sock_read=config.stall_timeout_seconds
            ),
            auto_decompress=False,
            read_bufsize=READ_BUFFER_BYTES,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    @asynccontextmanager
    async def send(
        self, method: str, url: URL, *, headers: Mapping[str, str] | None = None, body: Body | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request and its answer, without following redirects. SourceUnreachable says why there was no answer.

        A body that is a function is called for a fresh stream; its length must stand in `headers`. The caller then
        watches over the time itself, for the session's time-out would count from the first byte sent.
        """
        proxy = self._proxy_for(url)
        sent, proxy_headers = dict(headers or {}), None
        if proxy and url.scheme == "http":
            sent.update(proxy.headers)
        elif proxy:
            proxy_headers = dict(proxy.headers)
        try:
            async with self._session.request(
                method,
                url,
                headers=sent,
                data=body() if callable(body) else body,
                allow_redirects=False,
                proxy=proxy.url if proxy else None,
                proxy_headers=proxy_headers,
                timeout=self._timeout_for(body),
            ) as response:
                yield response
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            missing = [str(bundle) for bundle in _bundles() if not bundle.is_file()]
            raise network_failure(error, url.raw_authority.rpartition("@")[2], missing_bundles=missing) from error

    def _proxy_for(self, url: URL) -> Proxy | None:
        """Found once for each origin: reading the environment takes a fifth of the time of a small request."""
        origin = url.origin()
        if origin not in self._proxies:
            self._proxies[origin] = proxy_for(origin)
        return self._proxies[origin]

    def _timeout_for(self, body: Body | None) -> aiohttp.ClientTimeout:
        read_seconds = None if callable(body) else self._config.stall_timeout_seconds
        return aiohttp.ClientTimeout(
            total=None, sock_connect=self._config.connect_timeout_seconds, sock_read=read_seconds
        )


async def read_body(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """The body, read to its end or to the first byte beyond the limit, whichever comes first."""
    pieces, length = [], 0
    while length <= limit_bytes and (piece := await response.content.readany()):
        pieces.append(piece)
        length += len(piece)
    return b"".join(pieces)[: limit_bytes + 1]


def proxy_for(url: URL) -> Proxy | None:
    """The proxy that the environment names for `url`; none for loopback addresses, as in curl's and Go's practice."""
    host = url.host or ""
    proxies = getproxies()
    chosen = proxies.get(url.scheme) or proxies.get("all")
    if not chosen or is_loopback(host) or proxy_bypass(host):
        return None
    address = URL(chosen if "://" in chosen else f"http://{chosen}")
    if address.scheme not in {"http", "https"} or not address.host:
        raise InvalidSpec(
            FieldError(f"{url.scheme}_proxy", f"{address.scheme} proxies can't be used", "name an http:// proxy")
        )
    return Proxy(address.with_user(None), _proxy_headers(address))


def _proxy_headers(address: URL) -> Mapping[str, str]:
    if address.user is None:
        return {}
    pair = f"{address.user}:{address.password or ''}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def tls_context() -> ssl.SSLContext | Literal[True]:
    """The default trust, which OpenSSL takes from SSL_CERT_FILE and SSL_CERT_DIR where they are set, and besides it the
    bundles that BERTH_CA_BUNDLE lists with colons. Of these, one that is not there is passed over: a Model whose source
    needs none must not wait for it. Raises SourceUnreachable for one that can't be read.

    True where that is what it was when aiohttp read it, which it does on its import: reading it again is 18 ms.
    """
    bundle = os.environ.get("SSL_CERT_FILE", "")
    if bundle and not Path(bundle).is_file():
        raise InvalidSpec(FieldError("SSL_CERT_FILE", f"{bundle!r} is no file", "name a PEM bundle, or unset it"))
    default = _default_trust()
    if default == _READ_BY_AIOHTTP and not _bundles():
        return True
    changed = tuple((str(path), path.stat().st_mtime_ns) for path in _bundles() if path.is_file())
    return _load_tls_context(default, _bundles(), changed)


def _default_trust() -> tuple[str, str, int]:
    """What OpenSSL is told to trust, and when that file was changed last."""
    bundle, folder = (os.environ.get(name, "") for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    return bundle, folder, Path(bundle).stat().st_mtime_ns if bundle and Path(bundle).is_file() else 0


_READ_BY_AIOHTTP: Final = _default_trust()


def _bundles() -> tuple[Path, ...]:
    return tuple(Path(one) for one in os.environ.get(BUNDLES_VARIABLE, "").split(os.pathsep) if one)


@lru_cache(maxsize=4)
def _load_tls_context(
    _default: tuple[str, str, int], bundles: tuple[Path, ...], _changed: tuple[tuple[str, int], ...]
) -> ssl.SSLContext:
    """Reading a bundle takes a tenth of a second, so the same one is read once."""
    context = ssl.create_default_context()
    for bundle in filter(Path.is_file, bundles):
        try:
            context.load_verify_locations(bundle)
        except OSError as error:  # what OpenSSL says is one, too
            raise SourceUnreachable(
                f"{bundle}: no certificates can be read from it ({error.strerror or error}); it must hold those of "
                "authorities, in PEM form",
                permanent=True,
            ) from error
    return context
