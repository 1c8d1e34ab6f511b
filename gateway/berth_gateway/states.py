"""From Models and EndpointSlices to the state of each Model, as far as a client cares. Pure; used by served.py.

Endpoints speak first: where an engine is ready the Model answers, whatever its status says. So an operator that is
away, an edit that it refuses or a new revision that does not start takes nothing away from what serves.
"""

from collections.abc import Iterable, Sequence

from berth_api.conditions import Condition, ConditionStatus, ConditionType, Reason, find_condition
from berth_api.model import Model
from berth_gateway.slices import endpoints_by_model
from berth_gateway.snapshot import Endpoint, ModelState, Phase
from berth_kube.resources import Object

_FAILURES = (ConditionType.ACCEPTED, ConditionType.RESOLVED, ConditionType.FITS, ConditionType.PROGRESSING)

# A source that is being looked at will be known soon, and a Model that lost its bare name starts all the same.
_NO_FAILURES = frozenset({Reason.RESOLVING, Reason.NAME_CONFLICT})


def build_states(models: Iterable[Model], slices: Iterable[Object]) -> dict[str, ModelState]:
    """The state of each Model by its key. `slices` are EndpointSlices, trimmed or not, of any Service."""
    endpoints = endpoints_by_model(slices)
    return {model.key: _state(model, endpoints.get(model.key, ())) for model in models}


def _state(model: Model, endpoints: tuple[Endpoint, ...]) -> ModelState:
    if any(not endpoint.draining for endpoint in endpoints):
        return ModelState(Phase.READY, endpoints)
    if model.spec.suspend or (model.spec.replicas == 0 and model.spec.autoscaling is None):
        return ModelState(Phase.SUSPENDED, endpoints)
    conditions = _current(model)
    failure = _failure(conditions)
    if failure is not None:
        return ModelState(Phase.FAILED, endpoints, _sentence(failure))
    progress = find_condition(conditions, ConditionType.PROGRESSING)
    is_under_way = progress is not None and progress.is_true and progress.reason != Reason.COMPLETE
    return ModelState(Phase.LOADING, endpoints, _sentence(progress) if progress is not None and is_under_way else "")


def _current(model: Model) -> list[Condition]:
    """What was said of this version of the spec, or of a later one that could not take its place."""
    generation = model.metadata.generation
    return [
        condition
        for condition in model.status.conditions
        if condition.observed_generation is None or condition.observed_generation >= generation
    ]


def _failure(conditions: Sequence[Condition]) -> Condition | None:
    found = (find_condition(conditions, wanted) for wanted in _FAILURES)
    failed = (condition for condition in found if condition is not None and condition.status is ConditionStatus.FALSE)
    return next((condition for condition in failed if condition.reason not in _NO_FAILURES), None)


def _sentence(condition: Condition) -> str:
    """Its message, to stand in the middle of the agent's own sentence."""
    return (condition.message or condition.reason).rstrip(". \n")
