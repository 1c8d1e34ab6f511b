"""The Models and ModelRoutes of the cluster as they were last delivered, who claims which name, and who leans on whom.

Intake puts documents in and the audit sweeps what has vanished; each says in return which subjects must be looked at
again, so that an edit of one object reaches those whose conditions speak of it. Values only: no queue, no clock.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from berth_api.claims import Claims, claim_names
from berth_api.errors import InvalidSpec
from berth_api.manifest import parse_object
from berth_api.model import Model
from berth_api.model_spec import Exposure
from berth_api.route import ModelRoute
from berth_kube.resources import Key, Object, uid_of
from berth_kube.store import version_of
from berth_operator.subject import Kind, Subject, subject_of

_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True)
class Declaration:
    """One object. `spec_only` is it without its status, parsed; None where it can't be carried out as it stands."""

    document: Object
    spec_only: Model | ModelRoute | None

    @cached_property
    def parsed(self) -> Model | ModelRoute | None:
        """The whole object. A status that a newer version wrote in a form unknown to us counts as none."""
        try:
            return parse_object(self.document)
        except InvalidSpec:
            return self.spec_only

    @cached_property
    def names(self) -> frozenset[str]:
        """The bare names that it asks for."""
        match self.spec_only:
            case Model(spec=spec, metadata=metadata) if spec.exposure is Exposure.DIRECT:
                return frozenset((metadata.name, *spec.aliases))
            case ModelRoute(spec=spec):
                return frozenset(spec.names)
            case _:
                return frozenset()

    @cached_property
    def models(self) -> frozenset[Key]:
        """The Models that a ModelRoute mentions."""
        if not isinstance(self.spec_only, ModelRoute):
            return frozenset()
        home = self.spec_only.metadata.namespace
        references = [
            *(backend.backend_ref for rule in self.spec_only.spec.rules for backend in rule.backends),
            *(fallback.backend_ref for rule in self.spec_only.spec.rules for fallback in rule.fallbacks),
        ]
        return frozenset(Key(reference.namespace or home, reference.name) for reference in references)


class Declared:
    """All of them by subject. Only objects of `bare_namespaces` may own bare names; None means all."""

    def __init__(self, bare_namespaces: Collection[str] | None = None) -> None:
        self._bare_namespaces = bare_namespaces
        self._all: dict[Subject, Declaration] = {}
        self._claimants: defaultdict[str, set[Subject]] = defaultdict(set)
        self._mentions: defaultdict[Key, set[Subject]] = defaultdict(set)

    def __iter__(self) -> Iterator[Subject]:
        return iter(tuple(self._all))

    def __len__(self) -> int:
        return len(self._all)

    def find(self, subject: Subject) -> Declaration | None:
        """The object as it was last delivered."""
        return self._all.get(subject)

    def count(self) -> dict[str, int]:
        """How many there are of each kind."""
        return {kind.value: sum(subject.kind is kind for subject in self._all) for kind in Kind}

    def accelerated(self) -> list[Subject]:
        """The Models that ask for GPUs, and so care for nodes."""
        return [
            subject
            for subject, one in self._all.items()
            if isinstance(one.spec_only, Model) and one.spec_only.spec.accelerator is not None
        ]

    def put(self, kind: Kind, document: Object) -> frozenset[Subject]:
        """Take a delivered object in; whoever must be looked at because of it.

        Deliveries of an object and of its successor under the same name come in no certain order, and an old API server
        may replay old versions, so an older version than the one known changes nothing.
        """
        subject = subject_of(kind, document)
        known = self._all.get(subject)
        if known is not None and version_of(document) <= version_of(known.document):
            return frozenset()
        return self._set(subject, _declare(document, known))

    def renew(self, kind: Kind, document: Object) -> frozenset[Subject]:
        """Take in how a known object stands after our own write; whoever must be looked at because of it.

        The answer to a write may come after the news that the object is gone, and must not bring it back.
        """
        known = self._all.get(subject_of(kind, document))
        if known is None or uid_of(known.document) != uid_of(document):
            return frozenset()
        return self.put(kind, document)

    def drop(self, kind: Kind, document: Object) -> frozenset[Subject]:
        """Forget an object that was deleted, unless another has its name by now."""
        subject = subject_of(kind, document)
        known = self._all.get(subject)
        if known is None or uid_of(known.document) != uid_of(document):
            return frozenset()
        return self._set(subject, None)

    def claims_of(self, subject: Subject) -> Claims:
        """Who owns the names that this object asks for, and those alone: names are decided one by one."""
        declaration = self._all.get(subject)
        names = declaration.names if declaration else frozenset()
        claimants = {claimant for name in names for claimant in self._claimants[name]}
        parsed = [self._all[claimant].spec_only for claimant in claimants]
        claims = claim_names(
            [one for one in parsed if isinstance(one, Model)],
            [one for one in parsed if isinstance(one, ModelRoute)],
            bare_namespaces=self._bare_namespaces,
        )
        return Claims(
            {name: owner for name, owner in claims.bare.items() if name in names},
            {name: owner for name, owner in claims.qualified.items() if name.partition("/")[2] in names},
            tuple(conflict for conflict in claims.conflicts if conflict.name in names),
        )

    def models_of(self, route: Subject) -> Mapping[str, Model]:
        """The Models that a route mentions and that are there, by `namespace/name`."""
        declaration = self._all.get(route)
        found = {}
        for key in declaration.models if declaration else ():
            mentioned = self._all.get(Subject(Kind.MODEL, key))
            if mentioned is not None and isinstance(mentioned.parsed, Model):
                found[str(key)] = mentioned.parsed
        return found

    def _set(self, subject: Subject, declaration: Declaration | None) -> frozenset[Subject]:
        before = self._all.pop(subject, None)
        affected = {subject}
        if subject.kind is Kind.MODEL:
            affected |= self._mentions.get(subject.key, set())
        if _names(before) != _names(declaration):
            affected |= self._rivals(_names(before))
            _unlink(self._claimants, subject, _names(before))
            _link(self._claimants, subject, _names(declaration))
            affected |= self._rivals(_names(declaration))
        _unlink(self._mentions, subject, _models(before))
        _link(self._mentions, subject, _models(declaration))
        if declaration is not None:
            self._all[subject] = declaration
        return frozenset(affected)

    def _rivals(self, names: Iterable[str]) -> set[Subject]:
        return {rival for name in names for rival in self._claimants.get(name, ())}


def _declare(document: Object, known: Declaration | None) -> Declaration:
    trimmed = _trim(document)
    if known is not None and _spec_version(known.document) == _spec_version(document):
        return replace(known, document=trimmed)
    try:
        return Declaration(trimmed, parse_object({name: part for name, part in trimmed.items() if name != "status"}))
    except InvalidSpec:
        return Declaration(trimmed, None)


def _spec_version(document: Object) -> tuple[str, int | None]:
    return uid_of(document), document["metadata"].get("generation")


def _trim(document: Object) -> Object:
    """Without what only kubectl and the API server's own book-keeping need: half of the bytes."""
    metadata = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
    if annotations := metadata.get("annotations"):
        metadata["annotations"] = {name: text for name, text in annotations.items() if name != _LAST_APPLIED}
    return {**document, "metadata": metadata}


def _names(declaration: Declaration | None) -> frozenset[str]:
    return declaration.names if declaration else frozenset()


def _models(declaration: Declaration | None) -> frozenset[Key]:
    return declaration.models if declaration else frozenset()


def _link(index: defaultdict[Any, set[Subject]], subject: Subject, words: Iterable[Any]) -> None:
    for word in words:
        index[word].add(subject)


def _unlink(index: defaultdict[Any, set[Subject]], subject: Subject, words: Iterable[Any]) -> None:
    for word in words:
        index[word].discard(subject)
        if not index[word]:
            del index[word]
