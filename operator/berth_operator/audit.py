"""Watches over the intake, which can't be asked whether it is complete or alive: lists versions, and compares.

What is listed and not delivered for a minute means that the intake is blind: the process must end, and a new one
starts. What is known and not listed has vanished unseen. Run by process.py at start and then each minute.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from berth_api.errors import BerthError
from berth_kube.cluster import Cluster, Scope
from berth_kube.errors import ClusterError, NotFound
from berth_kube.resources import Object
from berth_operator.declared import Declared, version_of
from berth_operator.subject import Kind, Subject, subject_of

AUDIT_SECONDS: Final = 60.0
BLIND_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.1
_POLLS: Final = 100

log = logging.getLogger(__name__)


class IntakeBlind(BerthError):  # noqa: N818 - reads as the sentence that it is
    """Intake has missed what the API server has."""


class KindMissing(BerthError):  # noqa: N818 - reads as the sentence that it is
    """Our kinds are not installed, or not any more."""


@dataclass(frozen=True)
class Listing:
    """The versions of all objects of one kind in one scope at the moment that `version` names."""

    kind: Kind
    namespace: str
    version: int
    objects: Mapping[Subject, int]

    def covers(self, subject: Subject) -> bool:
        """Whether the subject would be in it if it existed."""
        return subject.kind is self.kind and self.namespace in ("", subject.key.namespace)


class Audit:
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
        self._scopes = [(kind, namespace) for kind in Kind for namespace in namespaces or ("",)]
        self._drop = drop
        self._clock = clock
        self._sleep = sleep
        self._undelivered: dict[Subject, tuple[int, float]] = {}
        self._heard_at = clock()
        self.is_complete = False
        """Whether intake once had everything that was listed."""

    def age_seconds(self) -> float:
        """How long ago a comparison was made."""
        return self._clock() - self._heard_at

    async def wait_for_kinds(self) -> None:
        """Until the API server answers for both kinds. Raises KindMissing where it says that there are none."""
        await self._list_until_answered()

    async def complete(self) -> None:
        """Until intake has delivered everything once. Raises IntakeBlind and KindMissing."""
        while not self.is_complete:
            self.compare(await self._list_until_answered())
            for _ in range(_POLLS):
                if not self._lag():
                    self.is_complete = True
                    return
                await self._sleep(_POLL_SECONDS)

    async def run(self) -> None:
        """For ever, once each minute. Raises IntakeBlind and KindMissing."""
        while True:
            await self._sleep(AUDIT_SECONDS)
            self.compare(await self._list_until_answered())

    def compare(self, listings: Sequence[Listing]) -> None:
        """Sweep what has vanished, and raise IntakeBlind where a version has been missing for too long."""
        now = self._heard_at = self._clock()
        listed = {subject: version for listing in listings for subject, version in listing.objects.items()}
        self._sweep(listings, listed)
        lag = self._lag()
        self._undelivered = {subject: lag[subject] for subject in lag if subject in listed}
        for subject, version in listed.items():
            if self._delivered(subject) < version:
                self._undelivered.setdefault(subject, (version, now))
        late = sorted(str(subject) for subject, (_, since) in self._undelivered.items() if now - since >= BLIND_SECONDS)
        if late:
            raise IntakeBlind(f"{', '.join(late[:5])} changed more than {BLIND_SECONDS:.0f} s ago and did not come in")

    def _lag(self) -> dict[Subject, tuple[int, float]]:
        return {one: seen for one, seen in self._undelivered.items() if self._delivered(one) < seen[0]}

    def _delivered(self, subject: Subject) -> int:
        known = self._declared.find(subject)
        return version_of(known.document) if known is not None else 0

    def _sweep(self, listings: Sequence[Listing], listed: Mapping[Subject, int]) -> None:
        """What came in after the list was made can't be in it, and stays."""
        for subject in self._declared:
            known = self._declared.find(subject)
            covering = next((one for one in listings if one.covers(subject)), None)
            if known is None or covering is None or subject in listed:
                continue
            if version_of(known.document) <= covering.version:
                log.warning("vanished unseen", extra={"subject": str(subject)})
                self._drop(subject.kind, known.document)

    async def _list_until_answered(self) -> list[Listing]:
        while True:
            try:
                return [await self._list(kind, namespace) for kind, namespace in self._scopes]
            except NotFound as error:
                raise KindMissing(
                    f"the kinds of berth.dev are not installed: {error}; apply the chart's CRDs"
                ) from error
            except ClusterError as error:
                log.warning("audit must wait", extra={"error": str(error)})
                await self._sleep(_RETRY_SECONDS)

    async def _list(self, kind: Kind, namespace: str) -> Listing:
        """All pages of a list: a consistent moment, however long it takes."""
        objects: dict[Subject, int] = {}
        newest, more = self._newest(kind), ""
        while True:
            page = await self._cluster.list_page(kind.resource, Scope(namespace), more=more, metadata_only=True)
            objects |= {subject_of(kind, item): version_of(item) for item in page.items}
            more = page.more
            if not more:
                break
        if int(page.version) < newest:
            raise IntakeBlind(f"the API server is at version {page.version}, and has shown {newest} before: a restore?")
        return Listing(kind, namespace, int(page.version), objects)

    def _newest(self, kind: Kind) -> int:
        known = (self._declared.find(subject) for subject in self._declared if subject.kind is kind)
        return max((version_of(one.document) for one in known if one is not None), default=0)
