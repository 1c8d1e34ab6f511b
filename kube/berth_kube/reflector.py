"""`Reflector`: keeps an `ObjectStore` like the cluster. List, mark, sweep, watch; and again from where it stopped.

It heals every `ClusterError` by itself, for ever: a kind that is not installed yet (404) or a right that is missing
(403) may come later, and until then `trouble` says so. Anything else is a bug and ends `run`.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from berth_kube.backoff import Backoff
from berth_kube.cluster import Change, Cluster, Scope, WatchEvent
from berth_kube.errors import ClusterError, Expired
from berth_kube.resources import Key, Object, Resource, key_of, uid_of
from berth_kube.store import ObjectStore

OnChange = Callable[[Object | None, Object | None], None]
"""Called with what was known and what is known now; None where there is nothing. It must not block."""

SHORT_SECONDS = 1.0
"""A watch that ends sooner than this is not followed by the next one at once."""


def keep_whole(obj: Object) -> Object:
    """Keeps an object as it is."""
    return obj


def ignore_change(old: Object | None, new: Object | None) -> None:
    """Does nothing."""


class Reflector:
    """One kind in one scope. Reflectors that fill the same store must look at different namespaces.

    `keep` makes of an object what is to be kept of it, so that a store of thousands stays small; `metadata.name`,
    `namespace`, `uid` and `resourceVersion` must remain. `metadata.managedFields` is dropped before.
    """

    def __init__(
        self,
        cluster: Cluster,
        resource: Resource,
        scope: Scope,
        store: ObjectStore,
        on_change: OnChange = ignore_change,
        *,
        keep: Callable[[Object], Object] = keep_whole,
        backoff: Backoff | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        """Set when the store held everything for the first time; stays set."""
        self.trouble = ""
        """What went wrong last, in words for people; empty while a watch is open."""
        self._cluster = cluster
        self._scope = scope
        self._store = store
        self._on_change = on_change
        self._keep = keep
        self._backoff = backoff if backoff is not None else Backoff()
        self._now = now
        self._sleep = sleep
        self._version = ""
        self._heard_at = now()

    def age_seconds(self, now: float) -> float:
        """How long ago a list or a line of a watch came, bookmarks included. A watch that works stays below 130 s."""
        return now - self._heard_at

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                if self._version and self.trouble:
                    await self._doubt()
                if not self._version:
                    self._version = await self._list()
                await self._watch()
            except Expired as error:
                self._version = ""
                await self._wait(error)
            except ClusterError as error:
                await self._wait(error)

    async def _wait(self, error: ClusterError) -> None:
        self.trouble = str(error)
        await self._sleep(self._backoff.delay_seconds())

    async def _doubt(self) -> None:
        """Forget a version that the server has not reached: it was restored from an older state, or made anew.

        A watch from a version in the future is accepted and stays silent, without an error, bookmarks and all.
        """
        page = await self._cluster.list_page(self.resource, self._scope, limit=1, metadata_only=True)
        if int(page.version) < int(self._version):
            self._version = ""

    async def _list(self) -> str:
        """Take in all pages, then drop what was in none of them; answers the version from which to watch."""
        seen: set[Key] = set()
        more = ""
        while True:
            page = await self._cluster.list_page(self.resource, self._scope, more=more)
            self._heard_at = self._now()
            for obj in page.items:
                seen.add(key_of(obj))
                self._put(obj)
            more = page.more
            if not more:
                break
        self._sweep(seen)
        self.synced.set()
        return page.version

    def _sweep(self, seen: set[Key]) -> None:
        gone = [key for key in self._store if key not in seen and self._scope.namespace in ("", key.namespace)]
        for key in gone:
            self._remove(self._store[key])

    async def _watch(self) -> None:
        opened_at = self._now()
        events = self._cluster.watch(self.resource, self._scope, since=self._version)
        async with contextlib.aclosing(events):
            if await anext(events, None) is not None:
                self._backoff.reset()
                self.trouble = ""
            async for event in events:
                self._take(event)
        if self._now() - opened_at < SHORT_SECONDS:
            await self._sleep(self._backoff.delay_seconds())

    def _take(self, event: WatchEvent) -> None:
        self._heard_at = self._now()
        match event.change:
            case Change.DELETED:
                self._remove(event.object)
            case Change.ADDED | Change.MODIFIED:
                self._put(event.object)
        self._version = event.object["metadata"]["resourceVersion"]

    def _put(self, obj: Object) -> None:
        new = self._keep(without_managed_fields(obj))
        old = self._store.put(new)
        # A list that is taken again brings mostly what is known.
        if old is None or _identity(old) != _identity(new):
            self._on_change(old, new)

    def _remove(self, obj: Object) -> None:
        old = self._store.remove(key_of(obj), uid_of(obj))
        if old is not None:
            self._on_change(old, None)


def without_managed_fields(obj: Object) -> Object:
    """The object without the record of who owns which field, which is about half of it."""
    metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    return {**obj, "metadata": metadata}


def _identity(obj: Object) -> tuple[str, str]:
    return uid_of(obj), obj["metadata"]["resourceVersion"]
