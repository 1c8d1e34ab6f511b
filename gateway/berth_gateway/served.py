"""From what was read of the API server to what is served: one value in, one value out. Used by publisher.py."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from berth_api.model import Model
from berth_api.route import ModelRoute
from berth_gateway.declared import Declared, Good
from berth_gateway.snapshot import Snapshot, build_snapshot
from berth_gateway.states import build_states
from berth_kube.resources import Object, key_of, uid_of


@dataclass(frozen=True)
class Documents:
    """Objects as they were read, trimmed."""

    models: Sequence[Object] = ()
    routes: Sequence[Object] = ()
    slices: Sequence[Object] = ()


@dataclass(frozen=True)
class Served:
    """A snapshot, and the documents that it was made of: of each object the version that counts."""

    snapshot: Snapshot = field(default_factory=Snapshot)
    documents: Documents = field(default_factory=Documents)


class Build:
    """Makes what is served, and remembers the last valid version of each object for the next time."""

    def __init__(self, bare_namespaces: Collection[str] | None = None) -> None:
        self._bare_namespaces = bare_namespaces
        self._models = Declared(Model)
        self._routes = Declared(ModelRoute)

    def __call__(self, documents: Documents) -> Served:
        """What to serve now that these are all objects there are."""
        models, routes = self._models.take(documents.models), self._routes.take(documents.routes)
        parsed = [good.parsed for good in models]
        snapshot = build_snapshot(
            parsed,
            [good.parsed for good in routes],
            build_states(parsed, documents.slices),
            bare_namespaces=self._bare_namespaces,
        )
        return Served(snapshot, Documents(_documents(models), _documents(routes), documents.slices))

    @property
    def refused(self) -> int:
        """How many objects have a newest version that is not valid."""
        return len(self._models.refused) + len(self._routes.refused)


def _documents(versions: Sequence[Good[Model]] | Sequence[Good[ModelRoute]]) -> tuple[Object, ...]:
    return tuple(version.document for version in versions)


def versions_of(documents: Sequence[Object]) -> dict[str, dict[str, Any]]:
    """UID and generation of each object by `namespace/name`, as `/programmed` tells them."""
    return {
        str(key_of(document)): {"uid": uid_of(document), "generation": document["metadata"].get("generation", 0)}
        for document in documents
    }
