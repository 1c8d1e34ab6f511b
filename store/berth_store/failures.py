"""What a failed exchange with a registry means for the person who waits for it. No IO.

Each function turns what the network library or an HTTP status says into one error of `berth_store.errors`, whose
message says what failed, why, and what to do. `berth_store.transport` and `berth_store.registry` raise them.
"""

import json
import os
import ssl
from collections.abc import Sequence

import aiohttp

from berth_store.errors import SourceError, SourceNotFound, SourceUnauthorized, SourceUnreachable

MAX_SAID_CHARACTERS = 300


# The first kind that fits decides; `{host}` and `{why}` are filled in; last, whether trying again is in vain.
_NETWORK: tuple[tuple[tuple[type[Exception], ...], str, bool], ...] = (
    (
        (aiohttp.ClientConnectorDNSError,),
        "{host}: DNS has no such name; check the spelling, the network and the proxy settings",
        False,
    ),
    (
        (aiohttp.ClientConnectorCertificateError,),
        (
            "{host}: its TLS certificate is not trusted ({why}); name a bundle that holds its CA in BERTH_CA_BUNDLE; "
            "in a cluster, by loader.caBundle of the chart or the key ca.crt of the source's Secret{missing}"
        ),
        True,
    ),
    (
        (aiohttp.ClientSSLError,),
        "{host}: no TLS connection ({why}); list a registry that speaks plain HTTP in BERTH_INSECURE_REGISTRIES",
        True,
    ),
    (
        (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError),
        "{host}: the proxy refuses or does not answer ({why}); check HTTPS_PROXY and NO_PROXY",
        False,
    ),
    (
        (aiohttp.ClientConnectorError,),
        "{host}: no connection ({why}); check the address, and that the registry is running",
        False,
    ),
    ((TimeoutError,), "{host}: no answer in time; check the network, or try again later", False),
    (
        (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, ConnectionError),
        "{host}: the connection broke in the middle of an answer; try again",
        False,
    ),
    ((Exception,), "{host}: the exchange failed ({why}); try again", False),
)


def network_failure(error: Exception, host: str, *, missing_bundles: Sequence[str] = ()) -> SourceUnreachable:
    """The error for an exchange with `host` that ended without a whole answer.

    `missing_bundles` are files with certificates that were named and are not there.
    """
    template, permanent = next((text, final) for kinds, text, final in _NETWORK if isinstance(error, kinds))
    missing = f" (not there: {', '.join(missing_bundles)})" if missing_bundles else ""
    return SourceUnreachable(template.format(host=host, why=_why(error), missing=missing), permanent=permanent)


def status_failure(
    status: int,
    *,
    subject: str,
    registry: str,
    said: str,
    login: str,
    retry_after_seconds: float | None = None,
) -> SourceError:
    """The error for an answer of `registry` about `subject` with an HTTP status that is not what was asked for.

    `said` is the registry's own message; `login` says which credentials were used, see `describe_login`.
    """
    quoted = f" (it says: {said})" if said else ""
    if status in {401, 403}:
        return SourceUnauthorized(
            f"{subject}: {registry} does not allow it{quoted}; {login}. "
            "Many registries answer the same for a name that does not exist: check the spelling too"
        )
    if status == 404:
        return SourceNotFound(f"{subject}: {registry} has no such artifact{quoted}; check the name and the tag")
    if status == 429:
        message = f"{subject}: {registry} asks for a pause, too many requests{quoted}; try again later, or log in"
        return SourceUnreachable(message, retry_after_seconds=retry_after_seconds)
    message = f"{subject}: {registry} answered with status {status}{quoted}; "
    if status >= 500:
        return SourceUnreachable(message + "try again later", retry_after_seconds=retry_after_seconds)
    return SourceUnreachable(message + "this registry may not support what was asked", permanent=True)


def describe_login(registry: str, *, origin: str | None, trouble: str) -> str:
    """What to do about credentials: none were found, they were refused, or something kept them from being read."""
    if origin:
        return f"the credentials from {origin} do not suffice; run `docker login {registry}` with ones that do"
    note = f"{trouble}; " if trouble else ""
    return f"{note}no credentials were found for {registry}; run `docker login {registry}`"


def registry_message(body: bytes) -> str:
    """What a registry's error body says, in one printable line; empty if it says nothing."""
    try:
        errors = json.loads(body)["errors"]
        parts = [f"{error.get('code', '')} {error.get('message', '')}".strip() for error in errors]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    line = "; ".join(filter(None, parts))
    return "".join(character if character.isprintable() else " " for character in line)[:MAX_SAID_CHARACTERS]


def _why(error: Exception) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message
    if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ssl.SSLError):
        return os.strerror(cause.errno).lower()
    return str(cause) or type(cause).__name__
