"""The backends of a ModelRoute: whether they are there, may be used from here, and answer."""

from collections.abc import Iterator, Mapping

from berth_api.conditions import ConditionType, Reason, find_condition
from berth_api.errors import FieldError
from berth_api.model import Model
from berth_api.names import address_of
from berth_api.route import ModelRoute
from berth_api.route_spec import BackendRef
from berth_api.route_status import BackendStatus
from berth_api.suggestions import did_you_mean

Models = Mapping[str, Model]
"""The Models that a route may mean, by `namespace/name`."""


def observe_backends(route: ModelRoute, models: Models) -> tuple[BackendStatus, ...]:
    """The backends of all rules in their order, each as the gateway treats it."""
    return tuple(
        _observe(route, backend.backend_ref, backend.weight, models)
        for rule in route.spec.rules
        for backend in rule.backends
    )


def missing_models(route: ModelRoute, models: Models) -> tuple[str, ...]:
    """The keys of the Models that backends and fallbacks name and that are not there, each once."""
    keys = [_key(route, reference) for _, reference in _references(route)]
    return tuple(key for key in dict.fromkeys(keys) if key not in models)


def refused_backends(route: ModelRoute, models: Models) -> Iterator[FieldError]:
    """Backends and fallbacks of another namespace whose Model does not list ours, or without the adapter."""
    for path, reference in _references(route):
        model = models.get(_key(route, reference))
        if model is not None and not _may_use(route, model):
            yield _not_allowed(f"{path}.namespace", route, model)
        elif model is not None and not _has_adapter(model, reference.adapter):
            yield _no_adapter(f"{path}.adapter", reference.adapter, model)


def _references(route: ModelRoute) -> Iterator[tuple[str, BackendRef]]:
    """Every Model that the route names, with the path to where it does."""
    for number, rule in enumerate(route.spec.rules):
        for index, backend in enumerate(rule.backends):
            yield f"spec.rules[{number}].backends[{index}].backendRef", backend.backend_ref
        for index, fallback in enumerate(rule.fallbacks):
            yield f"spec.rules[{number}].fallbacks[{index}].backendRef", fallback.backend_ref


def _observe(route: ModelRoute, reference: BackendRef, weight: int, models: Models) -> BackendStatus:
    model = models.get(_key(route, reference))
    usable = model is not None and _may_use(route, model) and _has_adapter(model, reference.adapter)
    model_name = f"{reference.namespace}/{reference.name}" if reference.namespace else reference.name
    name = address_of(model_name, reference.adapter)
    ready = usable and model is not None and _answers(model)
    return BackendStatus(name=name, weight=weight, effective_weight=weight if usable else 0, ready=ready)


def _answers(model: Model) -> bool:
    available = find_condition(model.status.conditions, ConditionType.AVAILABLE)
    return available is not None and available.is_true


def _may_use(route: ModelRoute, model: Model) -> bool:
    own = route.metadata.namespace
    return model.metadata.namespace == own or own in model.spec.allowed_routes.namespaces


def _has_adapter(model: Model, adapter: str) -> bool:
    return not adapter or any(one.name == adapter for one in model.spec.adapters)


def _key(route: ModelRoute, reference: BackendRef) -> str:
    return f"{reference.namespace or route.metadata.namespace}/{reference.name}"


def _not_allowed(path: str, route: ModelRoute, model: Model) -> FieldError:
    message = f"the Model {model.key} does not allow routes of the namespace {route.metadata.namespace}"
    remedy = "its owner must list that namespace in spec.allowedRoutes.namespaces"
    return FieldError(path, message, remedy, Reason.ROUTE_NOT_ALLOWED)


def _no_adapter(path: str, adapter: str, model: Model) -> FieldError:
    known = [one.name for one in model.spec.adapters]
    listed = f"it has {', '.join(known)}" if known else "it has none"
    return FieldError(path, f"the Model {model.key} has no adapter {adapter}", did_you_mean(adapter, known) or listed)
