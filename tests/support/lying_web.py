"""A web server on loopback, or one that only leads elsewhere; it lies as `lying_site` says."""

import hashlib
from collections.abc import Mapping

from aiohttp import web
from lying_site import LyingSite

from berth_store.ranges import Range


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
