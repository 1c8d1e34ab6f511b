"""Watches over the intake, which can't be asked whether it is complete or alive: lists versions, and compares.

What is listed and not delivered for a minute means that the intake is blind: the process must end, and a new one
starts. What is known and not listed has vanished unseen. Run by process.py at start and then each minute.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from berth_api.errors import BerthError
from berth_kube.audit import PATIENCE_SECONDS, Audit, Listing, compare, list_versions
from berth_kube.cluster import Cluster, Scope
from berth_kube.errors import ClusterError, NotFound
from berth_kube.resources import Key, Object
from berth_kube.store import version_of
from berth_operator.declared import Declared
from berth_operator.subject import Kind, Subject

AUDIT_SECONDS: Final = 60.0
FIRST_LIST_SECONDS: Final = 600.0
"""How long intake may take to bring in everything that was there before it started."""
_RETRY_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.1
_POLLS: Final = 100

_Part = tuple[Kind, str]
"""A kind in one namespace, or in all of them (empty)."""

log = logging.getLogger(__name__)


class IntakeBlind(BerthError):  # noqa: N818 - reads as the sentence that it is
    """Intake has missed what the API server has."""


class KindMissing(BerthError):  # noqa: N818 - reads as the sentence that it is
    """Our kinds are not installed, or not any more."""


class IntakeAudit:
    """Compares what the API server lists with what intake delivered. `drop` forgets an object as a deletion does."""

    def __init__(
        self,
        cluster: Cluster,
        declared: Declared,
        namespaces: Sequence[str],
        drop: Callable[[Kind, Object], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._cluster = cluster
        self._declared = declared
        self._found: dict[_Part, Audit] = {
            (kind, namespace): Audit() for kind in Kind for namespace in namespaces or ("",)
        }
        self._drop = drop
        self._clock = clock
        self._sleep = sleep
        self._heard_at = clock()
        self.completed = asyncio.Event()
        """Set once intake had everything that was listed."""

    def age_seconds(self) -> float:
        """How long ago a comparison was made."""
        return self._clock() - self._heard_at

    async def wait_for_kinds(self) -> None:
        """Until the API server answers for both kinds. Raises KindMissing where it says that there are none."""
        await self._list()

    async def complete(self) -> None:
        """Until intake has delivered everything once. Raises IntakeBlind and KindMissing."""
        while not self.completed.is_set():
            listings = await self._list()
            for _ in range(_POLLS):
                self._compare(listings, patience_seconds=FIRST_LIST_SECONDS)
                if not any(audit.awaited for audit in self._found.values()):
                    self.completed.set()
                    return
                await self._sleep(_POLL_SECONDS)

    async def run(self) -> None:
        """For ever, once each minute. Raises IntakeBlind and KindMissing."""
        while True:
            await self._sleep(AUDIT_SECONDS)
            await self.look()

    async def look(self) -> None:
        """One comparison. Raises IntakeBlind and KindMissing."""
        self._compare(await self._list())

    def _compare(self, listings: Mapping[_Part, Listing], *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        now = self._heard_at = self._clock()
        for (kind, namespace), listing in listings.items():
            known = self._known(kind, namespace)
            found = self._found[kind, namespace] = compare(
                self._found[kind, namespace], listing, known, now, patience_seconds=patience_seconds
            )
            if found.overdue:
                late = ", ".join(str(Subject(kind, key)) for key in found.overdue[:5])
                raise IntakeBlind(f"{late} changed more than {patience_seconds:.0f} s ago and did not come in")
            for key in found.vanished:
                log.warning("vanished unseen", extra={"subject": str(Subject(kind, key))})
                self._drop(kind, known[key])

    def _known(self, kind: Kind, namespace: str) -> dict[Key, Object]:
        subjects = [one for one in self._declared if one.kind is kind and namespace in ("", one.key.namespace)]
        return {one.key: found.document for one in subjects if (found := self._declared.find(one)) is not None}

    async def _list(self) -> dict[_Part, Listing]:
        while True:
            try:
                return {part: await self._list_part(*part) for part in self._found}
            except NotFound as error:
                raise KindMissing(
                    f"the kinds of berth.dev are not installed: {error}; apply the chart's CRDs"
                ) from error
            except ClusterError as error:
                log.warning("audit must wait", extra={"error": str(error)})
                await self._sleep(_RETRY_SECONDS)

    async def _list_part(self, kind: Kind, namespace: str) -> Listing:
        newest = max((version_of(document) for document in self._known(kind, namespace).values()), default=0)
        listing = await list_versions(self._cluster, kind.resource, Scope(namespace))
        if listing.version < newest:
            raise IntakeBlind(
                f"the API server is at version {listing.version} and has shown {newest} before: a restore?"
            )
        return listing
