"""An S3 on loopback; it lies as `lying_site` says. It lets nobody in whose signature it has not reckoned itself, from
the bytes of the request.
"""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from aiohttp import web
from lying_site import LyingSite

from berth_store.ranges import Range


class FakeBucket(LyingSite):
    """An S3 with one key pair and path-style buckets; `page_objects` are on each page of a list."""

    def __init__(self, *, key_id: str = "AKIDEXAMPLE", key: str = "wJalr/EXAMPLEKEY", session_token: str = "") -> None:
        super().__init__()
        self.objects: dict[tuple[str, str], bytes] = {}
        self.key_id, self.key, self.session_token = key_id, key, session_token
        self.region = "eu-central-1"
        self.public = False
        self.page_objects = 1000

    def hold(self, bucket: str, objects: Mapping[str, bytes]) -> None:
        """Put objects into a bucket."""
        self.objects.update({(bucket, key): content for key, content in objects.items()})

    @property
    def environment(self) -> dict[str, str]:
        """What a user of it has in the environment."""
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.key_id,
            "AWS_SECRET_ACCESS_KEY": self.key,
            **({"AWS_SESSION_TOKEN": self.session_token} if self.session_token else {}),
        }

    async def answer(self, request: web.Request, span: Range | None) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        bucket, _, key = unquote(request.raw_path.partition("?")[0]).strip("/").partition("/")
        if not any(bucket == each for each, _ in self.objects):
            return _s3_error(404, "NoSuchBucket", "The specified bucket does not exist")
        if request.query.get("list-type") == "2":
            return self._list(bucket, request.query)
        content = self.objects.get((bucket, key))
        if content is None:
            return _s3_error(404, "NoSuchKey", "The specified key does not exist.")
        return await self.content(request, content, span, {"ETag": _etag(content)})

    def _refusal(self, request: web.Request) -> web.Response | None:
        authorization = request.headers.get("Authorization", "")
        if not authorization:
            return None if self.public else _s3_error(403, "AccessDenied", "Access Denied")
        if self.key_id not in authorization:
            return _s3_error(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist.")
        if f"/{self.region}/s3/" not in authorization:
            message = f"the region is wrong; expecting '{self.region}'"
            return _s3_error(400, "AuthorizationHeaderMalformed", message, region=self.region)
        if request.headers.get("x-amz-security-token", "") != self.session_token:
            return _s3_error(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
        if expected_signature(request, self.key) != authorization.rpartition("Signature=")[2]:
            return _s3_error(403, "SignatureDoesNotMatch", "The request signature we calculated does not match.")
        return None

    def _list(self, bucket: str, query: Mapping[str, str]) -> web.Response:
        most = min(int(query.get("max-keys", "1000")), self.page_objects)
        start = query.get("continuation-token", "")
        keys = sorted(key for each, key in self.objects if each == bucket and key.startswith(query.get("prefix", "")))
        keys = [key for key in keys if key > start]
        page, rest = keys[:most], keys[most:]
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[bucket, key])}</Size>"
            f"<ETag>{escape(_etag(self.objects[bucket, key]), {chr(34): '&quot;'})}</ETag></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if rest else ""
        body = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket}</Name><IsTruncated>{str(bool(rest)).lower()}</IsTruncated>{contents}{token}"
            "</ListBucketResult>"
        )
        return web.Response(text=body, content_type="application/xml")


def expected_signature(request: web.Request, key: str) -> str:
    """The signature that this request must bear, from its bytes as they came."""
    stated = request.headers["Authorization"].removeprefix("AWS4-HMAC-SHA256 ")
    parts = dict(part.strip().split("=", 1) for part in stated.split(","))
    path, _, query = request.raw_path.partition("?")
    pairs = sorted(pair if "=" in pair else f"{pair}=" for pair in query.split("&") if pair)
    lines = [request.method, quote(unquote(path), safe="/-_.~"), "&".join(pairs)]
    names = parts["SignedHeaders"].split(";")
    assert {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names)
    lines += [f"{name}:{request.headers[name].strip()}" for name in names]
    lines += ["", parts["SignedHeaders"], request.headers["x-amz-content-sha256"]]
    scope = parts["Credential"].partition("/")[2]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{request.headers['x-amz-date']}\n{scope}\n{digest}"
    secret = f"AWS4{key}".encode()
    for step in scope.split("/"):
        secret = hmac.digest(secret, step.encode(), "sha256")
    return hmac.new(secret, text.encode(), "sha256").hexdigest()


def _s3_error(status: int, code: str, message: str, *, region: str = "") -> web.Response:
    named = f"<Region>{region}</Region>" if region else ""
    text = f"<Error><Code>{code}</Code><Message>{message}</Message>{named}<RequestId>1</RequestId></Error>"
    return web.Response(status=status, text=f'<?xml version="1.0"?>{text}', content_type="application/xml")


def _etag(content: bytes) -> str:
    """Of an object that was uploaded in parts: no digest of anything that a reader could reckon."""
    return f'"{hashlib.md5(b"parts" + content, usedforsecurity=False).hexdigest()}-2"'
