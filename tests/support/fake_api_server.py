"""A `FakeCluster` behind the HTTP of an API server, for programs that are started as such. Lists and watches.

It can go away and come back at the same address, as a real one does.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from fake_cluster import FakeCluster
from gateway_process import free_port

from berth_kube.cluster import Scope
from berth_kube.errors import ClusterError
from berth_kube.resources import Object, Resource


class FakeApiServer:
    """Serves these kinds of `cluster` on 127.0.0.1; `start` and `stop` as often as wanted."""

    def __init__(self, cluster: FakeCluster, kinds: Iterable[Resource]) -> None:
        self.cluster = cluster
        self._kinds = tuple(kinds)
        self._port = free_port()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        for kind in self._kinds:
            for path in (kind.path(), kind.path(namespace="NAMESPACE").replace("NAMESPACE", "{namespace}")):
                app.router.add_get(path, self._handler(kind))
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def stop(self) -> None:
        """Refuse connections from now on, and break the watches."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def write_kubeconfig(self, path: Path) -> Path:
        """A kubeconfig that leads here."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
            "clusters": [{"name": "fake", "cluster": {"server": f"http://127.0.0.1:{self._port}"}}],
            "users": [{"name": "fake", "user": {"token": "fake"}}],
        }
        path.write_text(json.dumps(config))
        return path

    def _handler(self, kind: Resource) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            scope = Scope(request.match_info.get("namespace", ""), request.query.get("labelSelector", ""))
            if request.query.get("watch") == "true":
                return await self._watch(request, kind, scope)
            try:
                page = await self.cluster.list_page(
                    kind, scope, limit=int(request.query["limit"]), more=request.query.get("continue", "")
                )
            except ClusterError as error:
                return web.json_response(_status(error), status=error.status or 500)
            return web.json_response(
                {
                    "kind": f"{kind.kind}List",
                    "apiVersion": kind.api_version,
                    "metadata": {"resourceVersion": page.version, "continue": page.more},
                    "items": list(page.items),
                }
            )

        return answer

    async def _watch(self, request: web.Request, kind: Resource, scope: Scope) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/json"})
        await response.prepare(request)
        try:
            async for event in self.cluster.watch(kind, scope, since=request.query["resourceVersion"]):
                await response.write(_line(event.change.value, event.object))
        except ClusterError as error:
            await response.write(_line("ERROR", _status(error)))
        return response


def _line(change: str, obj: Object) -> bytes:
    return json.dumps({"type": change, "object": obj}).encode() + b"\n"


def _status(error: ClusterError) -> Object:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "code": error.status or 500, "message": str(error)}


@asynccontextmanager
async def running_api_server(cluster: FakeCluster, kinds: Iterable[Resource]) -> AsyncIterator[FakeApiServer]:
    """A server for `cluster`; gone at the end."""
    server = FakeApiServer(cluster, kinds)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
