"""The contract of a connection to an API server. `client.py` keeps it over HTTP, tests have a fake that keeps it too.

Every method raises a `ClusterError` of `berth_kube.errors` and nothing else, answers or fails within the time-out of
its implementation, and may be called from many tasks of one event loop at once.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from berth_kube.resources import Key, Object, Resource


class Change(StrEnum):
    """What a watch tells of an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@dataclass(frozen=True)
class WatchEvent:
    """One line of a watch. A bookmark's object has a resource version and nothing else."""

    change: Change
    object: Object


@dataclass(frozen=True)
class Page:
    """A part of a list. `version` is the list's resource version; `more` continues it and is empty on the last page."""

    items: Sequence[Object]
    version: str
    more: str = ""


@dataclass(frozen=True)
class Scope:
    """Which objects of a kind: of one namespace (empty: of all), and by label and field selector."""

    namespace: str = ""
    labels: str = ""
    fields: str = ""


class Cluster(Protocol):
    """Requests to one API server."""

    async def get(self, resource: Resource, key: Key) -> Object:
        """The object as it is now. Raises NotFound."""

    async def list_page(
        self, resource: Resource, scope: Scope, *, limit: int = 500, more: str = "", metadata_only: bool = False
    ) -> Page:
        """One page of a list; items have `apiVersion` and `kind`. Raises Expired if `more` is old.

        With `metadata_only` items are PartialObjectMetadata: nothing but `metadata` counts in them.
        """

    def watch(self, resource: Resource, scope: Scope, *, since: str) -> AsyncGenerator[WatchEvent, None]:
        """Everything that happens after the version `since`, bookmarks included, until the stream ends by itself.

        The first event is a bookmark of ours, with the version `since`: the server has accepted the watch.

        Raises Expired where the version is too old, by status or by an ERROR event, and Unreachable where the stream
        breaks or is silent for longer than bookmarks allow.
        """

    async def create(self, resource: Resource, body: Object) -> Object:
        """Make an object. Raises AlreadyExists."""

    async def replace(self, resource: Resource, body: Object) -> Object:
        """Put an object in the place of the version that its `metadata.resourceVersion` names. Raises Conflict."""

    async def apply(self, resource: Resource, body: Object, *, manager: str) -> Object:
        """Server-side apply with force: the fields of `body` are ours from now on, fields we drop go."""

    async def apply_status(self, resource: Resource, body: Object, *, manager: str) -> Object:
        """Server-side apply of `status` alone. Raises NotFound, or Conflict where a given resource version is old."""

    async def merge(self, resource: Resource, key: Key, patch: Object) -> Object:
        """JSON merge patch; a `metadata.uid` or `metadata.resourceVersion` in it is a precondition."""

    async def delete(self, resource: Resource, key: Key, *, uid: str) -> None:
        """Delete the object with this UID in the background. One that is gone is fine; another UID is Conflict."""
