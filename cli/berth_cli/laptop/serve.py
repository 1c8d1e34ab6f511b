"""A running instance: takes manifests in, plans, carries the plan out, tells the gateway, publishes what is shown.

One loop: whatever happens (manifests, a step of a preparation, a process that changes) is written into a `Unit` and
wakes it; the plan is made from the facts alone. All of it runs in one asyncio loop, so there are no locks.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from berth_api.errors import BerthError
from berth_api.model import Model
from berth_cli.laptop.declared import Declared
from berth_cli.laptop.latest import Latest
from berth_cli.laptop.parts import Gateway, Preparer, Probe
from berth_cli.laptop.plan import Action, Forget, Prepare, Retire, Stage, Start, plan_up
from berth_cli.laptop.ports import free_port
from berth_cli.laptop.process import Launcher
from berth_cli.laptop.replica import EngineReplica, Timing, cancel
from berth_cli.laptop.standing import gateway_state, model_view
from berth_cli.laptop.unit import Unit, inputs_of
from berth_cli.laptop.view import ModelStage, Transfer, View
from berth_cli.manifests.read import Reading
from berth_gateway.snapshot import Snapshot, build_snapshot

GATEWAY_RETRY_SECONDS = 5.0
STOP_SECONDS = 10.0
TICK_SECONDS = 1.0
STOP_GATEWAY_SECONDS = 2.0


@dataclass(frozen=True)
class Parts:
    """What an instance works with; `berth_cli.laptop.run` puts the real ones together."""

    preparer: Preparer
    launcher: Launcher
    probe: Probe
    gateway: Gateway
    logs: Path
    choose_port: Callable[[], int] = free_port
    observe_room_bytes: Callable[[], int | None] = field(default=lambda: None)


class Instance:
    """The Models of this machine. `views` is what is shown of them."""

    def __init__(self, parts: Parts, *, address: str, notes: Sequence[str] = ()) -> None:
        self._parts = parts
        self._standing_notes = tuple(notes)
        self._units: dict[str, Unit] = {}
        self._declared = Declared()
        self._applied = 0
        self._revision = 0
        self._numbers = count(1)
        self._tasks = asyncio.TaskGroup()
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._hurrying = asyncio.Event()
        self._told: Snapshot | None = None
        self._follows = False
        self._rejected = ""
        self._gateway_trouble = ""
        self._gateway_retry_at = 0.0
        self.views = Latest(View(address=address))

    def take(self, reading: Reading, *, applied: bool) -> int:
        """Takes manifests over; `applied` says that a user asked for it, so that artifacts are looked at anew.

        Returns the revision by which views tell that they speak of these manifests.
        """
        now = _now()
        self._revision += 1
        self._applied += applied
        self._declared.take(reading)
        for unit in self._units.values():
            unit.wanted = False
        for model in self._declared.models:
            inputs = inputs_of(model, self._applied)
            self._units.setdefault(model.key, Unit(model, inputs, now)).want(model, inputs, now)
        self._follows = False
        self._changed()
        return self._revision

    def reject(self, message: str) -> None:
        """Shows why an edit was not taken over; empty once the manifests are good again."""
        self._rejected = message
        self._wake.set()

    async def run(self) -> None:
        """Serves until `stop`, and returns when no process is left. A bug in any part of it ends it all, loudly."""
        async with asyncio.TaskGroup() as self._tasks:
            while not self._stopping.is_set():
                self._wake.clear()
                again_at = self._step()
                leaving = [replica for replica in self._replicas() if replica.stage is Stage.LEAVING]
                self._follows = await self._tell_gateway()
                if self._follows:
                    for replica in leaving:
                        replica.drain()
                self.views.set(self._view())
                await self._rest(again_at)
            await self._close()

    def stop(self) -> None:
        """Stops in order: the gateway takes no new requests, the engines finish what they have, within bounds."""
        self._stopping.set()
        self._wake.set()

    def stop_at_once(self) -> None:
        """Stops without waiting for requests."""
        self._hurrying.set()
        self.stop()

    def _step(self) -> float | None:
        plan = plan_up(
            {key: unit.wish() for key, unit in self._units.items() if unit.wanted},
            {key: unit.observed() for key, unit in self._units.items()},
            _now(),
            room_bytes=self._parts.observe_room_bytes(),
        )
        for action in plan.actions:
            self._execute(action)
        return plan.again_at

    async def _close(self) -> None:
        for unit in self._units.values():
            if unit.preparation_task is not None:
                unit.preparation_task.cancel()
        for replica in self._replicas():
            replica.retire()
        self.views.set(self._view())
        await self._unless_hurrying(self._tell_gateway(), STOP_GATEWAY_SECONDS)
        for replica in self._replicas():
            replica.drain(longest_seconds=STOP_SECONDS)
        await self._unless_hurrying(self._emptied(), STOP_SECONDS)
        for replica in self._replicas():
            replica.kill()

    async def _emptied(self) -> None:
        while self._replicas():
            self.views.set(self._view())
            self._wake.clear()
            await self._wake.wait()

    async def _unless_hurrying(self, work: Coroutine[None, None, object], seconds: float) -> None:
        task = asyncio.ensure_future(work)
        hurrying = asyncio.ensure_future(self._hurrying.wait())
        await asyncio.wait({task, hurrying}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for one in (task, hurrying):
            await cancel(one)

    def _changed(self) -> None:
        now = _now()
        for unit in self._units.values():
            unit.replica_changed(now)
        self._wake.set()

    async def _rest(self, again_at: float | None) -> None:
        waits = [at for at in (again_at, self._gateway_retry_at or None) if at is not None]
        timeout = min(max(min(waits) - _now(), 0.0) if waits else TICK_SECONDS, TICK_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout)

    def _execute(self, action: Action) -> None:
        match action:
            case Prepare(key):
                self._begin_preparation(self._units[key])
            case Start(key):
                self._start(self._units[key])
            case Retire(key, replica):
                self._units[key].replicas[replica].retire()
            case Forget(key):
                unit = self._units.pop(key)
                if unit.preparation_task is not None:
                    unit.preparation_task.cancel()

    def _begin_preparation(self, unit: Unit) -> None:
        if unit.preparation_task is not None:
            unit.preparation_task.cancel()
        unit.preparing = unit.inputs
        unit.preparation_task = self._tasks.create_task(self._prepare(unit, unit.inputs, unit.model))

    async def _prepare(self, unit: Unit, inputs: str, model: Model) -> None:
        def report(step: ModelStage, message: str, transfer: Transfer | None) -> None:
            if unit.preparing == inputs:
                unit.reported(step, message, transfer)
                self.views.set(self._view())

        try:
            preparation = await self._parts.preparer.prepare(model, report)
        except BerthError as error:
            unit.preparation_failed(inputs, error, self._declared.explain(model, error), _now())
        else:
            unit.preparation_done(inputs, preparation)
        self._changed()

    def _start(self, unit: Unit) -> None:
        assert unit.prepared is not None
        assert unit.preparation is not None
        replica = EngineReplica(
            next(self._numbers),
            unit.prepared.fingerprint,
            launch=unit.preparation.launch(self._parts.choose_port()),
            log=self._log(unit.model.key),
            timing=Timing(start_deadline_seconds=unit.preparation.start_deadline_seconds),
            changed=self._changed,
        )
        unit.replicas[replica.number] = replica
        self._tasks.create_task(self._keep(unit, replica))

    async def _keep(self, unit: Unit, replica: EngineReplica) -> None:
        ended = await replica.run(self._parts.launcher, self._parts.probe)
        unit.replica_ended(replica, ended, _now())
        self._changed()

    async def _tell_gateway(self) -> bool:
        """Applies what is to be served, if it changed. Returns whether the gateway follows it now."""
        wanted = self._snapshot()
        if wanted == self._told:
            return True
        if _now() < self._gateway_retry_at:
            return False
        try:
            await self._parts.gateway.apply(wanted)
        except BerthError as error:
            self._gateway_trouble = f"the gateway keeps what it had: {error}"
            self._gateway_retry_at = _now() + GATEWAY_RETRY_SECONDS
            return False
        self._told, self._gateway_trouble, self._gateway_retry_at = wanted, "", 0.0
        return True

    def _snapshot(self) -> Snapshot:
        units = [unit for unit in self._units.values() if unit.wanted]
        states = {unit.model.key: gateway_state(unit, stopping=self._stopping.is_set()) for unit in units}
        return build_snapshot([unit.model for unit in units], self._declared.routes, states)

    def _view(self) -> View:
        models = tuple(model_view(unit, stopping=self._stopping.is_set()) for unit in self._units.values())
        known = [{"log": str(self._log(model.key)), "ask_as": self._name_for_clients(model.key)} for model in models]
        return View(
            address=self.views.value.address,
            revision=self._revision,
            models=tuple(model.model_copy(update=more) for model, more in zip(models, known, strict=True)),
            routes=tuple(name for route in self._declared.routes for name in route.spec.names),
            notes=self._notes(),
            rejected=self._rejected,
            trouble=self._gateway_trouble or self._parts.gateway.trouble,
            gateway_follows=self._follows,
            stopping=self._stopping.is_set(),
        )

    def _name_for_clients(self, key: str) -> str:
        """The shortest name that reaches the Model at the gateway; empty if only routes do."""
        names = self._told.names if self._told is not None else {}
        for name in (key.partition("/")[2], key):
            if (owner := names.get(name)) is not None and (owner.kind, owner.key) == ("Model", key):
                return name
        return ""

    def _notes(self) -> tuple[str, ...]:
        notes = [*self._standing_notes, *self._declared.notes()]
        for unit in self._units.values():
            if unit.wanted and unit.preparation is not None:
                notes += [f"Model {unit.model.key}: {note}" for note in unit.preparation.notes]
        if self._told is not None:
            notes += [f"ModelRoute {key}: {one}" for key, route in self._told.routes.items() for one in route.problems]
        return tuple(notes)

    def _log(self, key: str) -> Path:
        return self._parts.logs / f"{key.replace('/', '_')}.log"

    def _replicas(self) -> list[EngineReplica]:
        return [replica for unit in self._units.values() for replica in unit.replicas.values()]


def _now() -> float:
    return asyncio.get_running_loop().time()
