"""What was found out about a Model on the way from its manifest to its children, as far as that way went."""

from dataclasses import dataclass
from datetime import datetime

from berth_api.errors import FieldError
from berth_api.model import Model
from berth_operator.engine_plan import EnginePlan
from berth_operator.facts import ModelFacts
from berth_operator.plan import Apply, Delete
from berth_operator.resolving import Resolving
from berth_operator.rollout import Rollout
from berth_operator.settings import OperatorSettings


@dataclass(frozen=True)
class Scene:
    """What a Model is looked at with: its facts, its Deployment read, the installation's settings and the time."""

    facts: ModelFacts
    rollout: Rollout
    settings: OperatorSettings
    now: datetime


@dataclass(frozen=True)
class Verdict:
    """`errors` stand in the way of everything; `complaints` make the Model not accepted, and it is carried out still.

    `model` is None where the manifest can't be read; `resolving` and `engine` where the way did not lead so far.
    `note` is said of a Model that is accepted.
    """

    model: Model | None = None
    errors: tuple[FieldError, ...] = ()
    complaints: tuple[FieldError, ...] = ()
    note: str = ""
    resolving: Resolving | None = None
    engine: EnginePlan | None = None
    first_writes: tuple[Apply, ...] = ()

    @property
    def writes(self) -> tuple[Apply, ...]:
        """The children to apply, in their order."""
        resolver = self.resolving.writes if self.resolving is not None else ()
        return (*self.first_writes, *resolver, *(self.engine.writes if self.engine is not None else ()))

    @property
    def deletes(self) -> tuple[Delete, ...]:
        """Resolver Jobs that are not needed any more."""
        return self.resolving.deletes if self.resolving is not None else ()

    @property
    def is_suspended(self) -> bool:
        """Whether the user wants no replica."""
        return self.model is not None and (self.model.spec.suspend or self.model.spec.replicas == 0)

    @property
    def wanted(self) -> int:
        """How many replicas the user wants."""
        return 0 if self.model is None or self.is_suspended else self.model.spec.replicas
