"""What is shown of a running instance: a value that the renderers draw and the control socket carries.

Level-triggered like the plan: a reader who misses some views loses nothing but intermediate percentages.
"""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class ModelStage(StrEnum):
    """Where a Model is on its way; the words are shown as they are, in lower case."""

    WAITING = "Waiting"
    RESOLVING = "Resolving"
    PULLING = "Pulling"
    DETECTING = "Detecting"
    STARTING = "Starting"
    LOADING = "Loading"
    READY = "Ready"
    DRAINING = "Draining"
    SUSPENDED = "Suspended"
    STOPPED = "Stopped"
    FAILED = "Failed"


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Transfer(_Shown):
    """A pull under way. `seconds_left` is None while nobody can tell."""

    bytes_done: int
    bytes_total: int
    bytes_per_second: float = 0.0
    seconds_left: float | None = None

    @property
    def percent(self) -> int:
        """Whole percents, 100 only when all is there."""
        return 100 if self.bytes_done >= self.bytes_total else int(100 * self.bytes_done / self.bytes_total)


class ModelView(_Shown):
    """One Model. `stage` is that of its newest version; `serving` says whether requests are answered, by whichever.

    `ask_as` is what clients send as `model`; empty if only routes lead to it.
    """

    key: str
    ask_as: str = ""
    serving: bool = False
    stage: ModelStage = ModelStage.WAITING
    message: str = ""
    transfer: Transfer | None = None
    engine: str = ""
    task: str = ""
    ready_seconds: float | None = None
    restarts: int = 0
    failure: str = ""
    log: str = ""
    settled: bool = False

    @property
    def title(self) -> str:
        """The key without the namespace that everybody has."""
        return self.key.removeprefix("default/")


class View(_Shown):
    """The whole instance. `revision` counts the manifests that were taken over.

    `rejected` says why the last edit was not, `trouble` what is wrong with the gateway; both are empty if all is well.
    """

    address: str = ""
    revision: int = 0
    models: tuple[ModelView, ...] = ()
    routes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    rejected: str = ""
    trouble: str = ""
    gateway_follows: bool = False
    stopping: bool = False

    @property
    def settled(self) -> bool:
        """All that can be Ready is."""
        return self.gateway_follows and all(model.settled for model in self.models)

    @property
    def ready(self) -> tuple[ModelView, ...]:
        """The Models that answer."""
        return tuple(model for model in self.models if model.serving)

    @property
    def failed(self) -> tuple[ModelView, ...]:
        """The Models with a failure to show, whether an older version serves or not."""
        return tuple(model for model in self.models if model.failure)
