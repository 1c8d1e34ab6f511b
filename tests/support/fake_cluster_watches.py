"""What the open watches of the fake cluster are told. Used by fake_cluster.py."""

import asyncio
import copy
from dataclasses import dataclass, field

from fake_cluster_selectors import matches

from berth_kube.cluster import Change, Scope, WatchEvent
from berth_kube.errors import ClusterError
from berth_kube.resources import Object, Resource


@dataclass(frozen=True)
class Happening:
    """A change of one object: what it was and what it is; None where there is nothing."""

    version: int
    resource: Resource
    old: Object | None
    new: Object | None


@dataclass(eq=False)
class Watcher:
    """An open watch: events that its reader has not taken yet, then the error or None that ends it."""

    resource: Resource
    scope: Scope
    queue: asyncio.Queue[WatchEvent | ClusterError | None] = field(default_factory=asyncio.Queue)


def tell(watcher: Watcher, happening: Happening) -> None:
    """What a watch says of it: an object that begins or ceases to match its selectors comes or goes."""
    if watcher.resource != happening.resource:
        return
    before = happening.old is not None and matches(watcher.scope, happening.old)
    after = happening.new is not None and matches(watcher.scope, happening.new)
    if after:
        assert happening.new is not None
        change = Change.MODIFIED if before else Change.ADDED
        watcher.queue.put_nowait(WatchEvent(change, copy.deepcopy(happening.new)))
    elif before:
        assert happening.old is not None
        last = copy.deepcopy(dict(happening.new if happening.new is not None else happening.old))
        last["metadata"]["resourceVersion"] = str(happening.version)
        watcher.queue.put_nowait(WatchEvent(Change.DELETED, last))
