"""Conditions and reasons of both kinds, and how a new observation is merged with what was said before.

Reasons are words for machines: enums grow, so clients must tolerate new ones, and a condition that was read carries its
reason as plain text.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from berth_api.errors import FieldError
from berth_api.part import StatusPart
from berth_api.scalars import Clipped, Text, form


class ConditionType(StrEnum):
    """What a condition speaks of."""

    ACCEPTED = "Accepted"
    RESOLVED = "Resolved"
    FITS = "Fits"
    PROGRESSING = "Progressing"
    AVAILABLE = "Available"
    READY = "Ready"
    BACKENDS_READY = "BackendsReady"
    PROGRAMMED = "Programmed"
    PREFETCHED = "Prefetched"


class ConditionStatus(StrEnum):
    """Whether it is so."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(StrEnum):
    """Why a condition has its status."""

    # Where all is well, the reason repeats the condition.
    ACCEPTED = "Accepted"
    RESOLVED = "Resolved"
    FITS = "Fits"
    AVAILABLE = "Available"
    READY = "Ready"
    BACKENDS_READY = "BackendsReady"
    PROGRAMMED = "Programmed"
    PREFETCHED = "Prefetched"
    UNKNOWN = "Unknown"

    # Accepted: the user must act.
    INVALID_SPEC = "InvalidSpec"
    NAME_CONFLICT = "NameConflict"
    CHILD_NAME_TAKEN = "ChildNameTaken"
    UNKNOWN_PROFILE = "UnknownProfile"
    UNSUPPORTED_FORMAT = "UnsupportedFormat"
    UNSUPPORTED_FIELD = "UnsupportedField"
    PICKLE_REFUSED = "PickleRefused"
    ARGUMENT_REFUSED = "ArgumentRefused"
    ROUTE_NOT_ALLOWED = "RouteNotAllowed"

    # Resolved: the first is passing, for the others the user must act.
    RESOLVING = "Resolving"
    SOURCE_NOT_FOUND = "SourceNotFound"
    SOURCE_UNAUTHORIZED = "SourceUnauthorized"
    LICENSE_GATED = "LicenseGated"
    SOURCE_UNREACHABLE = "SourceUnreachable"
    DIGEST_MISMATCH = "DigestMismatch"
    SIGNATURE_MISSING = "SignatureMissing"
    SIGNATURE_INVALID = "SignatureInvalid"
    NO_MODEL_IN_SOURCE = "NoModelInSource"

    # Fits.
    TOO_LARGE_FOR_PROFILE = "TooLargeForProfile"
    NO_SUCH_NODE = "NoSuchNode"

    # Progressing, True.
    ROLLING_OUT = "RollingOut"
    DRAINING = "Draining"
    WAITING_FOR_GPU = "WaitingForGPU"
    PULLING_IMAGE = "PullingImage"
    FETCHING = "Fetching"
    LOADING = "Loading"
    COMPLETE = "Complete"

    # Progressing, False.
    INSUFFICIENT_GPU = "InsufficientGPU"
    UNSCHEDULABLE = "Unschedulable"
    QUOTA_EXCEEDED = "QuotaExceeded"
    FORBIDDEN = "Forbidden"
    CONTAINER_NOT_CREATED = "ContainerNotCreated"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    DISK_FULL = "DiskFull"
    CACHE_QUOTA_EXCEEDED = "CacheQuotaExceeded"
    CHECKSUM_MISMATCH = "ChecksumMismatch"
    OUT_OF_MEMORY = "OutOfMemory"
    OUT_OF_GPU_MEMORY = "OutOfGPUMemory"
    ENGINE_REJECTED = "EngineRejected"
    CRASH_LOOP = "CrashLoop"
    START_DEADLINE_EXCEEDED = "StartDeadlineExceeded"
    ROLLED_BACK = "RolledBack"

    # Available.
    NO_READY_REPLICAS = "NoReadyReplicas"
    SLEEPING = "Sleeping"
    SUSPENDED = "Suspended"

    # Programmed, False: a gateway replica does not have it yet.
    PROGRAMMING = "Programming"

    # Prefetched, False: a node does not have it yet.
    PREFETCHING = "Prefetching"


MESSAGE_MAX = 4096


class Condition(StatusPart):
    """One thing that is so, is not so, or is not known, and why."""

    type: Annotated[str, Text(316)] = Field(description="What it speaks of.")
    status: ConditionStatus = Field(description="Whether it is so.")
    reason: Annotated[
        str,
        Text(
            1024, (form("[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", "not a valid reason", "write one word in CamelCase"),)
        ),
    ] = Field(description="Why, in one word for machines.")
    message: Annotated[str, Clipped(MESSAGE_MAX)] = Field(
        default="", description="What, why and what to do, for people."
    )
    last_transition_time: AwareDatetime | None = Field(default=None, description="When the status last changed.")
    observed_generation: int | None = Field(default=None, ge=0, description="The generation of the spec it speaks of.")

    @property
    def is_true(self) -> bool:
        """Whether the status is True."""
        return self.status is ConditionStatus.TRUE


def merge_conditions(
    old: Sequence[Condition], new: Iterable[Condition], now: datetime, *, generation: int | None = None
) -> tuple[Condition, ...]:
    """What was said before, overwritten by what is said now.

    A condition keeps its transition time as long as its status stays; `generation` becomes the observed generation of
    every new one. Old conditions that nothing new is said about stay as they are, in their old place.
    """
    merged = {condition.type: condition for condition in old}
    for condition in new:
        merged[condition.type] = _merge(merged.get(condition.type), condition, now, generation)
    return tuple(merged.values())


def _merge(before: Condition | None, after: Condition, now: datetime, generation: int | None) -> Condition:
    kept = before.last_transition_time if before is not None and before.status is after.status else None
    return after.model_copy(
        update={
            "last_transition_time": kept or now,
            "observed_generation": after.observed_generation if generation is None else generation,
        }
    )


def find_condition(conditions: Iterable[Condition], wanted: ConditionType) -> Condition | None:
    """The condition of that type, if anything was said about it."""
    return next((condition for condition in conditions if condition.type == wanted), None)


def accepted_condition(errors: Sequence[FieldError], *, generation: int | None = None) -> Condition:
    """`Accepted` from what is wrong with an object; nothing wrong makes it True. The first error gives the reason."""
    return Condition(
        type=ConditionType.ACCEPTED,
        status=ConditionStatus.FALSE if errors else ConditionStatus.TRUE,
        reason=errors[0].reason if errors else Reason.ACCEPTED,
        message="\n".join(str(error) for error in errors),
        observed_generation=generation,
    )


_ORDER = (
    ConditionType.ACCEPTED,
    ConditionType.RESOLVED,
    ConditionType.FITS,
    ConditionType.PROGRESSING,
    ConditionType.AVAILABLE,
)


def ready_condition(conditions: Sequence[Condition], *, generation: int) -> Condition:
    """`Ready` of a Model: accepted at this generation, and available or asleep by its own autoscaling.

    Otherwise it is the first trouble in the order of api.md's table. While nothing is wrong but nothing answers yet,
    `Progressing` tells more than "no ready replicas", so its words are used.
    """
    accepted = find_condition(conditions, ConditionType.ACCEPTED)
    if accepted is None or accepted.observed_generation != generation:
        return _ready(ConditionStatus.UNKNOWN, Reason.UNKNOWN, f"generation {generation} has not been looked at yet")
    available = find_condition(conditions, ConditionType.AVAILABLE)
    if accepted.is_true and available is not None and (available.is_true or available.reason == Reason.SLEEPING):
        return _ready(ConditionStatus.TRUE, Reason.READY if available.is_true else Reason.SLEEPING, available.message)
    trouble = _first_trouble(conditions)
    return _ready(ConditionStatus.FALSE, trouble.reason, trouble.message)


def _first_trouble(conditions: Sequence[Condition]) -> Condition:
    found = [condition for wanted in _ORDER if (condition := find_condition(conditions, wanted)) is not None]
    for condition in found:
        if condition.status is ConditionStatus.FALSE:
            return _explained(condition, found)
    unavailable = Condition(
        type=ConditionType.AVAILABLE,
        status=ConditionStatus.UNKNOWN,
        reason=Reason.NO_READY_REPLICAS,
        message="nothing is known of its replicas yet",
    )
    return _explained(unavailable, found)


def _explained(trouble: Condition, found: Sequence[Condition]) -> Condition:
    progressing = find_condition(found, ConditionType.PROGRESSING)
    on_its_way = progressing is not None and progressing.is_true and progressing.reason != Reason.COMPLETE
    if progressing is not None and on_its_way and trouble.reason == Reason.NO_READY_REPLICAS:
        return progressing
    return trouble


def _ready(status: ConditionStatus, reason: str, message: str) -> Condition:
    return Condition(type=ConditionType.READY, status=status, reason=reason, message=message)
