"""From what was read of the API server to what is served: one value in, one value out. Used by cluster.py."""

from collections.abc import Collection, Mapping, Sequence
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
    """A snapshot, and what it was made of: of each object the version that counts."""

    snapshot: Snapshot = field(default_factory=Snapshot)
    models: Sequence[Good[Model]] = ()
    routes: Sequence[Good[ModelRoute]] = ()
    slices: Sequence[Object] = ()

    @property
    def documents(self) -> Documents:
        """What makes the same again."""
        return Documents(
            tuple(good.document for good in self.models), tuple(good.document for good in self.routes), self.slices
        )


class Build:
    """Makes what is served, and remembers the last valid version of each object for the next time."""

    def __init__(self, bare_namespaces: Collection[str] | None = None) -> None:
        self._bare_namespaces = bare_namespaces
        self._models: Declared[Model] = Declared(Model)
        self._routes: Declared[ModelRoute] = Declared(ModelRoute)

    @property
    def refused(self) -> int:
        """How many objects have a newest version that is not valid."""
        return len(self._models.refused) + len(self._routes.refused)

    def all_of(self, documents: Documents) -> Served:
        """What to serve when these are all objects there are."""
        return self._serve(self._models.take(documents.models), self._routes.take(documents.routes), documents.slices)

    def with_slices(self, served: Served, slices: Sequence[Object]) -> Served:
        """The same Models and ModelRoutes at the endpoints of other slices."""
        return self._serve(served.models, served.routes, slices)

    def _serve(
        self, models: Sequence[Good[Model]], routes: Sequence[Good[ModelRoute]], slices: Sequence[Object]
    ) -> Served:
        parsed = [good.parsed for good in models]
        snapshot = build_snapshot(
            parsed,
            [good.parsed for good in routes],
            build_states(parsed, slices),
            bare_namespaces=self._bare_namespaces,
        )
        return Served(snapshot, models, routes, slices)


def versions_of(versions: Sequence[Good[Model]] | Sequence[Good[ModelRoute]]) -> Mapping[str, Mapping[str, Any]]:
    """UID and generation of each object by `namespace/name`, as `/programmed` tells them."""
    return {str(key_of(good.document)): _version(good.document) for good in versions}


def _version(document: Object) -> Mapping[str, Any]:
    return {"uid": uid_of(document), "generation": document["metadata"].get("generation", 0)}
