"""The seams of laptop mode: what an instance needs of the world, each with its contract.

The real ones are `LocalPreparer`, `LocalLauncher`, `HttpProbe` and `EnvoyGateway`; the tests bring fakes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from berth_api.artifact import Artifact, EngineType
from berth_api.launch import Launch
from berth_api.model import Model
from berth_cli.laptop.view import ModelStage, Transfer
from berth_gateway.snapshot import Snapshot

Report = Callable[[ModelStage, str, Transfer | None], None]


@dataclass(frozen=True)
class Preparation:
    """A Model made ready to start. `fingerprint` changes exactly when a running process would have to be replaced."""

    artifact: Artifact
    engine: EngineType
    fingerprint: str
    launch: Callable[[int], Launch]
    start_deadline_seconds: float
    notes: tuple[str, ...] = ()


class Preparer(Protocol):
    """Resolves, pulls and detects a Model's artifact and builds its launch."""

    async def prepare(self, model: Model, report: Report) -> Preparation:
        """Says each step to `report`. Raises `BerthError`; `Unavailable` where trying again may help."""
        ...


@dataclass(frozen=True)
class EngineStatus:
    """What a runtime process says of itself. `answering` is False while nothing listens.

    `failed` means that its model can't be loaded and the runtime has given up; until then `message` says why.
    """

    answering: bool = False
    ready: bool = False
    failed: bool = False
    message: str = ""


class Probe(Protocol):
    """Asks runtime processes how they are."""

    async def observe(self, port: int) -> EngineStatus:
        """Never raises for a process that does not answer; bounded in time."""
        ...


class Gateway(Protocol):
    """The address that clients use."""

    @property
    def trouble(self) -> str:
        """What is wrong with it now, empty if nothing is."""
        ...

    async def start(self) -> None:
        """Listens, and answers for an empty set of Models. Raises `BerthError`."""
        ...

    async def apply(self, snapshot: Snapshot) -> None:
        """Returns once new requests follow the snapshot. Raises `BerthError` and keeps the old one otherwise."""
        ...

    async def stop(self) -> None:
        """Closes the address; requests still in flight are cut."""
        ...
