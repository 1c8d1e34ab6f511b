"""Signing requests to S3: AWS Signature Version 4, for requests without a body. Pure.

After https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, whose examples are the tests.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote, unquote

from yarl import URL

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_ALGORITHM = "AWS4-HMAC-SHA256"
_UNRESERVED = "-_.~"


def sign(
    url: URL,
    headers: Mapping[str, str],
    *,
    key_id: str,
    key: str,
    session_token: str,
    region: str,
    now: datetime,
    method: str = "GET",
) -> dict[str, str]:
    """The headers to add to a request for `url` with `headers`, at the moment `now` (in UTC)."""
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    added = {"x-amz-content-sha256": EMPTY_SHA256, "x-amz-date": moment}
    if session_token:
        added["x-amz-security-token"] = session_token
    signed = {name.lower(): " ".join(value.split()) for name, value in {**headers, **added}.items()}
    signed["host"] = host_of(url)
    names = ";".join(sorted(signed))
    request = "\n".join(
        [
            method,
            canonical_path(url.raw_path),
            canonical_query(url.raw_query_string),
            *(f"{name}:{signed[name]}" for name in sorted(signed)),
            "",
            names,
            EMPTY_SHA256,
        ]
    )
    text = "\n".join([_ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()])
    signature = hmac.new(_signing_key(key, scope), text.encode(), hashlib.sha256).hexdigest()
    authorization = f"{_ALGORITHM} Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**added, "Authorization": authorization}


def host_of(url: URL) -> str:
    """The Host header that goes with an address: with the port, unless it is the scheme's own."""
    host = url.raw_host or ""
    shown = f"[{host}]" if ":" in host else host
    return shown if url.is_default_port() else f"{shown}:{url.port}"


def canonical_path(raw_path: str) -> str:
    """The path with every character encoded that S3 wants encoded, and no other."""
    return quote(unquote(raw_path), safe=f"/{_UNRESERVED}") or "/"


def canonical_query(raw_query: str) -> str:
    """The parameters, encoded anew and sorted."""
    pairs = (pair.partition("=") for pair in raw_query.split("&") if pair)
    encoded = (
        (quote(unquote(name), safe=_UNRESERVED), quote(unquote(value), safe=_UNRESERVED)) for name, _, value in pairs
    )
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def _signing_key(key: str, scope: str) -> bytes:
    signing = f"AWS4{key}".encode()
    for part in scope.split("/"):
        signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
    return signing
