"""A Hugging Face on loopback; it lies as `lying_site` says. Large files it redirects to a host of its own, as the real
one does.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from aiohttp import web
from lying_site import LyingSite, sha256

from berth_store.ranges import Range

LFS_BYTES = 64 * 1024
"""Files of at least this size lie on the hub's other host, and have a sha256."""


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
    """The hub. `tokens` are let in where it matters; `renamed` leads from old names to new ones."""

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


def git_digest(content: bytes) -> str:
    """As git names a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


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
