"""Whom credentials go to, and which addresses are followed: over TLS, with certificates of the tests' own."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from yarl import URL

from berth_store.digest import digest_of
from berth_store.errors import SourceError, SourceUnauthorized, SourceUnreachable
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.registry import Registry
from berth_store.retry import RetryPolicy
from berth_store.transport import Transport

DIGEST = digest_of(b"x")
PASSWORD = {"auth": "bWU6c2VjcmV0"}


@dataclass
class Host:
    """A server that answers every request with `answer`, and remembers who sent what."""

    port: int = 0
    scheme: str = "https"
    status: int = 200
    gives_tokens: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.address}"

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append((request.path, request.headers.get("Authorization")))
        if request.path == "/token" and self.gives_tokens:
            return web.json_response({"token": "t"})
        if (
            request.path != "/v2/"
            and request.headers.get("Authorization") != "Bearer t"
            and "Location" not in self.headers
        ):
            return web.Response(status=self.status, headers=self.headers)
        return web.Response(status=self.status if "Location" in self.headers else 200, headers=self.headers)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


@asynccontextmanager
async def serving(host: Host, authority: trustme.CA | None) -> AsyncIterator[Host]:
    context = None
    if authority is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", host.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    host.port, host.scheme = runner.addresses[0][1], "https" if authority else "http"
    try:
        yield host
    finally:
        await runner.cleanup()


def logged_in(folder: Path, host: Host) -> RegistryConfig:
    path = folder / "config.json"
    path.write_text(f'{{"auths": {{"{host.address}": {{"auth": "{PASSWORD["auth"]}"}}}}}}')
    return RegistryConfig(docker_config=path, retry=RetryPolicy(attempts=1))


async def ask(config: RegistryConfig, host: Host) -> int:
    async with Transport(config) as transport:
        registry = Registry(transport, config, Reference.parse(f"{host.address}/a/model:1"))
        async with registry.blob("a/model", DIGEST).open(None) as response:
            return response.status


async def test_a_password_goes_to_the_token_server_that_the_registry_names_and_a_token_to_the_registry(
    tmp_path: Path, authority: trustme.CA
) -> None:
    async with serving(Host(), authority) as tokens, serving(Host(status=401), authority) as host:
        host.headers = {"WWW-Authenticate": f'Bearer realm="{tokens.url}/token",service="s"'}
        assert await ask(logged_in(tmp_path, host), host) == 200
    assert tokens.seen == [("/token", f"Basic {PASSWORD['auth']}")]
    assert [authorization for _, authorization in host.seen] == [None, None, "Bearer t"], (
        "nobody else gets the password"
    )


@pytest.mark.parametrize(
    "realm", ["http://{plain}/token", "ftp://x/token", "https://me:you@{plain}/token", "", "/token"]
)
async def test_a_registry_with_tls_cannot_send_a_password_into_the_open(
    tmp_path: Path, authority: trustme.CA, realm: str
) -> None:
    async with serving(Host(), None) as plain, serving(Host(status=401), authority) as host:
        host.headers = {"WWW-Authenticate": f'Bearer realm="{realm.format(plain=plain.address)}"'}
        with pytest.raises(SourceUnauthorized, match="no credential may be sent"):
            await ask(logged_in(tmp_path, host), host)
        assert plain.seen == []


async def test_a_token_server_that_redirects_is_not_followed(tmp_path: Path, authority: trustme.CA) -> None:
    async with serving(Host(), authority) as thief, serving(Host(status=302, gives_tokens=False), authority) as tokens:
        tokens.headers = {"Location": f"{thief.url}/token"}
        async with serving(Host(status=401), authority) as host:
            host.headers = {"WWW-Authenticate": f'Bearer realm="{tokens.url}/token"'}
            with pytest.raises(SourceError):
                await ask(logged_in(tmp_path, host), host)
        assert len(tokens.seen) == 1
        assert thief.seen == []


async def test_a_password_goes_to_a_registry_only_after_it_asks_and_to_no_other_host(
    tmp_path: Path, authority: trustme.CA
) -> None:
    async with serving(Host(), authority) as elsewhere, serving(Host(), authority) as host:
        host.status, host.headers = 307, {"Location": f"{elsewhere.url}/blob", "WWW-Authenticate": "Basic"}
        await ask(logged_in(tmp_path, host), host)
        assert elsewhere.seen == [("/blob", None)]
        host.seen.clear()
        host.status, host.headers = 401, {"WWW-Authenticate": 'Basic realm="x"'}
        await ask(logged_in(tmp_path, host), host)
        assert [authorization for path, authorization in host.seen if path != "/v2/"] == [
            None,
            f"Basic {PASSWORD['auth']}",
        ], "and it is not sent twice when it was refused"


@pytest.mark.parametrize("target", ["ftp://x/y", "http://192.0.2.1/x", "file:///etc/passwd"])
async def test_a_redirect_to_where_no_registry_is_is_not_followed(
    tmp_path: Path, authority: trustme.CA, target: str
) -> None:
    async with serving(Host(status=307), authority) as host:
        host.headers = {"Location": target}
        with pytest.raises(SourceUnreachable, match="sends us to"):
            await ask(logged_in(tmp_path, host), host)


async def test_redirects_in_a_circle_end(tmp_path: Path, authority: trustme.CA) -> None:
    async with serving(Host(status=307), authority) as host:
        host.headers = {"Location": f"{host.url}/again"}
        with pytest.raises(SourceUnreachable, match="redirects"):
            await ask(logged_in(tmp_path, host), host)
        assert len(host.seen) < 10


async def test_a_registry_that_forgets_its_tls_in_addresses_is_asked_with_tls(
    tmp_path: Path, authority: trustme.CA
) -> None:
    async with serving(Host(status=307), authority) as host:
        host.headers = {"Location": f"http://{host.address}/v2/again"}
        with pytest.raises(SourceUnreachable, match="redirects"):
            await ask(logged_in(tmp_path, host), host)
        assert ("/v2/again", None) in host.seen


async def test_a_netrc_is_nobodys_business(
    tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login me password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with serving(Host(), authority) as host:
        await ask(logged_in(tmp_path, host), host)
        assert {authorization for _, authorization in host.seen} == {None}


async def test_a_proxy_gets_its_own_password_and_the_registry_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxied: list[tuple[str, str | None]] = []

    async def proxy(request: web.Request) -> web.Response:
        proxied.append((str(request.url), request.headers.get("Proxy-Authorization")))
        return web.Response()

    host = Host()
    host.answer = proxy  # type: ignore[method-assign]
    async with serving(host, None):
        monkeypatch.setenv("http_proxy", f"http://me:secret@{host.address}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with (
            Transport(RegistryConfig()) as transport,
            transport.send("GET", URL("http://registry.example/v2/")) as response,
        ):
            assert response.status == 200
    assert proxied == [("http://registry.example/v2/", "Basic bWU6c2VjcmV0")]


async def test_bundles_are_trusted_besides_one_another_and_renewed_when_they_change(
    tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, bundle = trustme.CA(), tmp_path / "others.pem"
    monkeypatch.setenv("BERTH_CA_BUNDLE", f"{tmp_path / 'none.pem'}:{bundle}")
    async with serving(Host(), authority) as trusted, serving(Host(), other) as host:
        assert await ask(RegistryConfig(), trusted) == 200, "by SSL_CERT_FILE, which is not replaced"
        quick = RegistryConfig(retry=RetryPolicy(attempts=1))
        with pytest.raises(SourceUnreachable, match=rf"not trusted .* \(not there: .*none.pem, {bundle}\)"):
            await ask(quick, host)
        other.cert_pem.write_to_path(bundle)
        assert await ask(quick, host) == 200
        assert await ask(quick, trusted) == 200


async def test_a_bundle_that_holds_no_certificate_is_named(
    tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.crt").write_text("soon")
    monkeypatch.setenv("BERTH_CA_BUNDLE", str(tmp_path / "ca.crt"))
    async with serving(Host(), authority) as host:
        with pytest.raises(SourceUnreachable, match=r"ca\.crt: no certificates can be read from it") as refused:
            await ask(RegistryConfig(), host)
        assert refused.value.permanent
        assert host.seen == []
