"""From what pods show to what is wrong with them, as an ordered table of small rules: the first that speaks is heard.

A rule gets one pod and answers with a Finding or with nothing. The order is from the outside in: a pod that has no node
pulls no image, and one without an image has no engine that could be at fault.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from berth_api.conditions import Reason
from berth_kube.resources import Object
from berth_operator.facts import PodProgress, first_model
from berth_operator.pods import Container, Ending, condition_of, containers_of, engine_of, fetch_of, oldest_first

_IMAGE_WORDS: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_CREATE_WORDS: Final = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError"}
)
_BACK_OFF: Final = "CrashLoopBackOff"
_KILLED: Final = frozenset({0, 137, 143})
"""How a container ends that the kubelet stops: well, or by SIGKILL or SIGTERM."""
_LOADER_REASONS: Final[Mapping[str, Reason]] = {
    "DigestMismatch": Reason.CHECKSUM_MISMATCH,
    **{
        reason: reason
        for reason in (
            Reason.CHECKSUM_MISMATCH,
            Reason.DISK_FULL,
            Reason.SOURCE_NOT_FOUND,
            Reason.SOURCE_UNAUTHORIZED,
            Reason.SOURCE_UNREACHABLE,
            Reason.LICENSE_GATED,
            Reason.NO_MODEL_IN_SOURCE,
            Reason.UNSUPPORTED_FORMAT,
            Reason.PICKLE_REFUSED,
        )
    },
}
_QUOTED_MAX: Final = 1024
_STOPPED_WITHIN_SECONDS: Final = 60
"""An engine that has no requests yet ends so soon after it was told to; one that lived longer had answered."""


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


def diagnose(pods: Sequence[Object], circumstances: Circumstances) -> Finding | None:
    """The first trouble of the pods, the oldest pod first; None where all of them are on their way."""
    for pod in oldest_first(pods):
        for rule in RULES:
            finding = rule(pod, circumstances)
            if finding is not None:
                return finding
    return None


def evicted(pod: Object, _: Circumstances) -> Finding | None:
    """The kubelet threw it out: its disk or memory was used up."""
    status = pod.get("status", {})
    if status.get("reason") != "Evicted":
        return None
    words = str(status.get("message") or "the kubelet gave no reason")
    if "memory" in words and "ephemeral" not in words:
        remedy = "raise spec.resources.requests.memory, or take a smaller model"
        return Finding(Reason.OUT_OF_MEMORY, f"the pod was evicted: {words}; {remedy}")
    remedy = "free disk on the nodes, or raise ephemeral-storage in spec.resources"
    return Finding(Reason.DISK_FULL, f"the pod was evicted: {words}; {remedy}")


def not_scheduled(pod: Object, circumstances: Circumstances) -> Finding | None:
    """The scheduler finds no node; its own words say why."""
    scheduled = condition_of(pod, "PodScheduled")
    if scheduled.get("status") != "False" or not scheduled.get("reason"):
        return None  # The scheduler has not come to it yet.
    words = str(scheduled.get("message") or scheduled["reason"])
    resource = circumstances.gpu_resource
    if resource and f"Insufficient {resource}" in words:
        if circumstances.drains:
            return Finding(Reason.WAITING_FOR_GPU, f"the old pods still hold the GPUs that the new one needs: {words}")
        return Finding(Reason.INSUFFICIENT_GPU, f"no node has a free GPU: {words}")
    return Finding(Reason.UNSCHEDULABLE, f"the scheduler finds no node: {words}")


def image_not_pulled(pod: Object, _: Circumstances) -> Finding | None:
    """An image is not there, or the registry does not give it."""
    for container in containers_of(pod):
        if container.waiting in _IMAGE_WORDS:
            detail = _image_words(container)
            remedy = "check the image and spec.pod.imagePullSecrets"
            return Finding(Reason.IMAGE_PULL_FAILED, f"the image {container.image} can't be pulled: {detail}; {remedy}")
    return None


def not_created(pod: Object, _: Circumstances) -> Finding | None:
    """The kubelet can't make a container: a Secret or ConfigMap is missing, or the runtime refuses."""
    for container in containers_of(pod):
        if container.waiting in _CREATE_WORDS:
            words = container.waiting_message or container.waiting
            return Finding(Reason.CONTAINER_NOT_CREATED, f"a container can't be made: {words}")
    return None


def fetch_failed(pod: Object, _: Circumstances) -> Finding | None:
    """The loader ended with an error, and says which in its termination message."""
    fetch = fetch_of(pod)
    if fetch is None or fetch.has_done or fetch.ended is None or (fetch.is_running and not _is_in_trouble(fetch)):
        return None
    ended = fetch.ended
    if ended.reason == "OOMKilled":
        words = "the loader ran out of memory; the administrator must raise loader.resources"
        return Finding(Reason.OUT_OF_MEMORY, words)
    if ended.code == 0:
        return None
    report = _report(ended.message)
    said = str(report.get("message") or ended.message.strip()[-_QUOTED_MAX:] or f"it ended with status {ended.code}")
    reason = _LOADER_REASONS.get(str(report.get("reason")), Reason.CRASH_LOOP)
    return Finding(reason, f"the files could not be fetched: {said}")


def engine_out_of_memory(pod: Object, circumstances: Circumstances) -> Finding | None:
    """The kernel killed the engine, or the engine says itself that memory is lacking."""
    engine = engine_of(pod)
    if engine is not None and not engine.is_running and engine.ended and engine.ended.reason == "OOMKilled":
        return Finding(Reason.OUT_OF_MEMORY, f"the engine needed more memory than its limit; {_less_memory()}")
    if engine is not None and engine.is_running and engine.before and not _has_started(pod):
        before = Ending.read(engine.before.get("terminated") or {})
        if before.reason == "OOMKilled":
            return Finding(Reason.OUT_OF_MEMORY, f"the engine needed more memory than its limit; {_less_memory()}")
    said = _runtime_message(circumstances.progress_of(pod))
    if said and ("enough memory" in said or "memory ran out" in said):
        on_gpu = bool(circumstances.gpu_resource)
        return Finding(Reason.OUT_OF_GPU_MEMORY if on_gpu else Reason.OUT_OF_MEMORY, said)
    return None


def engine_rejected(pod: Object, circumstances: Circumstances) -> Finding | None:
    """The runtime lives and says that its engine does not take the model, in the engine's words."""
    said = _runtime_message(circumstances.progress_of(pod))
    return Finding(Reason.ENGINE_REJECTED, said) if said else None


def start_too_slow(pod: Object, circumstances: Circumstances) -> Finding | None:
    """The kubelet stopped an engine that had not answered within its start deadline."""
    engine = engine_of(pod)
    ended = engine.ended if engine is not None else None
    limit = circumstances.start_seconds
    if ended is None or not limit or ended.code not in _KILLED or _has_started(pod):
        return None
    if not limit <= ended.lasted_seconds <= limit + _STOPPED_WITHIN_SECONDS:
        return None
    message = (
        f"the engine did not answer within {limit} s of its start and was stopped; raise spec.rollout.startDeadline "
        "if it is bounded by that, give it more CPU, or take a smaller model"
    )
    return Finding(Reason.START_DEADLINE_EXCEEDED, message)


def keeps_ending(pod: Object, _: Circumstances) -> Finding | None:
    """The engine ends again and again; its last words say why."""
    engine = engine_of(pod)
    if engine is None or engine.ended is None or _has_started(pod):
        return None
    said = engine.ended.message.strip()[-_QUOTED_MAX:] or "it said nothing"
    return Finding(Reason.CRASH_LOOP, f"the engine ended with status {engine.ended.code}: {said}")


def ended(pod: Object, _: Circumstances) -> Finding | None:
    """The pod is over without any container telling why: its node went away or shut down."""
    status = pod.get("status", {})
    if status.get("phase") != "Failed":
        return None
    words = status.get("message") or status.get("reason") or "the kubelet gave no reason"
    return Finding(Reason.CRASH_LOOP, f"the pod ended: {words}")


RULES: Final[tuple[Rule, ...]] = (
    evicted,
    not_scheduled,
    image_not_pulled,
    not_created,
    fetch_failed,
    engine_out_of_memory,
    engine_rejected,
    start_too_slow,
    keeps_ending,
    ended,
)


def refused_pods(words: str) -> Finding:
    """What it means that the Deployment's pods are refused before they exist: a quota, or a rule of admission."""
    if "exceeded quota" in words:
        return Finding(Reason.QUOTA_EXCEEDED, f"no pod may be made: {words}")
    return Finding(Reason.FORBIDDEN, f"no pod may be made: {words}")


def _has_started(pod: Object) -> bool:
    """Whether the engine that runs now has passed its startup probe: what its forerunner suffered is over."""
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return any(one.get("started") and "running" in (one.get("state") or {}) for one in statuses)


def _is_in_trouble(container: Container) -> bool:
    return container.restarts > 0


def _image_words(container: Container) -> str:
    """The registry's words, the same while the kubelet tries and while it waits between two tries."""
    words = container.waiting_message
    _, found, detail = words.partition("ErrImagePull: ")
    return (detail if found else words) or container.waiting


def _runtime_message(progress: PodProgress) -> str:
    """Why the runtime's model does not come up; empty where it does, or nothing can be asked."""
    first = first_model(progress)
    if first.get("state") not in ("Failed", "Restarting"):
        return ""
    message = first.get("message")
    return message.strip()[:4096] if isinstance(message, str) else ""


def _report(message: str) -> Mapping[str, Any]:
    try:
        report = json.loads(message[:8192])
    except (ValueError, RecursionError):
        return {}
    return report if isinstance(report, dict) else {}


def _less_memory() -> str:
    return "raise spec.resources.limits.memory, or lower spec.contextLength or spec.parallelSequences"
