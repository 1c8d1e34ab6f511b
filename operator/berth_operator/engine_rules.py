"""What is wrong with the loader or the engine of a pod. Rules of the table in diagnosis.py."""

from collections.abc import Mapping
from typing import Final

from berth_api.conditions import Reason
from berth_kube.resources import Object
from berth_operator.bounded_json import read_json_object
from berth_operator.children.names import FETCH_CONTAINER
from berth_operator.extras import words_of
from berth_operator.facts import PodProgress, first_model
from berth_operator.findings import Circumstances, Finding
from berth_operator.pods import Ending, engine_of, fetch_of
from berth_operator.words import as_unicode

_KILLED: Final = frozenset({0, 137, 143})
"""How a container ends that the kubelet stops: well, or by SIGKILL or SIGTERM."""
_LOADER_REASONS: Final[Mapping[str, Reason]] = {
    "DigestMismatch": Reason.CHECKSUM_MISMATCH,
    **{
        reason: reason
        for reason in (
            Reason.CHECKSUM_MISMATCH,
            Reason.SIGNATURE_MISSING,
            Reason.SIGNATURE_INVALID,
            Reason.DISK_FULL,
            Reason.CACHE_QUOTA_EXCEEDED,
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


def fetch_failed(pod: Object, _: Circumstances) -> Finding | None:
    """The loader ended with an error, and says which in its termination message."""
    fetch = fetch_of(pod)
    if fetch is None or fetch.has_done or fetch.ended is None or (fetch.is_running and not fetch.restarts):
        return None
    ended = fetch.ended
    if ended.reason == "OOMKilled":
        words = "the loader ran out of memory; the administrator must raise loader.resources"
        return Finding(Reason.OUT_OF_MEMORY, words)
    if ended.code == 0:
        return None
    report = read_json_object(ended.message)
    said = str(report.get("message") or ended.message.strip()[-_QUOTED_MAX:] or f"it ended with status {ended.code}")
    reason = _LOADER_REASONS.get(str(report.get("reason")), Reason.CRASH_LOOP)
    prefix = f"{FETCH_CONTAINER}-"
    whose = f" of {words_of(fetch.name.removeprefix(prefix))}" if fetch.name.startswith(prefix) else ""
    return Finding(reason, f"the files{whose} could not be fetched: {said}")


def engine_out_of_memory(pod: Object, circumstances: Circumstances) -> Finding | None:
    """The kernel killed the engine, or the engine says itself that memory is lacking."""
    engine = engine_of(pod)
    if engine is not None and not engine.is_running and engine.ended and engine.ended.reason == "OOMKilled":
        return Finding(Reason.OUT_OF_MEMORY, f"the engine needed more memory than its limit; {_less_memory()}")
    if engine is not None and engine.is_running and engine.before and not _has_started(pod):
        before = Ending.read(engine.before.get("terminated") or {})
        if before.reason == "OOMKilled":
            return Finding(Reason.OUT_OF_MEMORY, f"the engine needed more memory than its limit; {_less_memory()}")
    said = _runtime_message(circumstances.progress_of(pod)) or _last_words(pod)
    if said and ("enough memory" in said or "memory ran out" in said):
        on_gpu = bool(circumstances.gpu_resource)
        return Finding(Reason.OUT_OF_GPU_MEMORY if on_gpu else Reason.OUT_OF_MEMORY, said)
    return None


def engine_rejected(pod: Object, circumstances: Circumstances) -> Finding | None:
    """The runtime lives and says in the engine's words that it does not take the model, or died while it served."""
    progress = circumstances.progress_of(pod)
    said = _runtime_message(progress)
    if not said:
        return None
    has_served = first_model(progress).get("state") == "Restarting"
    return Finding(Reason.CRASH_LOOP if has_served else Reason.ENGINE_REJECTED, said)


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
    if engine.is_running and engine.ended.code == 0:
        return None  # Its forerunner was told to end, as the head of a group is whose member has to.
    said = engine.ended.message.strip()[-_QUOTED_MAX:] or "it said nothing"
    return Finding(Reason.CRASH_LOOP, f"the engine ended with status {engine.ended.code}: {said}")


def _has_started(pod: Object) -> bool:
    """Whether the engine that runs now has passed its startup probe: what its forerunner suffered is over."""
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return any(one.get("started") and "running" in (one.get("state") or {}) for one in statuses)


def _runtime_message(progress: PodProgress) -> str:
    """Why the runtime's model does not come up; empty where it does, or nothing can be asked."""
    first = first_model(progress)
    if first.get("state") not in ("Failed", "Restarting"):
        return ""
    message = first.get("message")
    return as_unicode(message).strip()[:4096] if isinstance(message, str) else ""


def _last_words(pod: Object) -> str:
    """What the engine of a pod left behind, whose runtime ends with it: vLLM's does."""
    engine = engine_of(pod)
    ended = engine.ended if engine is not None and not _has_started(pod) else None
    return as_unicode(ended.message).strip()[-_QUOTED_MAX:] if ended is not None and ended.code else ""


def _less_memory() -> str:
    return "raise spec.resources.limits.memory, or lower spec.contextLength or spec.parallelSequences"
