"""A second look at a kind that somebody else watches for us: what has vanished, and what was not delivered in time.

kopf neither prunes after a list nor says how old its stream is. So the operator lists the metadata each minute and
compares: `list_versions` asks, `compare` is pure. Called by the operator's intake.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from berth_kube.cluster import Cluster, Scope
from berth_kube.resources import Key, Object, Resource, key_of, uid_of
from berth_kube.store import version_of

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Listing:
    """UID and resource version of every object of a kind, and the version of the list itself."""

    version: int
    objects: Mapping[Key, tuple[str, int]]


@dataclass(frozen=True)
class Awaited:
    """A version that one side has and the other had not when it was first noticed."""

    version: int
    since: float


@dataclass(frozen=True)
class Audit:
    """What a comparison found. `awaited` and `ahead` are for the next one.

    `vanished` has keys and UIDs of known objects that are gone: drop them with the UID as a guard. `overdue` has the
    objects of which a version was not delivered in time: the stream is dead, whatever it believes of itself. So it is
    where the cluster does not reach a version that we know: it was restored, and a watch from the future is silent.
    `awaited` is empty when everything that was listed is known.
    """

    vanished: Mapping[Key, str] = field(default_factory=dict)
    overdue: tuple[Key, ...] = ()
    awaited: Mapping[Key, Awaited] = field(default_factory=dict)
    ahead: Mapping[Key, Awaited] = field(default_factory=dict)


async def list_versions(cluster: Cluster, resource: Resource, scope: Scope) -> Listing:
    """Ask for the metadata of all objects in a scope. Raises ClusterError."""
    objects: dict[Key, tuple[str, int]] = {}
    more = ""
    while True:
        page = await cluster.list_page(resource, scope, more=more, metadata_only=True)
        objects |= {key_of(obj): (uid_of(obj), version_of(obj)) for obj in page.items}
        more = page.more
        if not more:
            return Listing(int(page.version), objects)


def compare(
    before: Audit,
    listed: Listing,
    known: Mapping[Key, Object],
    now: float,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Audit:
    """Compare a list with what is known in its scope now; `before` is the result of the last comparison."""
    awaited = {
        key: awaited
        for key, (uid, version) in listed.objects.items()
        if (awaited := _awaited(before.awaited.get(key), uid, version, known.get(key), now)) is not None
    }
    ahead = {
        key: _since(before.ahead.get(key), version, now)
        for key, obj in known.items()
        if (version := version_of(obj)) > listed.version
    }
    late = {key for one in (awaited, ahead) for key, entry in one.items() if now - entry.since >= patience_seconds}
    return Audit(_vanished(listed, known), tuple(sorted(late)), awaited, ahead)


def _vanished(listed: Listing, known: Mapping[Key, Object]) -> dict[Key, str]:
    """What is younger than the list can't be missed in it."""
    return {
        key: uid_of(obj)
        for key, obj in known.items()
        if version_of(obj) <= listed.version and listed.objects.get(key, ("", 0))[0] != uid_of(obj)
    }


def _awaited(before: Awaited | None, uid: str, version: int, known: Object | None, now: float) -> Awaited | None:
    """What is awaited of one object, if anything: the oldest version that was noticed and is not there yet."""
    delivered = version_of(known) if known is not None and uid_of(known) == uid else 0
    if before is not None and delivered < before.version:
        return before
    return Awaited(version, now) if delivered < version else None


def _since(before: Awaited | None, version: int, now: float) -> Awaited:
    return before if before is not None and before.version == version else Awaited(version, now)
