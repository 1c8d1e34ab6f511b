"""An API server in memory that keeps the contract of `berth_kube.cluster`, and fails when it is told to.

cluster = FakeCluster()
cluster.put(PODS, pod)                                   # as some controller would
cluster.fail_next(Unreachable("gone"), verb="apply")     # the next apply fails, without having been done
cluster.fail_next(Unreachable("lost"), verb="apply", after=True)   # it is done, and the answer is lost
cluster.expire_watches()                                 # every watch ends with 410, and old versions are forgotten
cluster.requests                                         # what was asked, in order

tests/unit/kube/test_contract.py runs the same rules on it that a real API server passes. It knows no schemas: it
neither sets defaults nor refuses a field. Namespaces need not exist. Dependents of a deleted owner go soon after, as
with the garbage collector of a cluster; nothing else runs in it.
"""

import asyncio
import copy
import itertools
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import fake_cluster_objects as objects
from fake_cluster_objects import Stored
from fake_cluster_requests import Fault, Passage, Request
from fake_cluster_selectors import matches
from fake_cluster_watches import Happening, Watcher, tell

from berth_kube.cluster import Change, Page, Scope, WatchEvent
from berth_kube.errors import AlreadyExists, ClusterError, Conflict, Expired, NotFound, Unreachable
from berth_kube.resources import Key, Object, Resource, key_of, uid_of


class FakeCluster:
    """See the module. `now` gives the time that objects are stamped with."""

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.requests: list[Request] = []
        self._now = now
        self._objects: dict[Resource, dict[Key, Stored]] = {}
        self._history: list[Happening] = []
        self._version = 1
        self._oldest = 0
        self._uids = itertools.count(1)
        self._faults: list[Fault] = []
        self._watchers: list[Watcher] = []
        self._lists: dict[str, tuple[list[Object], str]] = {}

    # The contract.

    async def get(self, resource: Resource, key: Key) -> Object:
        async with self._request("get", resource, key):
            return copy.deepcopy(self._stored(resource, key).document)

    async def list_page(
        self, resource: Resource, scope: Scope, *, limit: int = 500, more: str = "", metadata_only: bool = False
    ) -> Page:
        async with self._request("list_page", resource, metadata_only=metadata_only):
            if more and more not in self._lists:
                raise Expired(f"list {resource.plural}: the token to continue is too old", status=410)
            rest, version = self._lists.pop(more) if more else (self.all_of(resource, scope), str(self._version))
            page, rest = rest[:limit], rest[limit:]
            token = f"{version}.{next(self._uids)}" if rest else ""
            if rest:
                self._lists[token] = (rest, version)
            return Page([_metadata(obj) for obj in page] if metadata_only else page, version, token)

    async def watch(self, resource: Resource, scope: Scope, *, since: str) -> AsyncGenerator[WatchEvent, None]:
        async with self._request("watch", resource):
            if int(since) < self._oldest:
                raise Expired(f"watch {resource.plural}: version {since} is too old", status=410)
            watcher = Watcher(resource, scope)
            watcher.queue.put_nowait(WatchEvent(Change.BOOKMARK, {"metadata": {"resourceVersion": since}}))
            for happening in self._history:
                if happening.version > int(since):
                    tell(watcher, happening)
            self._watchers.append(watcher)
        try:
            while (item := await watcher.queue.get()) is not None:
                if isinstance(item, ClusterError):
                    raise item
                yield item
        finally:
            self._drop(watcher)

    async def create(self, resource: Resource, body: Object) -> Object:
        key = key_of(body)
        async with self._request("create", resource, key, body):
            if key in self._kind(resource):
                raise AlreadyExists(f"create {resource.kind} {key}: it is there already", status=409)
            return self._store(resource, self._new(resource, body))

    async def replace(self, resource: Resource, body: Object) -> Object:
        key = key_of(body)
        async with self._request("replace", resource, key, body):
            old = self._stored(resource, key)
            self._check(resource, key, old, body)
            return self._store(resource, objects.replaced(old, body), old)

    async def apply(self, resource: Resource, body: Object, *, manager: str) -> Object:
        key = key_of(body)
        async with self._request("apply", resource, key, body):
            old = self._kind(resource).get(key)
            if old is None:
                if uid_of(body):
                    raise Conflict(f"apply {resource.kind} {key}: uid mismatch, there is no object", status=409)
                return self._store(resource, self._new(resource, body, (manager, "")))
            self._check(resource, key, old, body)
            return self._store(resource, objects.applied(old, body, manager), old)

    async def apply_status(self, resource: Resource, body: Object, *, manager: str) -> Object:
        key = key_of(body)
        async with self._request("apply_status", resource, key, body):
            old = self._stored(resource, key)
            self._check(resource, key, old, {"metadata": {**body["metadata"], "uid": ""}})
            return self._store(resource, objects.status_applied(old, body, manager), old)

    async def merge(self, resource: Resource, key: Key, patch: Object) -> Object:
        async with self._request("merge", resource, key, patch):
            old = self._stored(resource, key)
            self._check(resource, key, old, {"metadata": patch.get("metadata", {})})
            return self._store(resource, objects.merged(old, patch), old)

    async def delete(self, resource: Resource, key: Key, *, uid: str) -> None:
        async with self._request("delete", resource, key):
            old = self._kind(resource).get(key)
            if old is None:
                return
            if old.uid != uid:
                raise Conflict(f"delete {resource.kind} {key}: its UID is {old.uid}, not {uid}", status=409)
            self.remove(resource, key)

    # What a test does behind the clients' backs.

    def all_of(self, resource: Resource, scope: Scope = Scope()) -> list[Object]:  # noqa: B008 - frozen
        """The objects of a kind, by key."""
        found = sorted(self._kind(resource).items())
        return [copy.deepcopy(stored.document) for _, stored in found if matches(scope, stored.document)]

    def put(self, resource: Resource, body: Object) -> Object:
        """Make an object or put it in the place of the old one, status included, as a controller would."""
        old = self._kind(resource).get(key_of(body))
        stored = self._store(resource, self._new(resource, body) if old is None else objects.replaced(old, body), old)
        return self.set_status(resource, key_of(body), body["status"]) if "status" in body else stored

    def set_status(self, resource: Resource, key: Key, status: Object) -> Object:
        """Write a whole status."""
        old = self._stored(resource, key)
        return self._store(resource, objects.status_set(old, status), old)

    def remove(self, resource: Resource, key: Key) -> None:
        """Take an object out, and soon what it owned."""
        old = self._kind(resource).pop(key)
        self._record(resource, old.document, None)
        self._schedule_collection()

    def remove_silently(self, resource: Resource, key: Key) -> None:
        """Take an object out without telling any watch: with `expire_watches`, what happens in a gap of history."""
        del self._kind(resource)[key]
        self._version += 1

    def fail_next(
        self,
        error: ClusterError,
        *,
        verb: str | None = None,
        resource: Resource | None = None,
        key: Key | None = None,
        after: bool = False,
        times: int = 1,
    ) -> None:
        """Answer the next matching requests with an error; with `after` only once they have been carried out."""
        self._faults.append(Fault(error, verb, resource, key, after, times))

    def bookmark(self) -> None:
        """Send a bookmark with the newest version to every watch."""
        for watcher in self._watchers:
            obj = {"metadata": {"resourceVersion": str(self._version)}}
            watcher.queue.put_nowait(WatchEvent(Change.BOOKMARK, obj))

    def end_watches(self, error: ClusterError | None = None) -> None:
        """End every open watch: as the server does after its time, or with an error."""
        for watcher in self._watchers:
            watcher.queue.put_nowait(error)

    def expire_watches(self) -> None:
        """Forget history, and end every watch with 410."""
        self._oldest = self._version
        self._history.clear()
        self._lists.clear()
        self.end_watches(Expired("watch: too old resource version", status=410))

    def lose_everything(self) -> None:
        """Begin anew with nothing stored, at the first version, as a cluster restored from nothing."""
        self._objects.clear()
        self._version = 1
        self._oldest = 0
        self._history.clear()
        self._lists.clear()
        self.end_watches(Unreachable("the API server went away"))

    @property
    def watches(self) -> int:
        """How many watches are open."""
        return len(self._watchers)

    @property
    def writes(self) -> list[Request]:
        """The requests that write, in order."""
        return [request for request in self.requests if request.writes]

    # The inside.

    def _request(
        self,
        verb: str,
        resource: Resource,
        key: Key | None = None,
        body: Object | None = None,
        *,
        metadata_only: bool = False,
    ) -> "Passage":
        request = Request(verb, resource, key, copy.deepcopy(body), metadata_only)
        self.requests.append(request)
        return Passage(next((fault for fault in self._faults if fault.strikes(request)), None))

    def _kind(self, resource: Resource) -> dict[Key, Stored]:
        return self._objects.setdefault(resource, {})

    def _stored(self, resource: Resource, key: Key) -> Stored:
        stored = self._kind(resource).get(key)
        if stored is None:
            raise NotFound(f'{resource.plural} "{key}" not found', status=404)
        return stored

    def _check(self, resource: Resource, key: Key, old: Stored, body: Object) -> None:
        """The preconditions in a body's metadata."""
        uid, version = body["metadata"].get("uid"), body["metadata"].get("resourceVersion")
        if (uid and uid != old.uid) or (version and version != old.version):
            raise Conflict(f"{resource.kind} {key}: the object has been modified", status=409)

    def _new(self, resource: Resource, body: Object, owner: objects.Owner = objects.UPDATE) -> Stored:
        head = {"apiVersion": resource.api_version, "kind": resource.kind}
        at = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        return objects.created({**head, **body}, uid=f"uid-{next(self._uids)}", at=at, owner=owner)

    def _store(self, resource: Resource, new: Stored, old: Stored | None = None) -> Object:
        """Keep an object under the next version; one that is as before keeps its version and nobody hears of it."""
        if old is not None and new.document == old.document and _same_owners(old, new):
            return copy.deepcopy(old.document)
        self._version += 1
        new.document["metadata"] = {**new.document["metadata"], "resourceVersion": str(self._version)}
        self._kind(resource)[key_of(new.document)] = new
        self._record(resource, None if old is None else old.document, new.document)
        if new.document["metadata"].get("ownerReferences"):
            self._schedule_collection()
        return copy.deepcopy(new.document)

    def _record(self, resource: Resource, old: Object | None, new: Object | None) -> None:
        if new is None:
            self._version += 1
        happening = Happening(self._version, resource, copy.deepcopy(old), copy.deepcopy(new))
        self._history.append(happening)
        for watcher in self._watchers:
            tell(watcher, happening)

    def _drop(self, watcher: Watcher) -> None:
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def _schedule_collection(self) -> None:
        try:
            asyncio.get_running_loop().call_soon(self._collect)
        except RuntimeError:
            return

    def _collect(self) -> None:
        """What the garbage collector of a cluster does: an object goes when none of its owners is there any more."""
        living = {stored.uid for kind in self._objects.values() for stored in kind.values()}
        for resource, key, stored in list(self._all()):
            owners = stored.document["metadata"].get("ownerReferences") or ()
            if owners and not any(owner["uid"] in living for owner in owners):
                self.remove(resource, key)

    def _all(self) -> Iterator[tuple[Resource, Key, Stored]]:
        for resource, kind in self._objects.items():
            for key, stored in kind.items():
                yield resource, key, stored


def _same_owners(old: Stored, new: Stored) -> bool:
    def of(stored: Stored) -> Mapping[Any, Any]:
        return {owner: paths for owner, paths in stored.owned.items() if paths}

    return of(old) == of(new)


def _metadata(obj: Object) -> Object:
    return {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": obj["metadata"]}
