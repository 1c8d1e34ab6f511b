"""A registry that can lie: it serves artifacts from memory, and for chosen requests misbehaves in a chosen way.

async with LyingRegistry() as registry:
    reference = registry.hold("a/model", artifact)
    registry.lie(ignore_range, times=2)
    await pull(store, reference, ...)
    registry.seen            # every request, with its range and headers
"""

from aiohttp import web
from lying_site import LyingSite
from oci_artifacts import MadeArtifact

from berth_store import mediatypes
from berth_store.digest import digest_of
from berth_store.ranges import Range
from berth_store.reference import Reference


class LyingRegistry(LyingSite):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.artifacts: dict[tuple[str, str], bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.referrers: dict[tuple[str, str], bytes] = {}
        self.token_uses: int | None = None
        self._tokens: dict[str, int] = {}

    def hold(self, repository: str, artifact: MadeArtifact, tag: str = "latest") -> Reference:
        """Serve the artifact; returns its reference."""
        self.artifacts[repository, tag] = artifact.manifest
        self.artifacts[repository, artifact.digest] = artifact.manifest
        self.blobs.update({str(digest): content for digest, content in artifact.blobs.items()})
        return Reference.parse(f"{self.authority}/{repository}:{tag}")

    def require_token(self, uses: int) -> None:
        """From now on want a token, each of which is good for so many requests."""
        self.token_uses = uses

    def spans(self) -> list[Range | None]:
        """The ranges that were asked of blobs, in order."""
        return [seen.span for seen in self.seen if "/blobs/" in seen.path]

    async def answer(self, request: web.Request, span: Range | None) -> web.StreamResponse:
        """See `LyingSite`."""
        if request.path == "/token":
            return self._give_token()
        if self.token_uses is not None and not self._is_let_in(request):
            realm = f'Bearer realm="{self.address}/token",service="liar",scope="repository:any:pull"'
            return web.json_response({"errors": []}, status=401, headers={"WWW-Authenticate": realm})
        if request.path == "/v2/":
            return web.json_response({})
        return await self._serve(request, span)

    async def _serve(self, request: web.Request, span: Range | None) -> web.StreamResponse:
        repository, kind, name = request.path.removeprefix("/v2/").rsplit("/", 2)
        if kind == "manifests":
            return self._manifest(repository, name)
        if kind == "referrers" and (repository, name) in self.referrers:
            return web.Response(body=self.referrers[repository, name], content_type=mediatypes.OCI_INDEX)
        content = self.blobs.get(name)
        if content is None:
            return web.json_response({"errors": [{"code": "BLOB_UNKNOWN", "message": "no such blob"}]}, status=404)
        return await self.content(request, content, span, {})

    def _manifest(self, repository: str, name: str) -> web.Response:
        content = self.artifacts.get((repository, name))
        if content is None:
            return web.json_response({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "no such tag"}]}, status=404)
        return web.Response(
            body=content,
            content_type=mediatypes.OCI_MANIFEST,
            headers={"Docker-Content-Digest": digest_of(content)},
        )

    def _give_token(self) -> web.Response:
        token = f"token-{len(self._tokens)}"
        self._tokens[token] = self.token_uses or 0
        return web.json_response({"token": token, "expires_in": 300})

    def _is_let_in(self, request: web.Request) -> bool:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self._tokens.get(token, 0) <= 0:
            return False
        self._tokens[token] -= 1
        return True
