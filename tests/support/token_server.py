"""A token server for the real registry: it checks passwords and identity tokens, and signs what it allows (RS256).

with signing_key(tmp_path) as key: ...
async with TokenServer(key) as server, ...:  server.realm, server.asked
"""

import base64
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

SERVICE, ISSUER = "berth tests", "token server of the tests"
IDENTITY_TOKEN = "identity-of-someone"


@dataclass
class SigningKey:
    """An RSA key; `jwks` is the file by which the registry knows it."""

    jwks: Path
    private: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def __post_init__(self) -> None:
        numbers = self.private.public_key().public_numbers()
        key = {
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "kid": "tests",
            "n": _number(numbers.n),
            "e": _number(numbers.e),
        }
        self.jwks.write_text(json.dumps({"keys": [key]}))

    def sign(self, claims: dict[str, object]) -> str:
        """A JSON web token of `claims`."""
        head = {"typ": "JWT", "alg": "RS256", "kid": "tests"}
        signed = b".".join(_text(json.dumps(part).encode()) for part in (head, claims))
        signature = self.private.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return b".".join((signed, _text(signature))).decode()


@dataclass(frozen=True)
class AskedToken:
    """One request for a token."""

    method: str
    authorization: str | None
    scopes: tuple[str, ...]
    form: dict[str, str]


class TokenServer:
    """The server. `users` may do everything; nobody else may, or may only pull where `anonymous_pull` is set."""

    def __init__(
        self, key: SigningKey, *, users: dict[str, str], anonymous_pull: bool = False, lifetime_seconds: int = 300
    ) -> None:
        self.asked: list[AskedToken] = []
        self._key = key
        self._users = users
        self._anonymous_pull = anonymous_pull
        self._lifetime_seconds = lifetime_seconds

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/token", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.realm = f"http://127.0.0.1:{self._runner.addresses[0][1]}/token"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        scopes = tuple(form["scope"].split(" ")) if "scope" in form else tuple(request.query.getall("scope", []))
        authorization = request.headers.get("Authorization")
        self.asked.append(AskedToken(request.method, authorization, scopes, form))
        known = form.get("refresh_token") == IDENTITY_TOKEN or self._knows(authorization)
        if not known and (authorization or form or not self._anonymous_pull):
            body = {"errors": [{"code": "UNAUTHORIZED", "message": "wrong user or password"}]}
            return web.json_response(body, status=401)
        token = self._token(scopes, actions=("pull", "push") if known else ("pull",))
        return web.json_response({"access_token" if form else "token": token, "expires_in": self._lifetime_seconds})

    def _knows(self, authorization: str | None) -> bool:
        if authorization is None:
            return False
        user, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        return user in self._users and self._users[user] == password

    def _token(self, scopes: tuple[str, ...], *, actions: tuple[str, ...]) -> str:
        now = int(time.time())
        access = []
        for scope in scopes:
            kind, name, wanted = scope.split(":")
            allowed = [action for action in wanted.split(",") if action in actions]
            access.append({"type": kind, "name": name, "actions": allowed})
        return self._key.sign(
            {
                "iss": ISSUER,
                "sub": "someone",
                "aud": SERVICE,
                "exp": now + self._lifetime_seconds,
                "nbf": now - 5,
                "iat": now,
                "jti": str(len(self.asked)),
                "access": access,
            }
        )


def _number(value: int) -> str:
    return _text(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode()


def _text(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
