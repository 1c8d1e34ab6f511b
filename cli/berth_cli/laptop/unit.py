"""What an instance knows of one Model: the manifest, its preparation, its processes, its failures.

The only mutable record of laptop mode: `berth_cli.laptop.serve` writes what happened into it, and
`berth_cli.laptop.standing` derives from it what the gateway is told and what is shown.
"""

import asyncio
import hashlib
from dataclasses import dataclass, field

from berth_api.errors import BerthError, Unavailable
from berth_api.model import Model
from berth_cli.laptop.parts import Preparation
from berth_cli.laptop.plan import Failure, Observed, Prepared, Replica, Stage, Wanted
from berth_cli.laptop.replica import Ended, EngineReplica
from berth_cli.laptop.view import ModelStage, Transfer

# Fields that the gateway alone acts on: an edit of them needs no look at the artifact.
_ROUTING_FIELDS = frozenset(
    {"access", "aliases", "allowed_routes", "autoscaling", "exposure", "limits", "replicas", "suspend"}
)
_STABLE_AFTER_SECONDS = 60.0


def inputs_of(model: Model, applied: int) -> str:
    """Names all that the preparation of a Model depends on; `applied` counts how often a user asked to apply it."""
    spec = model.spec.model_dump_json(exclude=set(_ROUTING_FIELDS))
    return f"{applied}:{hashlib.sha256((model.key + spec).encode()).hexdigest()[:16]}"


def is_suspended(model: Model) -> bool:
    """Whether no process is wanted at all."""
    return model.spec.suspend or model.spec.replicas == 0


@dataclass
class Unit:
    """One Model. Times are those of the monotonic clock; `since` is when the work on the wanted version began."""

    model: Model
    inputs: str
    since: float
    wanted: bool = True
    preparing: str | None = None
    preparation_task: asyncio.Task[None] | None = None
    prepared: Prepared | None = None
    preparation: Preparation | None = None
    prepare_failure: Failure | None = None
    start_failure: Failure | None = None
    replicas: dict[int, EngineReplica] = field(default_factory=dict)
    step: ModelStage = ModelStage.WAITING
    step_message: str = ""
    transfer: Transfer | None = None
    ready_since: float | None = None
    ready_seconds: float | None = None
    restarts: int = 0

    def want(self, model: Model, inputs: str, now: float) -> None:
        """Takes over a manifest."""
        self.wanted = True
        self.model = model
        if inputs != self.inputs:
            self.inputs, self.since = inputs, now

    def wish(self) -> Wanted:
        """What the plan is told to reach."""
        return Wanted(self.model.key, self.inputs, suspended=is_suspended(self.model))

    def observed(self) -> Observed:
        """What the plan sees."""
        return Observed(
            self.model.key,
            preparing=self.preparing,
            prepared=self.prepared,
            prepare_failure=self.prepare_failure,
            start_failure=self.start_failure,
            replicas=tuple(Replica(one.number, one.fingerprint, one.stage) for one in self.replicas.values()),
        )

    @property
    def newest(self) -> EngineReplica | None:
        """The process of the prepared version, if one serves or starts."""
        if self.prepared is None:
            return None
        return next((replica for replica in self.replicas.values() if self._is_newest(replica)), None)

    @property
    def is_ready(self) -> bool:
        """Whether the prepared version answers."""
        return self.newest is not None and self.newest.stage is Stage.READY

    @property
    def is_prepared(self) -> bool:
        """Whether the preparation is that of the manifest as it stands."""
        return self.prepared is not None and self.prepared.inputs == self.inputs

    @property
    def failure(self) -> Failure | None:
        """The last failure of the wanted version, None if it is on its way or Ready."""
        if self.prepare_failure is not None and self.prepare_failure.subject == self.inputs:
            return self.prepare_failure
        if not self.is_prepared or self.is_ready or self.prepared is None:
            return None
        if self.newest is not None and self.newest.status.failed:
            return Failure(self.newest.fingerprint, 1, self.since, message=self.newest.status.message, final=True)
        failed = self.start_failure
        return failed if failed is not None and failed.subject == self.prepared.fingerprint else None

    def reported(self, step: ModelStage, message: str, transfer: Transfer | None) -> None:
        """Notes a step of the preparation."""
        self.step, self.step_message, self.transfer = step, message, transfer

    def preparation_done(self, inputs: str, preparation: Preparation) -> None:
        """Notes that the preparation for `inputs` is done."""
        self.prepared = Prepared(inputs, preparation.fingerprint, preparation.artifact.size_bytes or 0)
        self.preparation = preparation
        self.preparing, self.prepare_failure = None, None
        self.reported(ModelStage.STARTING, "", None)

    def preparation_failed(self, inputs: str, error: BerthError, message: str, now: float) -> None:
        """Notes why it failed, in words; only `Unavailable` is worth another try without an edit."""
        before = self.prepare_failure
        self.prepare_failure = Failure(
            inputs,
            before.count + 1 if before and before.subject == inputs else 1,
            now,
            message=message,
            retry_after_seconds=error.retry_after_seconds if isinstance(error, Unavailable) else None,
            final=not isinstance(error, Unavailable),
        )
        self.preparing = None
        self.reported(ModelStage.WAITING, "", None)

    def replica_changed(self, now: float) -> None:
        """Notes when the wanted version became Ready, or that it is not any more."""
        if not self.is_ready:
            self.ready_since = None
        elif self.ready_since is None:
            self.ready_since, self.ready_seconds = now, now - self.since

    def replica_ended(self, replica: EngineReplica, ended: Ended, now: float) -> None:
        """Forgets a process; unless it was told to go, its end is a failure of its launch."""
        ready_seconds = now - self.ready_since if self.ready_since is not None else 0.0
        del self.replicas[replica.number]
        self.replica_changed(now)
        if replica.stage in {Stage.LEAVING, Stage.DRAINING}:
            return
        before = self.start_failure
        repeated = before and before.subject == replica.fingerprint and ready_seconds < _STABLE_AFTER_SECONDS
        count = before.count + 1 if before and repeated else 1
        self.start_failure = Failure(replica.fingerprint, count, now, message=ended.message, final=ended.final)
        self.restarts += 1
        self.since = now

    def _is_newest(self, replica: EngineReplica) -> bool:
        fits = self.prepared is not None and replica.fingerprint == self.prepared.fingerprint
        return fits and replica.stage in {Stage.STARTING, Stage.READY}
