"""The whole operator: its parts, how they are tied together, and how it begins and ends. Run by `__main__`.

Intake and caches put keys on the queue, workers take them while this replica leads, and whatever part ends takes the
process with it. What is to be done then is the same as after SIGTERM: let reconciles end, give the Lease back.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime
from typing import Any, Final

from berth_kube.bucket import TokenBucket
from berth_kube.cluster import Cluster
from berth_kube.recorder import EventRecorder, Note
from berth_kube.resources import Key, Object
from berth_operator.ask import Ask
from berth_operator.audit import IntakeAudit
from berth_operator.caches import Caches, Wake
from berth_operator.declared import Declared
from berth_operator.execute import Executor, NeedsApply
from berth_operator.figures import Figures
from berth_operator.gateway_reports import GatewayReports
from berth_operator.http import HttpServer, build_application
from berth_operator.leadership import Leadership
from berth_operator.metrics import OperatorMetrics
from berth_operator.observe import Observer
from berth_operator.pod_reports import PodReports
from berth_operator.queue import WorkQueue
from berth_operator.reconcile import Planner, Reconciler
from berth_operator.settings import OperatorSettings
from berth_operator.subject import Kind, Subject
from berth_operator.supervise import Supervision
from berth_operator.vitals import LoopLag
from berth_operator.workers import Workers, reconciles_at_once
from berth_operator.write import Writer

FINISH_SECONDS: Final = 20.0
RELEASE_SECONDS: Final = 2.0
RESYNC_SECONDS: Final = 600.0
_TROUBLE_SECONDS: Final = 10.0
CONTROLLER: Final = "berth.dev/operator"

Deliver = Callable[[Kind, Object], None]
Intake = Callable[[Deliver, Deliver], Awaitable[Collection["asyncio.Task[Any]"]]]
"""Starts to deliver Models and ModelRoutes: what is there to the first, what was deleted to the second.

Returns the tasks that do so, which never end. See `intake.py`.
"""

log = logging.getLogger(__name__)


class Operator:
    """One replica. Everything that it talks to is passed in: the API server, pods, plans, its name."""

    def __init__(
        self,
        cluster: Cluster,
        settings: OperatorSettings,
        *,
        name: str,
        planner: Planner,
        needs_apply: NeedsApply,
        ask: Ask,
        ask_gateway: Ask,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clock = asyncio.get_running_loop().time
        self._supervision = Supervision()
        self._metrics = OperatorMetrics()
        self._lag = LoopLag()
        self._declared = Declared(settings.bare_names or None)
        self._queue: WorkQueue[Subject] = WorkQueue(self._clock)
        self._caches = Caches(
            cluster, settings, Wake(self._wake_model, self._wake_accelerated, self._wake_routes), self._clock
        )
        self._audit = IntakeAudit(cluster, self._declared, settings.watch_namespaces, self._drop, clock=self._clock)
        self._leadership = Leadership(cluster, settings, name, self._wake_all, self._clock)
        self._recorder = EventRecorder(cluster, CONTROLLER, name, now=self._clock)
        limits = settings.limits
        writer = Writer(
            rate=TokenBucket(limits.writes_per_second, limits.burst, now=self._clock),
            at_once=limits.concurrent_writes,
            deadline=self._leadership.seconds_to_write,
            metrics=self._metrics,
        )
        executor = Executor(cluster, writer, needs_apply, self._record, self._learn)
        observer = Observer(
            cluster,
            self._declared,
            self._caches,
            pods=PodReports(ask, self._clock),
            gateways=GatewayReports(self._caches.gateway_pods, ask_gateway, self._clock),
            failures=executor.failures,
        )
        reconciler = Reconciler(observer, planner, executor, now)
        self._workers = Workers(
            self._queue,
            self._leadership.elector.leading,
            reconciler,
            self._metrics,
            self._clock,
            at_once=reconciles_at_once(limits.writes_per_second),
        )
        figures = Figures(
            queue=self._queue,
            workers=self._workers,
            leadership=self._leadership,
            declared=self._declared,
            caches=self._caches,
            audit=self._audit,
            lag=self._lag,
            clock=self._clock,
        )
        self._metrics.watch(figures.gauges)
        self._http = HttpServer(build_application(figures.vitals, self._metrics), settings.port)

    def stop(self) -> None:
        """Ask for an orderly end, as SIGTERM does."""
        self._supervision.stop()

    async def run(self, intake: Intake) -> int:
        """Serve until a signal or an accident; the exit status. Raises CannotListen.

        Whoever calls this must leave by `os._exit`: tasks of the intake may not end.
        """
        self._take_signals()
        port = await self._http.start()
        log.info("started", extra={"port": port, "identity": self._leadership.elector.identity})
        spawn = self._supervision.spawn
        spawn(self._lag.run(), "loop lag")
        spawn(self._recorder.run(), "events")
        spawn(self._tell_troubles(), "troubles")
        spawn(self._resync(), "resync")
        for reflector in self._caches.reflectors:
            spawn(reflector.run(), f"watch of {reflector.resource.plural}")
        spawn(self._take_in(intake), "intake")
        election = spawn(self._take_part(), "election")
        work = spawn(self._workers.run(), "workers")
        asked = await self._supervision.wait()
        await self._end(work, election)
        return 0 if asked else 1

    async def _take_in(self, intake: Intake) -> None:
        """kopf would not notice kinds that are installed after its start, so they must be there before."""
        await self._audit.wait_for_kinds()
        self._supervision.adopt(await intake(self._put, self._drop))
        self._take_signals()  # kopf has set its own
        await self._audit.complete()
        log.info("intake complete", extra={"objects": len(self._declared)})
        await self._audit.run()

    async def _take_part(self) -> None:
        """A replica that does not know everything yet must not lead: it would plan with half of the facts."""
        await self._caches.wait_until_synced()
        await self._audit.completed.wait()
        await self._leadership.elector.run()

    async def _end(self, work: "asyncio.Task[Any]", election: "asyncio.Task[Any]") -> None:
        log.info("ending")
        work.cancel()
        await self._workers.finish(FINISH_SECONDS)
        election.cancel()
        await asyncio.gather(election, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._leadership.elector.release()
        self._supervision.cancel()
        await self._http.stop()
        log.info("ended")

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)

    def _put(self, kind: Kind, document: Object) -> None:
        self._wake(self._declared.put(kind, document))

    def _drop(self, kind: Kind, document: Object) -> None:
        self._wake(self._declared.drop(kind, document))

    def _learn(self, kind: Kind, document: Object) -> None:
        self._wake(self._declared.renew(kind, document))

    def _wake(self, subjects: Collection[Subject]) -> None:
        for subject in subjects:
            self._queue.add(subject)

    def _wake_all(self) -> None:
        self._wake(list(self._declared))

    def _wake_model(self, key: Key) -> None:
        self._queue.add(Subject(Kind.MODEL, key))

    def _wake_accelerated(self) -> None:
        self._wake(self._declared.accelerated())

    def _wake_routes(self) -> None:
        self._wake([subject for subject in self._declared if subject.kind is Kind.ROUTE])

    def _record(self, document: Object, type_: str, reason: str, message: str) -> None:
        self._recorder.record(Note(document, type_, reason, "Reconcile", message))

    async def _resync(self) -> None:
        """Everything is looked at now and then, for whatever no event tells of."""
        while True:
            await asyncio.sleep(RESYNC_SECONDS)
            self._wake_all()

    async def _tell_troubles(self) -> None:
        """Reflectors and election heal by themselves; a log must say of what."""
        told: dict[str, str] = {}
        while True:
            await asyncio.sleep(_TROUBLE_SECONDS)
            now = self._caches.troubles()
            if self._leadership.elector.trouble:
                now["Lease"] = self._leadership.elector.trouble
            for kind, trouble in now.items():
                if told.get(kind) != trouble:
                    log.warning("trouble", extra={"kind": kind, "why": trouble})
            told = now
