"""`HttpCluster`: the contract of cluster.py over HTTP, with aiohttp and nothing of a Kubernetes client.

Used by the operator, the gateway's agent and the command line, through `connect`.
"""

import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from berth_api.errors import InvalidSpec
from berth_kube.classify import classify
from berth_kube.cluster import Page, Scope, WatchEvent
from berth_kube.credentials import Access, Credentials
from berth_kube.errors import NotFound, Unauthorized, Unreachable
from berth_kube.lines import read_events
from berth_kube.resources import Key, Object, Resource, key_of

WATCH_SECONDS = (240, 300)
"""How long the server keeps a watch; drawn, so that the watches of a restarted server don't end together."""

_JSON = "application/json"
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_NETWORK_FAULTS = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(frozen=True)
class Timeouts:
    """How long to wait: for a call, for a page of a list, and for any sign of life in a watch.

    Bookmarks come each minute: a stream that says nothing for longer is dead, whatever TCP believes.
    """

    call_seconds: float = 10.0
    list_seconds: float = 30.0
    silence_seconds: float = 70.0


@dataclass(frozen=True)
class _Request:
    """One request, and in `what` how errors call it. Without a time-out of its own it gets that of a call."""

    what: str
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Object | None = None
    content_type: str = _JSON
    accept: str = _JSON
    timeout: aiohttp.ClientTimeout | None = None


@asynccontextmanager
async def connect(
    credentials: Credentials, *, user_agent: str = "berth", timeouts: Timeouts = Timeouts()
) -> AsyncIterator["HttpCluster"]:
    """A connection that closes with the block. Raises InvalidSpec where the credentials can't be read at all."""
    credentials.access()
    # Each watch holds a connection for minutes, so their number has no limit; writers are limited by their callers.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    headers = {"User-Agent": user_agent}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        yield HttpCluster(session, credentials, timeouts)


class HttpCluster:
    """A `Cluster` behind an HTTP session that somebody else closes."""

    def __init__(
        self, session: aiohttp.ClientSession, credentials: Credentials, timeouts: Timeouts = Timeouts()
    ) -> None:
        self._session = session
        self._credentials = credentials
        self._call_timeout = aiohttp.ClientTimeout(total=timeouts.call_seconds)
        self._list_timeout = aiohttp.ClientTimeout(total=timeouts.list_seconds)
        self._watch_timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=timeouts.call_seconds, sock_read=timeouts.silence_seconds
        )

    async def get(self, resource: Resource, key: Key) -> Object:
        """See `Cluster`."""
        return await self._call(_Request(f"get {resource.kind} {key}", "GET", resource.path(key)))

    async def list_page(
        self, resource: Resource, scope: Scope, *, limit: int = 500, more: str = "", metadata_only: bool = False
    ) -> Page:
        """See `Cluster`."""
        query = _selectors(scope) | {"limit": str(limit)} | ({"continue": more} if more else {})
        what, path = f"list {resource.plural}", resource.path(namespace=scope.namespace)
        accept = _METADATA if metadata_only else _JSON
        answer = await self._call(_Request(what, "GET", path, query, accept=accept, timeout=self._list_timeout))
        return _page(what, resource, answer, named=not metadata_only)

    async def watch(self, resource: Resource, scope: Scope, *, since: str) -> AsyncGenerator[WatchEvent, None]:
        """See `Cluster`."""
        what = f"watch {resource.plural}"
        seconds = random.randint(*WATCH_SECONDS)  # noqa: S311 - spreads load, guards nothing
        query = _selectors(scope) | {
            "watch": "true",
            "resourceVersion": since,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        request = _Request(what, "GET", resource.path(namespace=scope.namespace), query, timeout=self._watch_timeout)
        try:
            async with await self._open(request) as response, _cut_off(response):
                async for event in read_events(what, since, response.content.iter_any()):
                    yield event
        except _NETWORK_FAULTS as error:
            raise _unreachable(what, error) from error

    async def create(self, resource: Resource, body: Object) -> Object:
        """See `Cluster`."""
        key = key_of(body)
        path = resource.path(namespace=key.namespace)
        return await self._call(_Request(f"create {resource.kind} {key}", "POST", path, body=body))

    async def replace(self, resource: Resource, body: Object) -> Object:
        """See `Cluster`."""
        key = key_of(body)
        return await self._call(_Request(f"replace {resource.kind} {key}", "PUT", resource.path(key), body=body))

    async def apply(self, resource: Resource, body: Object, *, manager: str) -> Object:
        """See `Cluster`."""
        key = key_of(body)
        return await self._apply(f"apply {resource.kind} {key}", resource.path(key), body, manager)

    async def apply_status(self, resource: Resource, body: Object, *, manager: str) -> Object:
        """See `Cluster`."""
        key = key_of(body)
        path = resource.path(key, subresource="status")
        return await self._apply(f"apply status of {resource.kind} {key}", path, body, manager)

    async def merge(self, resource: Resource, key: Key, patch: Object) -> Object:
        """See `Cluster`."""
        what = f"patch {resource.kind} {key}"
        return await self._call(_Request(what, "PATCH", resource.path(key), body=patch, content_type=_MERGE))

    async def delete(self, resource: Resource, key: Key, *, uid: str) -> None:
        """See `Cluster`."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        try:
            await self._call(
                _Request(f"delete {resource.kind} {key}", "DELETE", resource.path(key), body=options),
            )
        except NotFound:
            return

    async def _apply(self, what: str, path: str, body: Object, manager: str) -> Object:
        query = {"fieldManager": manager, "force": "true"}
        return await self._call(_Request(what, "PATCH", path, query, body=body, content_type=_APPLY))

    async def _call(self, request: _Request) -> Object:
        """The JSON object that the server answers."""
        try:
            async with await self._open(request) as response:
                answer = json.loads(await response.read())
        except _NETWORK_FAULTS as error:
            raise _unreachable(request.what, error) from error
        except ValueError as error:
            raise _nonsense(request.what) from error
        if not isinstance(answer, dict):
            raise _nonsense(request.what)
        return answer

    async def _open(self, request: _Request) -> aiohttp.ClientResponse:
        """An answer with status 2xx. Where credentials are refused they are read anew, and it is tried once more."""
        try:
            return await self._send(request)
        except Unauthorized:
            self._credentials.forget()
            return await self._send(request)

    async def _send(self, request: _Request) -> aiohttp.ClientResponse:
        access = self._access()
        headers = {"Accept": request.accept}
        if access.token:
            headers["Authorization"] = f"Bearer {access.token}"
        data = None
        if request.body is not None:
            headers["Content-Type"] = request.content_type
            data = json.dumps(request.body, separators=(",", ":")).encode()
        response = await self._session.request(
            request.method,
            access.server + request.path,
            params=request.query,
            headers=headers,
            data=data,
            timeout=request.timeout or self._call_timeout,
            ssl=access.tls if access.tls is not None else True,
            server_hostname=access.server_name,
            allow_redirects=False,
        )
        if 200 <= response.status < 300:
            return response
        async with response:
            body = await response.read()
        raise classify(request.what, response.status, body, retry_after=response.headers.get("Retry-After"))

    def _access(self) -> Access:
        try:
            return self._credentials.access()
        except InvalidSpec as error:
            raise Unauthorized(f"the credentials can't be read: {error}") from error


@asynccontextmanager
async def _cut_off(response: aiohttp.ClientResponse) -> AsyncIterator[None]:
    """Drop the connection of a stream that is left before its end.

    TLS would wait half a minute for the farewell of a peer that is busy sending, or dead.
    """
    try:
        yield
    finally:
        transport = response.connection.transport if response.connection is not None else None
        if transport is not None:
            transport.abort()


def _selectors(scope: Scope) -> dict[str, str]:
    selectors = {"labelSelector": scope.labels, "fieldSelector": scope.fields}
    return {name: value for name, value in selectors.items() if value}


def _page(what: str, resource: Resource, answer: Object, *, named: bool) -> Page:
    """Items of a list come without `apiVersion` and `kind`; they get them, as objects from anywhere else have them."""
    items, metadata = answer.get("items"), answer.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(items, list | None):
        raise _nonsense(what)
    head: dict[str, Any] = {"apiVersion": resource.api_version, "kind": resource.kind} if named else {}
    return Page(
        [head | item for item in items or ()], str(metadata.get("resourceVersion", "")), metadata.get("continue", "")
    )


def _unreachable(what: str, error: Exception) -> Unreachable:
    if isinstance(error, TimeoutError):
        return Unreachable(f"{what}: the API server did not answer in time")
    return Unreachable(f"{what}: the API server can't be reached: {str(error) or type(error).__name__}")


def _nonsense(what: str) -> Unreachable:
    return Unreachable(f"{what}: the answer is not what an API server says; is a proxy or another service there?")
