"""What is read from the Deployment of a Model: how far the newest revision has come, and what it remembers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from berth_api.names import (
    ANNOTATION_APPLIED_HASH,
    ANNOTATION_EXTRAS,
    ANNOTATION_PROFILE,
    ANNOTATION_RESOLUTION,
    LABEL_REVISION,
)
from berth_kube.resources import Object
from berth_operator.children.deployment import rolling_update
from berth_operator.pods import condition_of
from berth_operator.resolution import Resolution, read_extras, read_resolution


@dataclass(frozen=True)
class Rollout:
    """A Deployment as observed; the default is that there is none.

    `wanted` is its own `spec.replicas`. `is_settled`: the Deployment's controller has brought about all of its spec.
    `trouble` holds the words of its condition ReplicaFailure, `is_overdue` says that no progress was made in time.
    """

    exists: bool = False
    wanted: int = 0
    replicas: int = 0
    ready: int = 0
    revision: str = ""
    applied: str = ""
    is_settled: bool = False
    is_overdue: bool = False
    trouble: str = ""
    surges: bool = True
    resolution: Resolution | None = None
    extras: Mapping[str, Resolution] = field(default_factory=dict)
    profile: str = ""


@dataclass(frozen=True)
class _Counts:
    """`status` of a Deployment; what is zero is absent there."""

    found: Mapping[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> int:
        return int(self.found.get(name) or 0)


def observe_rollout(deployment: Object | None) -> Rollout:
    """Read the Deployment that is ours."""
    if deployment is None:
        return Rollout()
    metadata, spec = deployment["metadata"], deployment["spec"]
    annotations = metadata.get("annotations") or {}
    labels = spec.get("template", {}).get("metadata", {}).get("labels") or {}
    counts, wanted = _Counts(deployment.get("status") or {}), int(spec.get("replicas", 1))
    failure = condition_of(deployment, "ReplicaFailure")
    return Rollout(
        exists=True,
        wanted=wanted,
        replicas=counts["replicas"],
        ready=counts["readyReplicas"],
        revision=str(labels.get(LABEL_REVISION, "")),
        applied=str(annotations.get(ANNOTATION_APPLIED_HASH, "")),
        is_settled=counts["observedGeneration"] >= int(metadata.get("generation") or 0)
        and counts["updatedReplicas"] == counts["replicas"] == counts["availableReplicas"] == wanted,
        is_overdue=condition_of(deployment, "Progressing").get("reason") == "ProgressDeadlineExceeded",
        trouble=str(failure.get("message") or "") if failure.get("status") == "True" else "",
        surges=(spec.get("strategy") or {}).get("rollingUpdate") != rolling_update(surge=False),
        resolution=read_resolution(annotations.get(ANNOTATION_RESOLUTION)),
        extras=read_extras(annotations.get(ANNOTATION_EXTRAS)),
        profile=str(annotations.get(ANNOTATION_PROFILE, "")),
    )
