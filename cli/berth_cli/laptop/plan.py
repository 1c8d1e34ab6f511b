"""What to do next for each Model on this machine: a pure function of what is wanted, what is observed and the time.

Called by `berth_cli.laptop.serve` after every change; it is level-triggered, so the same call on the same facts gives
the same actions, and once all is as wanted it gives none. Keeping is the default: names and weights are the gateway's
matter and never touch a process. A process is replaced only when its fingerprint (launch and artifact) changes, and
then the new one is started first and the old one leaves when the new one answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 60.0


class Stage(StrEnum):
    """The life of one engine process, in this order."""

    STARTING = "Starting"  # not Ready yet, or not any more
    READY = "Ready"
    LEAVING = "Leaving"  # the gateway is about to stop sending requests to it
    DRAINING = "Draining"  # told to finish what it has and to end


@dataclass(frozen=True)
class Wanted:
    """A Model as its manifest says. `inputs` names all that its preparation depends on."""

    key: str
    inputs: str
    suspended: bool = False


@dataclass(frozen=True)
class Prepared:
    """A Model made ready to start: `fingerprint` names all that its process depends on."""

    inputs: str
    fingerprint: str
    size_bytes: int = 0


@dataclass(frozen=True)
class Failure:
    """A failure, and how many there were in a row; `subject` is the inputs or the fingerprint that failed."""

    subject: str
    count: int
    at: float
    message: str = ""
    retry_after_seconds: float | None = None
    final: bool = False

    @property
    def retry_at(self) -> float:
        """When to try again: doubling from 1 s to 60 s, or when the other side said."""
        backoff = FIRST_BACKOFF_SECONDS * float(2 ** min(self.count - 1, 10))
        return self.at + max(self.retry_after_seconds or 0.0, min(backoff, LONGEST_BACKOFF_SECONDS))


@dataclass(frozen=True)
class Replica:
    """One engine process as observed."""

    id: int
    fingerprint: str
    stage: Stage


@dataclass(frozen=True)
class Observed:
    """What is known of one Model on this machine. `preparing` holds the inputs of a preparation that is under way."""

    key: str
    preparing: str | None = None
    prepared: Prepared | None = None
    prepare_failure: Failure | None = None
    start_failure: Failure | None = None
    replicas: tuple[Replica, ...] = ()


@dataclass(frozen=True)
class Prepare:
    """Resolve, pull and detect the artifact and build the launch."""

    key: str


@dataclass(frozen=True)
class Start:
    """Start a process for the prepared launch; `why` is shown."""

    key: str
    why: str


@dataclass(frozen=True)
class Retire:
    """Take a process out of the gateway, then let it drain and end."""

    key: str
    replica: int
    why: str


@dataclass(frozen=True)
class Forget:
    """Nothing of this Model is wanted or left."""

    key: str


Action = Prepare | Start | Retire | Forget


@dataclass(frozen=True)
class Plan:
    """The actions to carry out now, and when to plan again if nothing else happens before."""

    actions: tuple[Action, ...] = ()
    again_at: float | None = None


def plan_up(
    wanted: Mapping[str, Wanted], observed: Mapping[str, Observed], now: float, *, room_bytes: int | None = None
) -> Plan:
    """Plans all Models. `room_bytes` is the memory that is free on this machine, None if that is unknown."""
    plans = [_plan_unwanted(unit) for key, unit in sorted(observed.items()) if key not in wanted]
    plans += [_plan_model(want, observed.get(key, Observed(key)), now, room_bytes) for key, want in wanted.items()]
    waits = [plan.again_at for plan in plans if plan.again_at is not None]
    return Plan(tuple(action for plan in plans for action in plan.actions), min(waits, default=None))


def _plan_unwanted(unit: Observed) -> Plan:
    if not unit.replicas:
        return Plan((Forget(unit.key),))
    return Plan(_retire(unit, _serving(unit), "it is in no manifest any more"))


def _plan_model(want: Wanted, unit: Observed, now: float, room_bytes: int | None) -> Plan:
    if want.suspended:
        return Plan(_retire(unit, _serving(unit), "it is suspended"))
    prepare = _plan_preparation(want, unit, now)
    if unit.prepared is None or unit.prepared.inputs != want.inputs:
        return prepare
    return _plan_processes(unit, unit.prepared, now, room_bytes)


def _plan_preparation(want: Wanted, unit: Observed, now: float) -> Plan:
    if unit.preparing == want.inputs or (unit.prepared and unit.prepared.inputs == want.inputs):
        return Plan()
    failure = unit.prepare_failure
    if failure is None or failure.subject != want.inputs:
        return Plan((Prepare(unit.key),))
    if failure.final:
        return Plan()
    return Plan((Prepare(unit.key),)) if now >= failure.retry_at else Plan(again_at=failure.retry_at)


def _plan_processes(unit: Observed, prepared: Prepared, now: float, room_bytes: int | None) -> Plan:
    current = [replica for replica in _serving(unit) if replica.fingerprint == prepared.fingerprint]
    others = [replica for replica in _serving(unit) if replica.fingerprint != prepared.fingerprint]
    if any(replica.stage is Stage.READY for replica in current):
        return Plan(_retire(unit, others, "a newer one has taken over"))
    idle = _retire(unit, [replica for replica in others if replica.stage is Stage.STARTING], "its launch has changed")
    if current:
        return Plan(idle)
    start = _plan_start(unit, prepared, now, room_bytes)
    return Plan(idle + start.actions, start.again_at)


def _plan_start(unit: Observed, prepared: Prepared, now: float, room_bytes: int | None) -> Plan:
    failure = unit.start_failure
    if failure is not None and failure.subject == prepared.fingerprint:
        if now < failure.retry_at:
            return Plan(again_at=failure.retry_at)
        return Plan((Start(unit.key, f"it ended; attempt {failure.count + 1}"),))
    old = [replica for replica in _serving(unit) if replica.stage is Stage.READY]
    if room_bytes is not None and prepared.size_bytes > room_bytes and unit.replicas:
        return Plan(_retire(unit, old, "there is no memory for two at once, so the old one leaves first"))
    return Plan((Start(unit.key, "its launch has changed" if unit.replicas else "it is new"),))


def _serving(unit: Observed) -> list[Replica]:
    return [replica for replica in unit.replicas if replica.stage in {Stage.STARTING, Stage.READY}]


def _retire(unit: Observed, replicas: list[Replica], why: str) -> tuple[Action, ...]:
    return tuple(Retire(unit.key, replica.id, why) for replica in replicas)
