"""Who owns which name at the gateway. The gateway routes by it, the conditions of both kinds report it.

A bare name belongs to its oldest claimant; a ModelRoute beats the Models of its own namespace, and only those.
`namespace/name` never has to be fought for. `name:adapter` goes with `name`: where that is a Model's with such an
adapter, it is the adapter's, and nobody's otherwise.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from berth_api.model import Model
from berth_api.model_spec import Exposure
from berth_api.names import address_of
from berth_api.route import ModelRoute

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, order=True)
class Owner:
    """The object that answers to a name; with `adapter`, that one of a Model's."""

    kind: str
    namespace: str
    name: str
    adapter: str = ""

    @property
    def key(self) -> str:
        """`namespace/name`, or `namespace/name:adapter`."""
        return address_of(f"{self.namespace}/{self.name}", self.adapter)


@dataclass(frozen=True)
class NameConflict:
    """A bare name that an object asked for and did not get."""

    name: str
    loser: Owner
    owner: Owner

    @property
    def is_overridden(self) -> bool:
        """Whether a ModelRoute of the same namespace took the name, which is what such a route is for."""
        return self.owner.kind == "ModelRoute" and self.owner.namespace == self.loser.namespace

    @property
    def message(self) -> str:
        """What, why and what to do."""
        return (
            f"the name `{self.name}` belongs to the {self.owner.kind} {self.owner.key}, which asked for it first; "
            f"clients reach this one as `{self.loser.namespace}/{self.name}`, or choose another name"
        )


@dataclass(frozen=True)
class Claims:
    """The outcome: who owns each bare name, who answers to each `namespace/name`, and who lost what."""

    bare: Mapping[str, Owner] = field(default_factory=dict)
    qualified: Mapping[str, Owner] = field(default_factory=dict)
    conflicts: tuple[NameConflict, ...] = ()

    def owner_of(self, sent: str) -> Owner | None:
        """Who answers to what a client sent, with or without namespace and adapter."""
        return (self.qualified if "/" in sent else self.bare).get(sent)

    def conflicts_of(self, owner: Owner) -> tuple[NameConflict, ...]:
        """The names that an object asked for and did not get."""
        return tuple(conflict for conflict in self.conflicts if conflict.loser == owner)


def claim_names(
    models: Iterable[Model], routes: Iterable[ModelRoute], *, bare_namespaces: Collection[str] | None = None
) -> Claims:
    """Decide who owns which name. The order of the arguments does not matter.

    Only objects of `bare_namespaces` (None: of all) can own a bare name. The others lose nothing by that: they are
    reached as `namespace/name`.
    """
    models = tuple(models)
    claimants: dict[str, list[_Claim]] = defaultdict(list)
    for claim in (*_claims_of_models(models), *_claims_of_routes(routes)):
        claimants[claim.name].append(claim)
    contested = _of_namespaces(claimants, bare_namespaces)
    bare = {name: _choose(claims) for name, claims in sorted(contested.items())}
    conflicts = tuple(
        NameConflict(name, claim.owner, bare[name])
        for name, claims in sorted(contested.items())
        for claim in sorted(claims)
        if claim.owner != bare[name]
    )
    adapters = {_owner(model): [adapter.name for adapter in model.spec.adapters] for model in models}
    return Claims(_with_adapters(bare, adapters), _with_adapters(_qualify(claimants), adapters), conflicts)


@dataclass(frozen=True, order=True)
class _Claim:
    since: datetime
    key: str
    owner: Owner
    name: str
    is_own_name: bool

    @property
    def is_route(self) -> bool:
        return self.owner.kind == "ModelRoute"


def _of_namespaces(
    claimants: Mapping[str, Sequence[_Claim]], namespaces: Collection[str] | None
) -> Mapping[str, Sequence[_Claim]]:
    if namespaces is None:
        return claimants
    kept = {
        name: [claim for claim in claims if claim.owner.namespace in namespaces] for name, claims in claimants.items()
    }
    return {name: claims for name, claims in kept.items() if claims}


def _claims_of_models(models: Iterable[Model]) -> Iterable[_Claim]:
    for model in models:
        if model.spec.exposure is Exposure.DIRECT:
            yield from _claims(model, (model.metadata.name, *model.spec.aliases))


def _claims_of_routes(routes: Iterable[ModelRoute]) -> Iterable[_Claim]:
    for route in routes:
        yield from _claims(route, route.spec.names)


def _claims(claimant: Model | ModelRoute, names: Sequence[str]) -> Iterable[_Claim]:
    owner = _owner(claimant)
    is_model = isinstance(claimant, Model)
    for name in dict.fromkeys(names):
        yield _Claim(
            claimant.created or _BEFORE_ALL, claimant.key, owner, name, is_model and name == claimant.metadata.name
        )


def _owner(claimant: Model | ModelRoute) -> Owner:
    return Owner(claimant.kind, claimant.metadata.namespace, claimant.metadata.name)


def _with_adapters(names: Mapping[str, Owner], adapters: Mapping[Owner, Sequence[str]]) -> dict[str, Owner]:
    """The names, and beside each of a Model's those of its adapters."""
    found = dict(names)
    for name, owner in names.items():
        found |= {address_of(name, adapter): replace(owner, adapter=adapter) for adapter in adapters.get(owner, ())}
    return found


def _choose(claims: Sequence[_Claim]) -> Owner:
    """The oldest claimant, or the oldest ModelRoute of that claimant's namespace.

    The namespace is decided by age first: a new route may take its own namespace's names, and never costs it one.
    """
    oldest = min(claims)
    routes = [claim for claim in claims if claim.is_route and claim.owner.namespace == oldest.owner.namespace]
    return min(routes, default=oldest).owner


def _qualify(claimants: Mapping[str, Sequence[_Claim]]) -> dict[str, Owner]:
    """`namespace/name` always reaches the Model of that name; then routes come before aliases, the oldest first."""
    best: dict[str, _Claim] = {}
    for name, claims in claimants.items():
        for claim in claims:
            qualified = f"{claim.owner.namespace}/{name}"
            best[qualified] = min(claim, best.get(qualified, claim), key=_precedence)
    return {qualified: claim.owner for qualified, claim in sorted(best.items())}


def _precedence(claim: _Claim) -> tuple[bool, bool, _Claim]:
    return (not claim.is_own_name, not claim.is_route, claim)
