"""Proving who we are to one registry: the Docker token protocol, OAuth2 identity tokens, and Basic.

A credential goes to the registry that it was stored for and to the token server that this registry names, to nobody
else; over plain HTTP only if the registry itself may be asked so. Tokens are kept by scope until they are refused.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from berth_store.challenge import Challenge, parse_challenges
from berth_store.credentials import Credential, Lookup, find_credential
from berth_store.errors import SourceUnauthorized
from berth_store.failures import describe_login, registry_message, status_failure
from berth_store.registries import RegistryConfig
from berth_store.transport import Transport, read_body

MAX_TOKEN_BYTES = 1024 * 1024

Scopes = tuple[str, ...]


def scope(repository: str, actions: str) -> str:
    """The token protocol's name for doing `actions` (`pull` or `pull,push`) with a repository."""
    return f"repository:{repository}:{actions}"


class Authorizer:
    """The Authorization headers for one registry."""

    def __init__(self, transport: Transport, config: RegistryConfig, registry: str) -> None:
        self._transport = transport
        self._config = config
        self._registry = registry
        self._basic: str | None = None
        self._bearer: dict[Scopes, str] = {}
        self._lookup = Lookup()
        self._lock = asyncio.Lock()

    def header(self, scopes: Scopes) -> str | None:
        """The header to send for these scopes, as far as the registry has asked for one."""
        return self._basic or self._bearer.get(scopes)

    @property
    def login(self) -> str:
        """What to tell someone whose request was refused."""
        credential = self._lookup.credential
        return describe_login(
            self._registry, origin=credential.origin if credential else None, trouble=self._lookup.trouble
        )

    async def satisfy(self, response: aiohttp.ClientResponse, scopes: Scopes, *, refused: str | None) -> bool:
        """Get a header that answers a 401; `refused` is the one that was sent. False where there is no way.

        Raises SourceUnauthorized where the token server refuses, SourceUnreachable where it can't be reached.
        """
        challenges = parse_challenges(response.headers.getall("WWW-Authenticate", []))
        async with self._lock:
            if self.header(scopes) != refused:
                return True  # Another request was refused just before and has renewed it.
            self._basic = None
            self._bearer.pop(scopes, None)
            self._lookup = await find_credential(
                self._config.docker_config,
                self._registry,
                helper_timeout_seconds=self._config.helper_timeout_seconds,
            )
            return await self._answer(challenges, scopes, plain=response.url.scheme == "http", refused=refused)

    async def _answer(
        self, challenges: Iterable[Challenge], scopes: Scopes, *, plain: bool, refused: str | None
    ) -> bool:
        by_scheme = {challenge.scheme: challenge.parameters for challenge in reversed(tuple(challenges))}
        credential = self._lookup.credential
        if "bearer" in by_scheme:
            realm = self._realm(by_scheme["bearer"], plain=plain)
            self._bearer[scopes] = f"Bearer {await self._fetch_token(realm, by_scheme['bearer'], scopes, credential)}"
            return True
        if "basic" in by_scheme and credential and not credential.is_identity_token and credential.basic != refused:
            self._basic = credential.basic
            return True
        return False

    def _realm(self, parameters: Mapping[str, str], *, plain: bool) -> URL:
        try:
            realm = URL(parameters.get("realm", ""))
        except ValueError:
            realm = URL()
        if (
            realm.host is None
            or realm.user is not None
            or realm.scheme not in ({"https", "http"} if plain else {"https"})
        ):
            raise SourceUnauthorized(
                f"{self._registry} sends us to the token server {parameters.get('realm', '')[:200]!r}, to which no "
                "credential may be sent; only https is allowed there, and plain HTTP for registries that may use it"
            )
        return realm

    async def _fetch_token(
        self, realm: URL, parameters: Mapping[str, str], scopes: Scopes, credential: Credential | None
    ) -> str:
        service = [("service", parameters["service"])] if "service" in parameters else []
        if credential and credential.is_identity_token:
            form = [
                ("grant_type", "refresh_token"),
                ("client_id", "berth"),
                ("refresh_token", credential.secret),
                ("scope", " ".join(scopes)),
                *service,
            ]
            request = self._transport.send(
                "POST",
                realm,
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=urlencode(form).encode(),
            )
        else:
            query = [*service, *(("scope", wanted) for wanted in scopes)]
            headers = {"Authorization": credential.basic} if credential else {}
            request = self._transport.send("GET", realm.update_query(query), headers=headers)
        async with request as response:
            body = await read_body(response, MAX_TOKEN_BYTES)
            if response.status != 200:
                raise status_failure(
                    response.status if response.status != 404 else 401,
                    subject=f"a token for {', '.join(scopes)}",
                    registry=str(realm.origin()),
                    said=registry_message(body),
                    login=self.login,
                )
            return _token_in(body, realm)


def _token_in(body: bytes, realm: URL) -> str:
    try:
        answer = json.loads(body)
        token = answer.get("token") or answer.get("access_token")
    except (ValueError, AttributeError, RecursionError):
        token = None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise SourceUnauthorized(
            f"the token server {realm.origin()} answered without a token; try again, or log in anew"
        )
    return token
