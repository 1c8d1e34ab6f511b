"""`Elector`: of all replicas with the same Lease at most one leads.

A Lease says who holds it and for how long. We trust no clock but our own monotonic one: another's Lease has expired
when it has not changed for its duration *here*; our own time to lead runs from before the request that renewed it. So
clocks may differ and processes may be paused, and a leader always stops before a successor starts.

https://kubernetes.io/docs/concepts/architecture/leases/
"""

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from berth_api.errors import FieldError, InvalidSpec
from berth_kube.cluster import Cluster
from berth_kube.errors import AlreadyExists, ClusterError, Conflict, NotFound, Unreachable
from berth_kube.resources import LEASES, Key, Object

REQUEST_SECONDS = 5.0
WRITE_SECONDS = 10.0
MARGIN_SECONDS = 2.0
"""Between the last moment of a leader's write and the end of its Lease: the way to the server, and the server's own."""

_NEVER = float("-inf")
_T = TypeVar("_T")


@dataclass(frozen=True)
class LeaseTimes:
    """How long a Lease lasts, when a leader that can't renew gives up, and how often everyone tries."""

    duration_seconds: int = 15
    renew_deadline_seconds: float = 10.0
    retry_seconds: float = 2.0

    def __post_init__(self) -> None:
        if not self.retry_seconds < self.renew_deadline_seconds <= self.duration_seconds - MARGIN_SECONDS:
            message = "these times let a leader outlast its Lease"
            remedy = f"keep retry < renew deadline <= duration - {MARGIN_SECONDS:g}, such as 2, 10 and 15"
            raise InvalidSpec(FieldError("lease", message, remedy))


def ignore_leading(leads: bool) -> None:
    """Does nothing."""


class Elector:
    """Takes part in the election for one Lease. `on_change` is told at once when leading begins and ends.

    `name` is for people, usually the pod's; what stands in the Lease is made unique, because a restarted container has
    the name of its forerunner.
    """

    def __init__(
        self,
        cluster: Cluster,
        lease: Key,
        name: str,
        *,
        times: LeaseTimes = LeaseTimes(),
        on_change: Callable[[bool], None] = ignore_leading,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.identity = f"{name}_{uuid.uuid4().hex[:8]}"
        self.leading = asyncio.Event()
        """Set while we lead. Before a write ask `write_deadline`: after a pause only the clock is right."""
        self.trouble = ""
        """Why the last try failed, in words for people; empty while it works."""
        self._cluster = cluster
        self._key = lease
        self._times = times
        self._on_change = on_change
        self._now = now
        self._sleep = sleep
        self._wall = wall
        self._draw = draw
        self._lease: Object | None = None
        self._renewed_at = _NEVER
        self._held_until = _NEVER

    def write_deadline(self, now: float) -> float:
        """The moment by which a write that starts now must have ended; not after `now` where none may start.

        At most 10 s away, and 2 s before our Lease ends. On the clock of `asyncio.timeout_at`.
        """
        if not self._leads(now):
            return now
        return min(now + WRITE_SECONDS, self._renewed_at + self._times.duration_seconds - MARGIN_SECONDS)

    async def run(self) -> None:
        """Take part until cancelled. Then, when the last write is done, `release`."""
        while True:
            await self._try()
            await self._sleep(self._pause_seconds())
            self._tell()

    async def release(self) -> None:
        """Stop leading and give the Lease back, so that the next one need not wait until it expires.

        Only after `run` has ended. Never fails: what can't be given back expires.
        """
        self._renewed_at = _NEVER
        self._tell()
        with contextlib.suppress(ClusterError):
            if self._is_ours:
                await self._write_or_look(holder="")

    async def _try(self) -> None:
        try:
            if not self._is_ours:
                await self._look()
            if self._now() >= self._held_until:
                await self._write_or_look(holder=self.identity)
            self.trouble = ""
        except ClusterError as error:
            self.trouble = str(error)
        self._tell()

    async def _write_or_look(self, *, holder: str) -> None:
        """Write; if that finds another Lease than we knew, look, and write again if nobody else has it.

        Our last write may have gone through although its answer was lost: then it is ours in a version that is new.
        """
        try:
            await self._write(holder)
        except (Conflict, AlreadyExists, NotFound):
            await self._look()
            if self._now() >= self._held_until:
                await self._write(holder)

    async def _look(self) -> None:
        """See who has it. A Lease that was deleted under its holder is not free before it would have expired."""
        try:
            found = await self._ask(self._cluster.get(LEASES, self._key))
        except NotFound:
            self._lease = None
            return
        known, self._lease = self._lease, found
        if self._is_ours or not _holder(found):
            self._held_until = _NEVER
            return
        self._renewed_at = _NEVER
        if known is None or known["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
            self._held_until = self._now() + max(self._times.duration_seconds, _duration(found))

    async def _write(self, holder: str) -> None:
        """Make us the holder, or nobody. Before the answer is there, time to lead already runs."""
        started = self._now()
        body = _body(self._lease, self._key, holder, self._times.duration_seconds, self._wall())
        write = self._cluster.create if self._lease is None else self._cluster.replace
        self._lease = await self._ask(write(LEASES, body))
        self._renewed_at = started if holder else _NEVER

    async def _ask(self, request: Coroutine[Any, Any, _T]) -> _T:
        """The answer, within 5 s and within the time that we have to renew."""
        left = self._renewed_at + self._times.renew_deadline_seconds - self._now()
        return await self._bounded(request, min(REQUEST_SECONDS, left) if left > 0 else REQUEST_SECONDS)

    async def _bounded(self, request: Coroutine[Any, Any, _T], seconds: float) -> _T:
        answer, timer = asyncio.ensure_future(request), asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait((answer, timer), return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            raise Unreachable(f"Lease {self._key}: the API server did not answer within {seconds:.1f} s")
        finally:
            for task in (answer, timer):
                task.cancel()
            await asyncio.gather(answer, timer, return_exceptions=True)

    @property
    def _is_ours(self) -> bool:
        return self._lease is not None and _holder(self._lease) == self.identity

    def _leads(self, now: float) -> bool:
        return now < self._renewed_at + self._times.renew_deadline_seconds

    def _tell(self) -> None:
        leads = self._leads(self._now())
        if leads == self.leading.is_set():
            return
        if leads:
            self.leading.set()
        else:
            self.leading.clear()
        self._on_change(leads)

    def _pause_seconds(self) -> float:
        """A leader wakes at its deadline at the latest; followers don't ask in step."""
        retry = self._times.retry_seconds
        left = self._renewed_at + self._times.renew_deadline_seconds - self._now()
        return min(retry, left) if left > 0 else retry * (1 - self._draw() / 4)


def _holder(lease: Object) -> str:
    return str(lease.get("spec", {}).get("holderIdentity") or "")


def _duration(lease: Object) -> float:
    return float(lease["spec"].get("leaseDurationSeconds") or 0)


def _body(lease: Object | None, key: Key, holder: str, duration_seconds: int, wall: datetime) -> Object:
    """The Lease with another holder or a new time; whatever else stands in it stays."""
    old = {} if lease is None else lease.get("spec", {})
    now = wall.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {**old, "holderIdentity": holder, "leaseDurationSeconds": duration_seconds, "renewTime": now}
    if holder and holder != old.get("holderIdentity"):
        before = old.get("leaseTransitions")
        spec |= {"acquireTime": now, "leaseTransitions": 0 if before is None else before + 1}
    metadata = {"namespace": key.namespace, "name": key.name} if lease is None else lease["metadata"]
    return {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}
