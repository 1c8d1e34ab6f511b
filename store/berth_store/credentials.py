"""Credentials for a registry, as `docker login` leaves them: in Docker's config file or with a credential helper.

`berth_store.auth` asks for one registry at a time, and gets what was stored for that registry and no other. The file is
read anew each time, so that a `docker login` in another window counts at once.
"""

import asyncio
import base64
import binascii
import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DOCKER_HUB = "docker.io"
# Docker stores its own registry under this address, and asks helpers for it by this name.
DOCKER_HUB_KEY = "https://index.docker.io/v1/"
_DOCKER_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TOKEN_USER = "<token>"  # noqa: S105 - the name by which helpers say that the secret is an identity token
MAX_HELPER_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Credential:
    """A user name and password, or an identity token to be exchanged. `origin` says where it was found."""

    username: str
    secret: str = field(repr=False)
    is_identity_token: bool = False
    origin: str = ""

    @property
    def basic(self) -> str:
        """The value of a Basic Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.secret}".encode()).decode()


@dataclass(frozen=True)
class Lookup:
    """What was found for a registry; `trouble` says what kept credentials from being read, for the error message."""

    credential: Credential | None = None
    trouble: str = ""


async def find_credential(config_file: Path | None, registry: str, *, helper_timeout_seconds: float) -> Lookup:
    """The credential for `registry` (`host[:port]`), or why there is none. Never raises for what users have stored."""
    if config_file is None:
        return Lookup()
    config, trouble = await asyncio.to_thread(_read_config, config_file)
    helper = _helper_for(config, registry)
    if helper is None:
        return Lookup(_inline(config, registry, str(config_file)), trouble)
    credential, trouble = await _ask_helper(helper, registry, helper_timeout_seconds)
    return Lookup(credential or _inline(config, registry, str(config_file)), trouble)


def _read_config(path: Path) -> tuple[Mapping[str, object], str]:
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError) as error:
        return {}, f"{path} could not be read ({error})"
    return (config, "") if isinstance(config, dict) else ({}, f"{path} holds no JSON object")


def registry_of(key: str) -> str:
    """The registry that a key of the config file stands for: keys may carry a scheme and a path."""
    host = re.sub(r"^https?://", "", key.strip()).partition("/")[0].lower()
    return DOCKER_HUB if host in _DOCKER_HUB_HOSTS else host


def _helper_for(config: Mapping[str, object], registry: str) -> str | None:
    chosen = config.get("credsStore")
    helpers = config.get("credHelpers")
    for key, name in helpers.items() if isinstance(helpers, dict) else ():
        if registry_of(key) == registry:
            chosen = name
    return chosen if isinstance(chosen, str) and _HELPER_NAME.fullmatch(chosen) else None


def _inline(config: Mapping[str, object], registry: str, origin: str) -> Credential | None:
    entries = config.get("auths")
    matching = [
        entry
        for key, entry in (entries.items() if isinstance(entries, dict) else ())
        if registry_of(key) == registry and isinstance(entry, dict)
    ]
    found = (_from_entry(entry, origin) for entry in matching)
    return next((credential for credential in found if credential), None)


def _from_entry(entry: Mapping[str, object], origin: str) -> Credential | None:
    token = entry.get("identitytoken")
    if isinstance(token, str) and token:
        return Credential(_TOKEN_USER, token, is_identity_token=True, origin=origin)
    username, secret = entry.get("username"), entry.get("password")
    packed = entry.get("auth")
    if isinstance(packed, str) and packed:
        with contextlib.suppress(binascii.Error, UnicodeDecodeError):
            username, _, secret = base64.b64decode(packed, validate=True).decode().rstrip("\0").partition(":")
    if isinstance(username, str) and isinstance(secret, str) and username:
        return Credential(username, secret, origin=origin)
    return None


async def _ask_helper(name: str, registry: str, timeout_seconds: float) -> tuple[Credential | None, str]:
    program = f"docker-credential-{name}"
    server = DOCKER_HUB_KEY if registry == DOCKER_HUB else registry
    try:
        code, output = await _run_helper(program, server, timeout_seconds)
    except FileNotFoundError:
        return None, f"the credential helper {program} is not in PATH"
    except TimeoutError:
        return None, f"the credential helper {program} did not answer within {timeout_seconds:g} s"
    except OSError as error:
        return None, f"the credential helper {program} could not be started ({error.strerror})"
    if code != 0:
        said = output.decode(errors="replace").strip()[:200]
        # This is how helpers say that they have nothing for the registry, which is no trouble.
        return (
            None,
            "" if "credentials not found" in said else f"the credential helper {program} failed: {said or code}",
        )
    credential = _from_helper(output, program)
    return credential, "" if credential else f"the credential helper {program} gave no credential"


async def _run_helper(program: str, server: str, timeout_seconds: float) -> tuple[int, bytes]:
    process = await asyncio.create_subprocess_exec(
        program,
        "get",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            output, _ = await process.communicate(server.encode())
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    return process.returncode or 0, output[:MAX_HELPER_BYTES]


def _from_helper(output: bytes, program: str) -> Credential | None:
    try:
        answer = json.loads(output)
    except ValueError:
        return None
    if not isinstance(answer, dict):
        return None
    username, secret = answer.get("Username"), answer.get("Secret")
    if not isinstance(username, str) or not isinstance(secret, str) or not secret:
        return None
    return Credential(username, secret, is_identity_token=username == _TOKEN_USER, origin=program)
