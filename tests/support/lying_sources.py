"""A Hugging Face, a web server and an S3 on loopback, which can lie as `lying_registry` does, and with its lies.

    async with FakeHub() as hub:
        hub.hold("org/model", {"config.json": b"{}", "model.safetensors": weights})
        hub.lie(reset_midway)          # the next answer with the content of a file
        hub.seen                       # every request, with its headers

The hub redirects large files to a host of its own, as the real one does, and S3 lets nobody in whose signature it has
not reckoned itself, from the bytes of the request.
"""

import asyncio
import hashlib
import hmac
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

import lying_registry as lies
from aiohttp import ClientConnectionResetError, web
from lying_registry import Lie, Reset

from berth_store.ranges import Range

if TYPE_CHECKING:
    from ssl import SSLContext

SLOW_PIECE_BYTES = 64 * 1024
LFS_BYTES = 64 * 1024
"""Files of at least this size lie on the hub's other host, and have a sha256."""


@dataclass(frozen=True)
class Seen:
    """One request that arrived, with its headers under lower-case names."""

    path: str
    query: str
    span: Range | None
    headers: Mapping[str, str]
    moment: float


class LyingSite:
    """One server. A lie replaces the next answer that would carry a file's content."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.sent_bytes = 0
        self.certificate: SSLContext | None = None
        self.port = 0
        self._lies: deque[Lie] = deque()
        self._always: Lie | None = None
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._note)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.certificate).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        return f"{'https' if self.certificate else 'http'}://{self.authority}"

    def lie(self, lie: Lie, *, times: int = 1) -> None:
        """Answer the next requests for content with `lie`."""
        self._lies.extend([lie] * times)

    def always(self, lie: Lie) -> None:
        """Answer every request for content with `lie`."""
        self._always = lie

    def be_slow(self, bytes_per_second: int) -> None:
        """Send every file's content at this pace on each connection, and count it in `sent_bytes`."""

        async def slowly(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
            body = content[span.start : span.stop] if span else content
            response = await lies._begin(request, content, span, len(body))
            for start in range(0, len(body), SLOW_PIECE_BYTES):
                piece = body[start : start + SLOW_PIECE_BYTES]
                await response.write(piece)
                self.sent_bytes += len(piece)
                await asyncio.sleep(len(piece) / bytes_per_second)
            return response

        self.always(slowly)

    async def wait_for_sent(self, count_bytes: int) -> None:
        """Wait until so much of files' content has been sent in all."""
        while self.sent_bytes < count_bytes:
            await asyncio.sleep(0.002)

    def sent(self, name: str) -> set[str]:
        """Every value of a header that arrived."""
        return {seen.headers[name] for seen in self.seen if name in seen.headers}

    def spans_of(self, path: str) -> list[Range | None]:
        """The ranges that were asked of a path that ends so, in order."""
        return [seen.span for seen in self.seen if seen.path.endswith(path)]

    async def answer(self, request: web.Request, span: Range | None) -> web.StreamResponse:
        """What this kind of server says."""
        raise NotImplementedError

    async def content(
        self, request: web.Request, content: bytes, span: Range | None, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        """A file's bytes, truly or not; `headers` come along where an answer has not begun yet."""
        lie = self._lies.popleft() if self._lies else self._always
        request[lies.HEADERS] = dict(headers)
        response = await (lie or lies.honest)(request, content, span)
        if not response.prepared:
            response.headers.update({name: value for name, value in headers.items() if name not in response.headers})
        return response

    async def _note(self, request: web.Request) -> web.StreamResponse:
        span = lies._span(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(Seen(request.path, request.query_string, span, headers, time.monotonic()))
        try:
            return await self.answer(request, span)
        except ClientConnectionResetError:
            return web.Response()  # The client was killed.
        except Reset:
            assert request.transport is not None
            request.transport.abort()
            await asyncio.sleep(0)
            return web.Response()


class FakeWeb(LyingSite):
    """Files by their path, each with the entity tag of its content. With a `target` it only redirects there."""

    def __init__(self, files: Mapping[str, bytes] | None = None, *, target: str = "") -> None:
        super().__init__()
        self.files = dict(files or {})
        self.target = target
        self.password = ""
        self.extra: dict[str, str] = {}
        self.without: tuple[str, ...] = ()

    def uri(self, path: str) -> str:
        return f"https://{self.authority}{path}"

    async def answer(self, request: web.Request, span: Range | None) -> web.StreamResponse:
        if self.password and request.headers.get("Authorization") != self.password:
            return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        if self.target:
            return web.Response(status=302, headers={"Location": f"{self.target}{request.raw_path}?signed=a%2Fb"})
        content = self.files.get(request.path)
        if content is None:
            return web.Response(status=404)
        tag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
        if span and request.headers.get("If-Range", tag) != tag:
            span = None
        headers = {name: value for name, value in {"ETag": tag, **self.extra}.items() if name not in self.without}
        return await self.content(request, content, span, headers)


@dataclass
class Repository:
    """One repository of the hub at one commit."""

    files: Mapping[str, bytes]
    commit: str
    gated: bool = False
    private: bool = False
    disabled: bool = False


class Cdn(LyingSite):
    """The hub's other host: content by sha256, at addresses that are good until `expire`."""

    def __init__(self) -> None:
        super().__init__()
        self.blobs: dict[str, bytes] = {}
        self.age = 0

    def url(self, digest: str) -> str:
        return f"{self.address}/{digest}?age={self.age}&sig=%2Fa%3D"

    def expire(self) -> None:
        """From now on every address that was given is refused."""
        self.age += 1

    async def answer(self, request: web.Request, span: Range | None) -> web.StreamResponse:
        if request.query.get("age") != str(self.age):
            return web.Response(status=403, text="<Error><Code>AccessDenied</Code></Error>")
        return await self.content(request, self.blobs[request.path.strip("/")], span, {})


class FakeHub(LyingSite):
    """See the module. `tokens` are let in where it matters; `renamed` leads from old names to new ones."""

    def __init__(self) -> None:
        super().__init__()
        self.repositories: dict[str, Repository] = {}
        self.commits: dict[tuple[str, str], Repository] = {}
        self.renamed: dict[str, str] = {}
        self.tokens: set[str] = set()
        self.cdn = Cdn()

    async def __aenter__(self) -> Self:
        await self.cdn.__aenter__()
        return await super().__aenter__()

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        await self.cdn.__aexit__()

    def hold(self, name: str, files: Mapping[str, bytes], **options: bool) -> Repository:
        """Have a repository, or a new commit of it."""
        stated = "".join(f"{path}{git_digest(content)}" for path, content in sorted(files.items()))
        commit = hashlib.sha1(stated.encode(), usedforsecurity=False).hexdigest()
        self.repositories[name] = self.commits[name, commit] = Repository(files, commit, **options)
        self.cdn.blobs.update({sha256(content): content for content in files.values()})
        return self.repositories[name]

    async def answer(self, request: web.Request, span: Range | None) -> web.StreamResponse:
        path = request.path.strip("/")
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.tokens:
            said = "Invalid credentials in Authorization header"
            return web.json_response({"error": said}, status=401, headers={"X-Error-Message": said})
        if path.startswith("api/models/"):
            name, _, revision = path.removeprefix("api/models/").partition("/revision/")
            return self._info(request, name, revision or "main", token)
        name, _, rest = path.partition("/resolve/")
        revision, _, file = rest.partition("/")
        return await self._resolve(request, name, revision, file, token, span)

    def _info(self, request: web.Request, name: str, revision: str, token: str) -> web.Response:
        if name in self.renamed:
            there = f"/api/models/{self.renamed[name]}/revision/{revision}?{request.query_string}"
            return web.Response(status=307, headers={"Location": there})
        repository = self.repositories.get(name)
        if repository is None or (repository.private and not token):
            return _error(401 if not token else 404, "RepoNotFound", "Repository not found")
        if repository.disabled:
            return _error(403, "", "Access to this resource is disabled.")
        if revision != "main":
            found = self.commits.get((name, revision))
            if found is None:
                return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            repository = found
        blobs = "blobs" in request.query
        return web.json_response(
            {
                "_id": "65f0c0ffee",
                "id": name,
                "modelId": name,
                "sha": repository.commit,
                "gated": "manual" if repository.gated else False,
                "private": repository.private,
                "tags": ["transformers"],
                "siblings": [_sibling(path, content, blobs) for path, content in repository.files.items()],
            }
        )

    async def _resolve(
        self, request: web.Request, name: str, revision: str, path: str, token: str, span: Range | None
    ) -> web.StreamResponse:
        if name in self.renamed:
            return web.Response(status=307, headers={"Location": request.raw_path.replace(name, self.renamed[name])})
        repository = self.repositories.get(name)
        if repository is None or (repository.private and not token):
            return _error(401, "RepoNotFound", "Repository not found")
        if repository.gated and not token:
            return _error(401, "GatedRepo", f"Access to model {name} is restricted.")
        repository = self.commits.get((name, revision), repository)
        content = repository.files.get(path)
        if content is None:
            return _error(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": repository.commit}
        if len(content) < LFS_BYTES:
            return await self.content(request, content, span, {**headers, "ETag": f'"{git_digest(content)}"'})
        linked = {"X-Linked-Etag": f'"{sha256(content)}"', "X-Linked-Size": str(len(content))}
        return web.Response(status=302, headers={**headers, **linked, "Location": self.cdn.url(sha256(content))})


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


def git_digest(content: bytes) -> str:
    """As git names a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sibling(path: str, content: bytes, blobs: bool) -> dict[str, object]:
    said: dict[str, object] = {"rfilename": path}
    if blobs:
        said |= {"size": len(content), "blobId": git_digest(content)}
        if len(content) >= LFS_BYTES:
            said["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 134}
    return said


def _error(status: int, code: str, message: str) -> web.Response:
    headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return web.json_response({"error": message}, status=status, headers=headers)


def _s3_error(status: int, code: str, message: str, *, region: str = "") -> web.Response:
    named = f"<Region>{region}</Region>" if region else ""
    text = f"<Error><Code>{code}</Code><Message>{message}</Message>{named}<RequestId>1</RequestId></Error>"
    return web.Response(status=status, text=f'<?xml version="1.0"?>{text}', content_type="application/xml")


def _etag(content: bytes) -> str:
    """Of an object that was uploaded in parts: no digest of anything that a reader could reckon."""
    return f'"{hashlib.md5(b"parts" + content, usedforsecurity=False).hexdigest()}-2"'
