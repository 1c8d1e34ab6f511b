"""One reconcile of one object: observe, plan, execute. It needs nothing of the reconciles before it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

from berth_kube.errors import ClusterError
from berth_operator.execute import Executor, Writes
from berth_operator.facts import ModelFacts, RouteFacts
from berth_operator.observe import Observer
from berth_operator.plan import Plan
from berth_operator.subject import Kind, Subject

RECONCILE_SECONDS: Final = 30.0
UNCACHED_SECONDS: Final = 10.0
"""No event tells when an object of others that has a child's name goes, so its name is asked again after this time."""


class Planner(Protocol):
    """Pure functions from facts to plans. What is wrong with a manifest becomes a condition in the plan, no error."""

    def model(self, facts: ModelFacts, now: datetime) -> Plan:
        """What is to be done for a Model."""

    def route(self, facts: RouteFacts, now: datetime) -> Plan:
        """What is to be done for a ModelRoute."""


@dataclass(frozen=True)
class Outcome:
    """How a reconcile ended. `trouble` asks for another after the back-off, `again_after_seconds` after that time.

    `refused` says that the API server refuses a child as it stands, which only an edit can repair.
    """

    again_after_seconds: float | None = None
    trouble: ClusterError | None = None
    refused: bool = False


class Reconciler:
    """Many reconciles may be under way at once, each of another subject."""

    def __init__(self, observer: Observer, planner: Planner, executor: Executor, now: Callable[[], datetime]) -> None:
        self._observer = observer
        self._planner = planner
        self._executor = executor
        self._now = now

    async def reconcile(self, subject: Subject) -> Outcome:
        """Bring one object nearer to what it should be. Raises ClusterError, NotLeading and TimeoutError."""
        async with asyncio.timeout(RECONCILE_SECONDS):
            if subject.kind is Kind.MODEL:
                return await self._model(subject)
            return await self._route(subject)

    async def _model(self, subject: Subject) -> Outcome:
        facts = await self._observer.model(subject.key, self._now())
        if facts is None:
            return Outcome()
        cached = facts.children
        facts, plan = await self._plan_model(facts)
        generation = int(facts.document["metadata"].get("generation", 0))
        writes = await self._executor.write_children(subject, generation, plan, facts.children)
        if writes.failures != facts.failures:
            # The status must speak of what was refused just now: another plan, of which only the status counts.
            plan = self._planner.model(replace(facts, failures=writes.failures), self._now())
        await self._write_status(subject, facts, plan, writes)
        again = _sooner(plan.again_after_seconds, UNCACHED_SECONDS if facts.children != cached else None)
        return Outcome(again, writes.trouble, refused=bool(writes.failures))

    async def _plan_model(self, facts: ModelFacts) -> tuple[ModelFacts, Plan]:
        """A plan that knows what stands at every name that it writes to."""
        plan = self._planner.model(facts, self._now())
        found = await self._observer.look_up(plan.writes, facts.children)
        if not found:
            return facts, plan
        facts = replace(facts, children={**facts.children, **found})
        return facts, self._planner.model(facts, self._now())

    async def _write_status(self, subject: Subject, facts: ModelFacts, plan: Plan, writes: Writes) -> None:
        try:
            await self._executor.write_status(subject, facts.document, plan)
        except ClusterError:
            if writes.trouble is not None:
                raise writes.trouble from None  # the first of the two is the one to tell of
            raise

    async def _route(self, subject: Subject) -> Outcome:
        facts = await self._observer.route(subject.key)
        if facts is None:
            return Outcome()
        plan = self._planner.route(facts, self._now())
        await self._executor.write_status(subject, facts.document, plan)
        return Outcome(plan.again_after_seconds)


def _sooner(*seconds: float | None) -> float | None:
    return min((one for one in seconds if one is not None), default=None)
