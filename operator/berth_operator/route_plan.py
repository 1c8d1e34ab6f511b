"""What is to be done for one ModelRoute: nothing but its status. The gateways read the route themselves. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from berth_api.claims import Claims, Owner
from berth_api.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
    accepted_condition,
    find_condition,
    merge_conditions,
)
from berth_api.errors import FieldError, InvalidSpec
from berth_api.manifest import parse_object
from berth_api.route import ModelRoute
from berth_api.route_status import BackendStatus, RouteStatus
from berth_api.support import unsupported_fields
from berth_kube.resources import Object, key_of, uid_of
from berth_operator.children.metadata import is_leaving
from berth_operator.conditions import holds, not_holds, read_route_status, render_status, unknown, whole_seconds
from berth_operator.facts import GatewayReport, RouteFacts, key_text
from berth_operator.plan import Notice, Plan
from berth_operator.route_backends import missing_models, observe_backends, refused_backends
from berth_operator.settings import OperatorSettings
from berth_operator.words import counted

PROGRAMMING_SECONDS: Final = 1.0
SILENT_SECONDS: Final = 15.0
"""Where all that answer have it. A replica that comes into service is told by its pod, so this is for what is not."""
NO_GATEWAY_SECONDS: Final = 5.0


def plan_route(facts: RouteFacts, settings: OperatorSettings, now: datetime) -> Plan:  # noqa: ARG001 - as plan_model
    """The plan for one ModelRoute. Its status is None where the one that it shows is right already."""
    if is_leaving(facts.document):
        return Plan()
    shown = read_route_status(facts.document)
    status = _status(shown, facts, whole_seconds(now))
    again = _again_after(status, facts)
    if status == shown:
        return Plan(again_after_seconds=again)
    return Plan(
        status=render_status(status), notices=tuple(_notices(shown.conditions, status)), again_after_seconds=again
    )


def _status(shown: RouteStatus, facts: RouteFacts, now: datetime) -> RouteStatus:
    generation = int(facts.document["metadata"].get("generation") or 0)
    try:
        route = _parse(facts.document)
    except InvalidSpec as invalid:
        # The gateway does not take it over either: what is said of its backends stays said of the version before.
        said = [accepted_condition(invalid.errors)]
        conditions = merge_conditions(shown.conditions, said, now, generation=generation)
        return shown.model_copy(update={"observed_generation": generation, "conditions": conditions})
    backends = observe_backends(route, facts.models)
    ready = _backends_ready(backends, missing_models(route, facts.models))
    said = [_accepted(route, facts), ready, _programmed(facts, generation)]
    return RouteStatus(
        observed_generation=generation,
        conditions=merge_conditions(shown.conditions, said, now, generation=generation),
        backends=backends,
    )


def _accepted(route: ModelRoute, facts: RouteFacts) -> Condition:
    errors = (
        *unsupported_fields(route),
        *_lost_names(route, facts.claims),
        *refused_backends(route, facts.models),
    )
    return accepted_condition(errors)


def _lost_names(route: ModelRoute, claims: Claims) -> Iterator[FieldError]:
    """A route is there for its names, so one that belongs to another is a field that can't be carried out."""
    owner = Owner(route.kind, route.metadata.namespace, route.metadata.name)
    indices = {name: index for index, name in enumerate(route.spec.names)}
    for conflict in claims.conflicts_of(owner):
        path = f"spec.names[{indices[conflict.name]}]" if conflict.name in indices else "spec.names"
        yield FieldError(path, conflict.message, "or remove this name", Reason.NAME_CONFLICT)


def _backends_ready(backends: Sequence[BackendStatus], missing: Sequence[str]) -> Condition:
    """True where every backend that gets requests answers. The sentence is a column of `kubectl get`."""
    asked = [backend for backend in backends if backend.weight > 0]
    ready = sum(backend.ready for backend in asked)
    message = f"{ready} of {counted(len(asked), 'backend')} {'answers' if len(asked) == 1 else 'answer'}"
    message += "".join(f"; there is no Model {key}" for key in missing)
    if ready == len(asked):
        return holds(ConditionType.BACKENDS_READY, message)
    return not_holds(ConditionType.BACKENDS_READY, Reason.NO_READY_REPLICAS, message)


def _programmed(facts: RouteFacts, generation: int) -> Condition:
    """True where every gateway replica says that Envoy has taken this very version over."""
    if not facts.gateways:
        return unknown(ConditionType.PROGRAMMED, "no gateway is running: look at the Deployment berth-gateway")
    answered = [gateway for gateway in facts.gateways if gateway.routes is not None]
    have_it = sum(_has(gateway, facts.document, generation) for gateway in answered)
    replicas = counted(len(facts.gateways), "gateway replica")
    if have_it == len(facts.gateways):
        return holds(ConditionType.PROGRAMMED, f"{have_it} of {replicas} serve this generation")
    if len(answered) < len(facts.gateways):
        silent = ", ".join(sorted(gateway.pod for gateway in facts.gateways if gateway.routes is None))
        return unknown(ConditionType.PROGRAMMED, f"{silent} of {replicas} did not answer")
    message = f"{have_it} of {replicas} serve this generation so far"
    return not_holds(ConditionType.PROGRAMMED, Reason.PROGRAMMING, message)


def _has(gateway: GatewayReport, document: Object, generation: int) -> bool:
    found = (gateway.routes or {}).get(key_text(key_of(document)))
    return found == (uid_of(document), generation)


def _parse(document: Object) -> ModelRoute:
    parsed = parse_object({name: part for name, part in document.items() if name != "status"})
    assert isinstance(parsed, ModelRoute)
    return parsed


def _again_after(status: RouteStatus, facts: RouteFacts) -> float | None:
    """Gateways have no events: they are asked until all of them have it."""
    programmed = find_condition(status.conditions, ConditionType.PROGRAMMED)
    is_current = programmed is not None and programmed.observed_generation == status.observed_generation
    if not is_current or programmed is None or programmed.is_true:
        return None
    if not facts.gateways:
        return NO_GATEWAY_SECONDS
    answered = [gateway for gateway in facts.gateways if gateway.routes is not None]
    lacks_it = any(not _has(gateway, facts.document, status.observed_generation) for gateway in answered)
    return PROGRAMMING_SECONDS if lacks_it else SILENT_SECONDS


def _notices(shown: Sequence[Condition], status: RouteStatus) -> Iterator[Notice]:
    """A route that is not accepted, in each new way, and one that is programmed for the first time."""
    for kind in (ConditionType.ACCEPTED, ConditionType.PROGRAMMED):
        before, after = find_condition(shown, kind), find_condition(status.conditions, kind)
        if after is None or (before is not None and (before.status, before.reason) == (after.status, after.reason)):
            continue
        if kind is ConditionType.ACCEPTED and after.status is ConditionStatus.FALSE:
            yield Notice("Warning", after.reason, after.message)
        elif kind is ConditionType.PROGRAMMED and after.is_true:
            yield Notice("Normal", after.reason, after.message)
