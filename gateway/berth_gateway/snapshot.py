"""What the gateway serves at one moment, as a value: Models with their endpoints, routes, and who owns which name.

`build_snapshot` makes it from manifests and from what was observed; render.py and the agent's HTTP answers read it.
Nothing here knows of Envoy.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from berth_api.claims import Owner, claim_names
from berth_api.model import Model
from berth_api.names import address_of
from berth_api.route import ModelRoute
from berth_api.route_spec import Backend, BackendRef, Fallback, Retries, RouteRule


class Phase(StrEnum):
    """Where a Model stands, as far as a client cares."""

    READY = "Ready"
    LOADING = "Loading"
    SUSPENDED = "Suspended"
    FAILED = "Failed"


@dataclass(frozen=True)
class Endpoint:
    """One engine that can be reached. `host` is an IP address. A draining one gets no new requests."""

    host: str
    port: int
    draining: bool = False


@dataclass(frozen=True)
class ModelState:
    """What is observed of one Model. `message` is shown to clients while the Model does not answer."""

    phase: Phase
    endpoints: tuple[Endpoint, ...] = ()
    message: str = ""
    retry_after_seconds: int = 5

    @property
    def answers(self) -> bool:
        """True where an engine takes new requests; otherwise the agent answers in its place."""
        return self.phase is Phase.READY and any(not endpoint.draining for endpoint in self.endpoints)


LOADING = ModelState(Phase.LOADING)


@dataclass(frozen=True)
class ServedModel:
    """A Model, or with `adapter` that one of it, and the state of the Model."""

    namespace: str
    name: str
    state: ModelState = LOADING
    created_seconds: int = 0
    adapter: str = ""

    @property
    def key(self) -> str:
        """`namespace/name` or `namespace/name:adapter`, which is also the name of its cluster."""
        return f"{self.namespace}/{self.engine_name}"

    @property
    def engine_name(self) -> str:
        """What its engine calls it."""
        return address_of(self.name, self.adapter)

    @property
    def answers(self) -> bool:
        """See ModelState."""
        return self.state.answers


@dataclass(frozen=True)
class Policy:
    """How often an attempt is repeated and how long the gateway waits. These defaults are for a Model asked by name.

    A prompt that kills its engine is sent `retries.attempts` + 1 times at most, hence a small number. A long prompt on
    a CPU keeps a request silent for many minutes, hence a long time.
    """

    retries: Retries = field(default_factory=Retries)
    first_byte_seconds: int | None = None
    idle_seconds: int = 3600


@dataclass(frozen=True)
class Rule:
    """One rule of a ModelRoute, with Models by their keys.

    All of `headers` (lower-case name to exact value) must match. `backends` holds weights; 0 takes a Model out.
    """

    backends: Mapping[str, int]
    headers: Mapping[str, str] = field(default_factory=dict)
    fallbacks: tuple[str, ...] = ()
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True)
class Route:
    """A ModelRoute: the first rule that matches is used. `problems` says which backends had to be left out, and why."""

    namespace: str
    name: str
    rules: tuple[Rule, ...]
    problems: tuple[str, ...] = ()
    created_seconds: int = 0

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def models(self) -> frozenset[str]:
        """The keys of all Models that may answer for it."""
        return frozenset(key for rule in self.rules for key in (*rule.backends, *rule.fallbacks))


@dataclass(frozen=True)
class Snapshot:
    """Everything the gateway serves. `names` maps each name that clients may send to its owner.

    `models` has Models and their adapters, each by its key. One may own no name (exposure RoutesOnly); it is there all
    the same, because routes use it.
    """

    models: Mapping[str, ServedModel] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)
    names: Mapping[str, Owner] = field(default_factory=dict)


def build_snapshot(
    models: Sequence[Model],
    routes: Sequence[ModelRoute],
    states: Mapping[str, ModelState],
    *,
    bare_namespaces: Collection[str] | None = None,
) -> Snapshot:
    """What to serve for these manifests. `states` goes by key; a Model that it lacks counts as loading.

    Only what lies in `bare_namespaces` (None: anywhere) may answer to a name without its namespace.
    """
    claims = claim_names(models, routes, bare_namespaces=bare_namespaces)
    by_key = {model.key: model for model in models}
    return Snapshot(
        models={
            served.key: served for key, model in by_key.items() for served in _served(model, states.get(key, LOADING))
        },
        routes={route.key: _route(route, by_key) for route in routes},
        names={**claims.qualified, **claims.bare},
    )


def _served(model: Model, state: ModelState) -> Iterable[ServedModel]:
    """The Model and its adapters, which its engines serve together."""
    for adapter in ("", *(adapter.name for adapter in model.spec.adapters)):
        yield ServedModel(model.metadata.namespace, model.metadata.name, state, _seconds(model.created), adapter)


def _seconds(moment: datetime | None) -> int:
    return int(moment.timestamp()) if moment else 0


def _route(route: ModelRoute, models: Mapping[str, Model]) -> Route:
    own = route.metadata.namespace
    references = [reference for rule in route.spec.rules for reference in _references(rule)]
    refused = {_key(reference, own): _refusal(reference, own, models) for reference in references}
    usable = frozenset(key for key, problem in refused.items() if problem is None)
    return Route(
        namespace=own,
        name=route.metadata.name,
        rules=tuple(_rule(rule, own, usable) for rule in route.spec.rules),
        problems=tuple(problem for problem in refused.values() if problem is not None),
        created_seconds=_seconds(route.created),
    )


def _references(rule: RouteRule) -> Iterable[BackendRef]:
    parts: tuple[Backend | Fallback, ...] = (*rule.backends, *rule.fallbacks)
    return (part.backend_ref for part in parts)


def _model_key(reference: BackendRef, own_namespace: str) -> str:
    return f"{reference.namespace or own_namespace}/{reference.name}"


def _key(reference: BackendRef, own_namespace: str) -> str:
    return address_of(_model_key(reference, own_namespace), reference.adapter)


def _refusal(reference: BackendRef, namespace: str, models: Mapping[str, Model]) -> str | None:
    """Why a route of `namespace` may not use a backend; None where it may."""
    key = _model_key(reference, namespace)
    model = models.get(key)
    if model is None:
        return f"the Model {key} does not exist"
    if model.metadata.namespace != namespace and namespace not in model.spec.allowed_routes.namespaces:
        return f"the Model {key} does not list the namespace {namespace} in `spec.allowedRoutes.namespaces`"
    if reference.adapter and reference.adapter not in (adapter.name for adapter in model.spec.adapters):
        return f"the Model {key} has no adapter {reference.adapter}"
    return None


def _rule(rule: RouteRule, own_namespace: str, usable: frozenset[str]) -> Rule:
    weights: dict[str, int] = {}
    for backend in rule.backends:
        key = _key(backend.backend_ref, own_namespace)
        if key in usable:
            weights[key] = weights.get(key, 0) + backend.weight
    fallbacks = [_key(fallback.backend_ref, own_namespace) for fallback in rule.fallbacks]
    return Rule(
        backends=weights,
        headers={header.name: header.value for header in rule.match.headers},
        fallbacks=tuple(key for key in dict.fromkeys(fallbacks) if key in usable),
        policy=Policy(rule.retries, rule.timeouts.first_byte.seconds or None, rule.timeouts.idle.seconds),
    )
