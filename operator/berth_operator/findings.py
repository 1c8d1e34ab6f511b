"""What the rules of diagnosis are given and what they give: the circumstances of a pod, and a finding."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from berth_api.conditions import Reason
from berth_kube.resources import Object
from berth_operator.facts import PodProgress


@dataclass(frozen=True)
class Finding:
    """What is wrong, or what is going on, in one word and one sentence."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Circumstances:
    """What a rule must know besides the pod."""

    gpu_resource: str = ""
    start_seconds: int = 0
    drains: bool = False
    progress: Mapping[str, PodProgress] | None = None

    def progress_of(self, pod: Object) -> PodProgress:
        """What the pod's ports say; nothing where it was not asked."""
        return (self.progress or {}).get(pod["metadata"]["name"], PodProgress())


Rule = Callable[[Object, Circumstances], Finding | None]
"""One rule of the table in diagnosis.py."""
