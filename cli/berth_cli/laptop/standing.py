"""How one Model stands: what the gateway is told of it, and what is shown. Functions of its `Unit`, without effects."""

from berth_cli.laptop.plan import Stage
from berth_cli.laptop.unit import Unit, is_suspended
from berth_cli.laptop.view import ModelStage, ModelView
from berth_gateway.snapshot import Endpoint, ModelState, Phase

LOOPBACK = "127.0.0.1"
# One early end may be a port that somebody else was quicker to take; the second says that something is wrong.
_FAILURES_THAT_SETTLE = 2
_SILENT_STAGES = frozenset(
    {ModelStage.READY, ModelStage.FAILED, ModelStage.SUSPENDED, ModelStage.DRAINING, ModelStage.STOPPED}
)
_QUIET_STEPS = frozenset({ModelStage.WAITING, ModelStage.RESOLVING, ModelStage.DETECTING, ModelStage.STARTING})


def gateway_state(unit: Unit, *, stopping: bool = False) -> ModelState:
    """What the gateway is told. A process that drains keeps its endpoint, so that its streams run to their end."""
    endpoints = tuple(
        Endpoint(LOOPBACK, replica.launch.port, draining=replica.stage is not Stage.READY)
        for replica in unit.replicas.values()
        if replica.was_ready and replica.stage is not Stage.STARTING
    )
    if unit.wanted and any(not endpoint.draining for endpoint in endpoints):
        return ModelState(Phase.READY, endpoints)
    if stopping:
        return ModelState(Phase.LOADING, endpoints, "the server is stopping")
    if is_suspended(unit.model):
        return ModelState(Phase.SUSPENDED, endpoints)
    if has_failed(unit):
        return ModelState(Phase.FAILED, endpoints, "the output of `berth up` says why")
    stage = model_stage(unit)
    return ModelState(Phase.LOADING, endpoints, "" if stage is ModelStage.LOADING else stage.value.lower())


def model_view(unit: Unit, *, stopping: bool = False) -> ModelView:
    """What is shown."""
    stage = model_stage(unit, stopping=stopping)
    failure = unit.failure
    return ModelView(
        key=unit.model.key,
        serving=any(replica.stage is Stage.READY for replica in unit.replicas.values()),
        stage=stage,
        message=_message(unit, stage),
        transfer=unit.transfer if stage is ModelStage.PULLING else None,
        engine=str(unit.preparation.engine) if unit.preparation else "",
        task=str(unit.preparation.artifact.task) if unit.preparation else "",
        ready_seconds=unit.ready_seconds if stage is ModelStage.READY else None,
        restarts=unit.restarts,
        failure=failure.message if failure and has_failed(unit) else "",
        settled=_is_settled(unit),
    )


def has_failed(unit: Unit) -> bool:
    """Whether the wanted version can't be expected to be Ready soon."""
    failure = unit.failure
    if failure is None or is_suspended(unit.model):
        return False
    return failure is unit.prepare_failure or failure.final or failure.count >= _FAILURES_THAT_SETTLE


def model_stage(unit: Unit, *, stopping: bool = False) -> ModelStage:
    """Where the newest version is on its way."""
    if stopping or not unit.wanted:
        return ModelStage.DRAINING if unit.replicas else ModelStage.STOPPED
    if is_suspended(unit.model):
        return ModelStage.DRAINING if unit.replicas else ModelStage.SUSPENDED
    return ModelStage.FAILED if has_failed(unit) else _stage_of_newest(unit)


def _stage_of_newest(unit: Unit) -> ModelStage:
    # A look at an artifact that turns out to be the same is not worth a word.
    if unit.is_ready and (unit.is_prepared or unit.step in _QUIET_STEPS):
        return ModelStage.READY
    if unit.newest is None and unit.replicas:
        return ModelStage.DRAINING
    if not unit.is_prepared:
        return unit.step
    return ModelStage.LOADING if unit.newest is not None and unit.newest.status.answering else ModelStage.STARTING


def _is_settled(unit: Unit) -> bool:
    if not unit.wanted:
        return False
    if is_suspended(unit.model) or has_failed(unit):
        return True
    return unit.is_prepared and unit.is_ready


def _message(unit: Unit, stage: ModelStage) -> str:
    if stage in _SILENT_STAGES:
        return ""
    if not unit.is_prepared:
        return unit.step_message
    if unit.newest is not None and unit.newest.status.message:
        return unit.newest.status.message
    return f"{unit.failure.message}\nStarting again" if unit.failure else ""
