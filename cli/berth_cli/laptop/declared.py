"""The manifests that an instance has taken over: Models and ModelRoutes with their ages, and what to say of them."""

from collections.abc import Sequence
from datetime import UTC, datetime

from berth_api.claims import claim_names
from berth_api.errors import BerthError, InvalidSpec
from berth_api.model import Model
from berth_api.route import ModelRoute
from berth_api.support import laptop_notes
from berth_cli.manifests.read import Reading


class Declared:
    """What is wanted. An object's age is that of its first application here: who came first owns a name."""

    def __init__(self) -> None:
        self._reading = Reading()
        self._created: dict[tuple[str, str], datetime] = {}
        self.models: tuple[Model, ...] = ()
        self.routes: tuple[ModelRoute, ...] = ()

    def take(self, reading: Reading) -> None:
        """Replaces everything by what a reading says."""
        self._reading = reading
        objects = self._with_ages([manifest.object for manifest in reading.manifests])
        self.models = tuple(one for one in objects if isinstance(one, Model))
        self.routes = tuple(one for one in objects if isinstance(one, ModelRoute))

    def explain(self, model: Model, error: BerthError) -> str:
        """The words of an error that came up later, with the line of each field that it blames."""
        written = next((one for one in self._reading.manifests if one.key == (model.kind, model.key)), None)
        return written.locate(error) if written is not None and isinstance(error, InvalidSpec) else str(error)

    def notes(self) -> tuple[str, ...]:
        """What was left out, what a laptop does otherwise, and who lost which name."""
        notes = list(self._reading.notes)
        notes += [f"Model {model.key}: {note}" for model in self.models for note in laptop_notes(model)]
        notes += [f"ModelRoute {route.key}: {note}" for route in self.routes for note in laptop_notes(route)]
        claims = claim_names(self.models, self.routes)
        notes += [f"{conflict.loser.kind} {conflict.loser.key}: {conflict.message}" for conflict in claims.conflicts]
        return tuple(notes)

    def _with_ages(self, objects: Sequence[Model | ModelRoute]) -> list[Model | ModelRoute]:
        now = datetime.now(UTC)
        self._created = {(one.kind, one.key): self._created.get((one.kind, one.key), now) for one in objects}
        return [_created_at(one, self._created[one.kind, one.key]) for one in objects]


def _created_at(one: Model | ModelRoute, created: datetime) -> Model | ModelRoute:
    return one.model_copy(update={"metadata": one.metadata.model_copy(update={"creation_timestamp": created})})
