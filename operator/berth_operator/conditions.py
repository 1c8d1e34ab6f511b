"""How the plans say that something is so, is not so, or is not known."""

from datetime import datetime
from typing import Any

from pydantic import ValidationError

from berth_api.conditions import Condition, ConditionStatus, ConditionType, Reason
from berth_api.model_status import ModelStatus
from berth_api.route_status import RouteStatus
from berth_kube.resources import Object


def holds(kind: ConditionType, message: str, reason: Reason | None = None) -> Condition:
    """The condition is True; where nothing else is said, its reason is its own word."""
    return Condition(type=kind, status=ConditionStatus.TRUE, reason=reason or Reason(kind), message=message)


def not_holds(kind: ConditionType, reason: Reason | str, message: str) -> Condition:
    """The condition is False."""
    return Condition(type=kind, status=ConditionStatus.FALSE, reason=reason, message=message)


def unknown(kind: ConditionType, message: str) -> Condition:
    """Nobody can say now."""
    return Condition(type=kind, status=ConditionStatus.UNKNOWN, reason=Reason.UNKNOWN, message=message)


def read_model_status(document: Object) -> ModelStatus:
    """The status that a Model shows. One that a newer version wrote in a form unknown to us counts as none."""
    try:
        return ModelStatus.model_validate(document.get("status") or {})
    except ValidationError:
        return ModelStatus()


def read_route_status(document: Object) -> RouteStatus:
    """The status that a ModelRoute shows, as `read_model_status`."""
    try:
        return RouteStatus.model_validate(document.get("status") or {})
    except ValidationError:
        return RouteStatus()


def render_status(status: ModelStatus | RouteStatus) -> dict[str, Any]:
    """A status as the API server takes it: what is not known is left out."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def whole_seconds(moment: datetime) -> datetime:
    """The moment as a status tells it: finer than a second, no two clocks of a cluster agree."""
    return moment.replace(microsecond=0)
