"""The status of a Model: what was seen. Figures are integers with the unit in the name."""

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from berth_api.artifact import Artifact, EngineType
from berth_api.bounds import ListOf
from berth_api.conditions import Condition
from berth_api.part import StatusPart
from berth_api.scalars import Clipped, Count, Text


class Stage(StrEnum):
    """The stages of a start, in their order."""

    RESOLVED = "Resolved"
    SCHEDULED = "Scheduled"
    IMAGE_PULLED = "ImagePulled"
    FETCHED = "Fetched"
    LOADED = "Loaded"
    ANSWERED = "Answered"


StageName = Annotated[str, Text(63)]


class StageTime(StatusPart):
    """How long one stage of the last start took."""

    name: StageName = Field(description="The stage.", examples=["Fetched"])
    milliseconds: Count = Field(description="How long it took.")


class Loading(StatusPart):
    """How far the present start has come. Written on a change of stage, or each 10 percent, or each 15 s."""

    stage: StageName = Field(description="The stage that it is in.")
    percent: int | None = Field(default=None, ge=0, le=100, description="How much of the stage is done.")
    bytes_done: Count | None = Field(default=None, description="Bytes done.")
    bytes_total: Count | None = Field(default=None, description="Bytes to do.")
    seconds_left: Count | None = Field(default=None, description="Time left, as far as it can be told.")
    time: AwareDatetime | None = Field(default=None, description="When this was seen.")


class ServedArtifact(Artifact):
    """What the source holds, and which engine serves it."""

    engine: EngineType | None = Field(default=None, description="The engine that serves it.")


class MemoryFit(StatusPart):
    """The arithmetic behind `Fits`."""

    weights_bytes: Count | None = Field(default=None, description="All weights.")
    kv_cache_bytes: Count | None = Field(
        default=None,
        description="The KV cache of one request of the longest context, which is the least that is needed.",
    )
    overhead_bytes: Count | None = Field(default=None, description="What the engine itself needs.")
    per_device_bytes: Count | None = Field(default=None, description="The sum on each device.")
    device_bytes: Count | None = Field(default=None, description="What the device has.")


class Failure(StatusPart):
    """The last start that failed."""

    reason: Annotated[str, Clipped(1024)] = Field(description="Why, in one word for machines.")
    message: Annotated[str, Clipped(4096)] = Field(default="", description="What, why and what to do.")
    time: AwareDatetime | None = Field(default=None, description="When.")


class ModelStatus(StatusPart):
    """What was seen."""

    observed_generation: Count = Field(default=0, description="The generation of the spec that this speaks of.")
    conditions: Annotated[tuple[Condition, ...], ListOf(16, "map", ("type",))] = Field(
        default=(), description="`Accepted`, `Resolved`, `Fits`, `Progressing`, `Available` and `Ready`."
    )
    replicas: Count = Field(default=0, description="Pods that exist.")
    ready_replicas: Count = Field(default=0, description="Pods that answer.")
    selector: Annotated[str, Text(1024)] = Field(default="", description="Label selector of the engine's pods.")
    address: Annotated[str, Text(512)] = Field(
        default="", description="The gateway's address for clients in the cluster."
    )
    artifact: ServedArtifact | None = Field(default=None, description="What the source holds.")
    memory: MemoryFit | None = Field(default=None, description="The arithmetic behind `Fits`.")
    loading: Loading | None = Field(default=None, description="How far the present start has come.")
    stages: Annotated[tuple[StageTime, ...], ListOf(16, "map", ("name",))] = Field(
        default=(), description="How long each stage of the last start took."
    )
    profile: Annotated[str, Text(253)] = Field(default="", description="The accelerator profile that was chosen.")
    revision: Annotated[str, Text(63)] = Field(default="", description="The newest revision.")
    last_failure: Failure | None = Field(default=None, description="The last start that failed.")
