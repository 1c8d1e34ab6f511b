"""How it comes to be known what a source holds: by the spec, by what the Deployment remembers, or by a resolver Job.

Each source, the Model's own and that of each extra, is a question of its own: what is known of one stays known while
another is asked. Each attempt is a Job with a name of its own. The newest one tells how many there were, so nothing has
to be remembered elsewhere: after a failure the next Job is made once its back-off has passed, and the one before is
deleted once the next is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from berth_api.conditions import Condition, ConditionType, Reason
from berth_api.model import Model
from berth_api.names import ANNOTATION_ATTEMPT, ANNOTATION_INPUTS
from berth_api.sizes import size_words
from berth_kube.resources import JOBS, Object, key_of, uid_of
from berth_operator.children.metadata import is_leaving, is_owned
from berth_operator.children.resolver_job import DEADLINE_SECONDS, build_resolver_job
from berth_operator.conditions import holds, not_holds
from berth_operator.extras import words_of
from berth_operator.facts import ModelFacts
from berth_operator.findings import Circumstances
from berth_operator.plan import Apply, Delete
from berth_operator.pod_rules import image_not_pulled, not_created, not_scheduled
from berth_operator.pods import Ending, condition_of, is_true, oldest_first, read_time, resolver_of
from berth_operator.resolution import (
    Question,
    Refusal,
    Resolution,
    artifact_of,
    known_by_spec,
    questions_of,
    read_report,
)
from berth_operator.settings import OperatorSettings

FIRST_BACKOFF_SECONDS: Final = 10
LONGEST_BACKOFF_SECONDS: Final = 600
_POD_LATE_SECONDS: Final = 30
"""How long after a Job's end its pod may still be missing from what we see."""


@dataclass(frozen=True)
class Resolving:
    """Where the search stands. `condition` is `Resolved`; `took_milliseconds` is known while the Job is there.

    Of a whole Model, `resolution` is that of its own source, and is there once all of `extras` are known too; a
    `refusal` is of the source at `path`.
    """

    condition: Condition
    resolution: Resolution | None = None
    extras: Mapping[str, Resolution] = field(default_factory=dict)
    refusal: Refusal | None = None
    path: str = "spec.source"
    writes: tuple[Apply, ...] = ()
    deletes: tuple[Delete, ...] = ()
    took_milliseconds: int | None = None
    again_after_seconds: float | None = None


@dataclass(frozen=True)
class Attempt:
    """One Job and its pod, read: still going on, or ended at `ended` with a report."""

    number: int
    job: Object
    ended: datetime | None = None
    report: Resolution | Refusal | None = None
    trouble: str = ""
    took_milliseconds: int | None = None
    again_after_seconds: float | None = None


@dataclass(frozen=True)
class Memory:
    """What the cluster remembers: `kept` is the Deployment's annotation, which wins over a Job and that over `shown`,
    the Model's own status. `extras` are kept beside it, by their keys.
    """

    kept: Resolution | None = None
    shown: Resolution | None = None
    extras: Mapping[str, Resolution] = field(default_factory=dict)

    def of(self, question: Question) -> "Memory":
        """What may answer this question."""
        return self if question.extra is None else Memory(self.extras.get(question.extra.key))


def plan_resolutions(
    model: Model, memory: Memory, facts: ModelFacts, settings: OperatorSettings, now: datetime
) -> Resolving:
    """What is known of all sources of a Model, and what is to be done. They are asked at once."""
    jobs = [job for job in facts.jobs if is_owned(job, model.metadata.uid) and not is_leaving(job)]
    questions = questions_of(model)
    look = partial(_plan_question, jobs=jobs, pods=facts.job_pods, settings=settings, now=now)
    parts = [(question, look(question, memory.of(question))) for question in questions]
    asked = {question.inputs for question in questions}
    stale = [job for job in jobs if _annotation(job, ANNOTATION_INPUTS) not in asked]
    waits = [part.again_after_seconds for _, part in parts if part.again_after_seconds is not None]
    return replace(
        _joined(parts),
        writes=tuple(write for _, part in parts for write in part.writes),
        deletes=(*_deletes(stale), *(delete for _, part in parts for delete in part.deletes)),
        again_after_seconds=min(waits, default=None),
    )


def _joined(parts: Sequence[tuple[Question, Resolving]]) -> Resolving:
    """The Model's own source with its extras, or the first of all that is not known."""
    (_, own), *extras = parts
    for question, part in parts:
        if part.resolution is None:
            condition = part.condition
            if question.extra is not None:
                message = f"{question.extra.words}: {condition.message}"
                condition = condition.model_copy(update={"message": message})
            return Resolving(condition, refusal=part.refusal, path=question.path)
    # Neither notes nor the name of a file are needed of an extra, and an annotation has its bounds.
    known = {
        question.extra.key: replace(part.resolution, weights="", notes=())
        for question, part in extras
        if question.extra is not None and part.resolution is not None
    }
    words = f"; with {', '.join(words_of(key) for key in known)}" if known else ""
    condition = own.condition.model_copy(update={"message": f"{own.condition.message}{words}"})
    return replace(own, condition=condition, extras=known)


def _plan_question(
    question: Question,
    remembered: Memory,
    *,
    jobs: Sequence[Object],
    pods: Sequence[Object],
    settings: OperatorSettings,
    now: datetime,
) -> Resolving:
    inputs = question.inputs
    current = sorted((job for job in jobs if _annotation(job, ANNOTATION_INPUTS) == inputs), key=_number)
    known = known_by_spec(question.model.spec) if question.extra is None else None
    if known is None and remembered.kept is not None and remembered.kept.inputs == inputs:
        known = remembered.kept
    if known is None and not current:
        known = remembered.shown
    if known is not None:
        took = read_attempt(current[-1], pods, inputs, now).took_milliseconds if current else None
        return Resolving(_resolved(question, known), known, deletes=_deletes(current), took_milliseconds=took)
    if not current:
        return Resolving(_resolving(), writes=(_attempt(question, 1, settings),))
    attempts = [read_attempt(job, pods, inputs, now) for job in current[-2:]]
    if attempts[-1].report is None:
        return _under_way(question, attempts, _deletes(current[:-2]))
    return _after(question, attempts[-1], _deletes(current[:-1]), settings, now)


def read_attempt(job: Object, pods: Sequence[Object], inputs: str, now: datetime) -> Attempt:
    """What has become of a Job. Its pod is read first: the Job itself hears of the end a little later."""
    number = _number(job)
    own = oldest_first(pod for pod in pods if is_owned(pod, uid_of(job)))
    ending = next((found for pod in own if (found := _ending_of(pod)) is not None), None)
    if ending is not None:
        finished = ending.finished or _ended_at(job) or now
        # A node's clock may be an hour ahead, and the back-off would last as long; the Job's time is the cluster's.
        ended = _ended_at(job) or finished
        return Attempt(number, job, ended, _report(ending, inputs), took_milliseconds=_took(job, finished))
    ended_at = _ended_at(job)
    if ended_at is None:
        return _not_ended(job, own, now)
    if is_true(job, "Failed"):
        return Attempt(number, job, ended_at, Refusal(Reason.SOURCE_UNREACHABLE, _why_failed(job, own)))
    if (now - ended_at).total_seconds() < _POD_LATE_SECONDS:
        return Attempt(number, job)
    return Attempt(number, job, ended_at, Refusal(Reason.SOURCE_UNREACHABLE, "the resolver's pod is gone unread"))


def _not_ended(job: Object, pods: Sequence[Object], now: datetime) -> Attempt:
    """An attempt that goes on, with what is in the way of its pod. That there is none, no event tells."""
    if not _is_podless(job, pods):
        return Attempt(_number(job), job, trouble=_trouble(pods))
    left = _POD_LATE_SECONDS - _age_seconds(job, now)
    if left > 0:
        return Attempt(_number(job), job, again_after_seconds=left)
    return Attempt(_number(job), job, trouble=_no_pod(job))


def backoff_seconds(attempt: int) -> float:
    """How long to wait after this attempt has failed: 10 s, doubled each time, at most 10 minutes."""
    return min(FIRST_BACKOFF_SECONDS * 2.0 ** min(attempt - 1, 10), LONGEST_BACKOFF_SECONDS)


def _under_way(question: Question, attempts: Sequence[Attempt], deletes: tuple[Delete, ...]) -> Resolving:
    """While an attempt goes on. What the one before it has said is told until there is news, so its Job stays so long:
    a condition that forgets the cause at each new attempt would be read at the wrong moment by somebody.
    """
    newest = attempts[-1]
    # An event tells of the pod's end; only a pod that is late needs another look by itself.
    again = 2.0 if _ended_at(newest.job) is not None else newest.again_after_seconds
    said = attempts[0].report
    if isinstance(said, Refusal):
        again_words = f"; it is being tried again{f', but {newest.trouble}' if newest.trouble else ''}"
        condition = not_holds(ConditionType.RESOLVED, said.reason, f"{_explain(question, said)}{again_words}")
        return Resolving(condition, refusal=said, deletes=deletes, again_after_seconds=again)
    return Resolving(_resolving(newest.trouble), deletes=deletes, again_after_seconds=again)


def _after(
    question: Question, attempt: Attempt, deletes: tuple[Delete, ...], settings: OperatorSettings, now: datetime
) -> Resolving:
    assert attempt.report is not None
    assert attempt.ended is not None
    took = attempt.took_milliseconds
    if isinstance(attempt.report, Resolution):
        return Resolving(_resolved(question, attempt.report), attempt.report, deletes=deletes, took_milliseconds=took)
    condition = not_holds(ConditionType.RESOLVED, attempt.report.reason, _explain(question, attempt.report))
    wait = (attempt.ended + timedelta(seconds=backoff_seconds(attempt.number)) - now).total_seconds()
    if wait > 0:
        return Resolving(condition, refusal=attempt.report, deletes=deletes, again_after_seconds=wait)
    following = _attempt(question, attempt.number + 1, settings)
    return Resolving(condition, refusal=attempt.report, writes=(following,), deletes=deletes)


def _attempt(question: Question, number: int, settings: OperatorSettings) -> Apply:
    return Apply(JOBS, build_resolver_job(question, number, settings))


def _deletes(jobs: Sequence[Object]) -> tuple[Delete, ...]:
    return tuple(Delete(JOBS, key_of(job), uid_of(job)) for job in jobs)


def _resolved(question: Question, resolution: Resolution) -> Condition:
    artifact = resolution.artifact if question.extra else artifact_of(question.model, resolution)
    parts = [f"{artifact.format} for {artifact.task}"]
    if artifact.quantization:
        parts.append(artifact.quantization)
    if artifact.size_bytes is not None:
        parts.append(size_words(artifact.size_bytes))
    signed = f"; signed by {artifact.signer}" if artifact.signer else ""
    notes = "".join(f"; {note}" for note in resolution.notes)
    return holds(ConditionType.RESOLVED, f"{', '.join(parts)}, {artifact.digest}{signed}{notes}")


def _resolving(trouble: str = "") -> Condition:
    message = "finding out what the source holds"
    return not_holds(ConditionType.RESOLVED, Reason.RESOLVING, f"{message}: {trouble}" if trouble else message)


def _explain(question: Question, refusal: Refusal) -> str:
    secret = question.source.secret_ref
    if refusal.reason not in {Reason.SOURCE_UNAUTHORIZED, Reason.LICENSE_GATED}:
        return refusal.message
    if not question.source.uri.startswith("oci://"):  # The others' own words say which keys a Secret must have.
        return f"{refusal.message}; the Secret is `{secret.name}`" if secret else refusal.message
    if secret is None:
        return f"{refusal.message}; if it needs a login, name a Secret in {question.path}.secretRef"
    return f"{refusal.message}; is there a Secret `{secret.name}` of type kubernetes.io/dockerconfigjson?"


def _report(ending: Ending, inputs: str) -> Resolution | Refusal:
    if ending.reason == "OOMKilled":
        words = "the resolver ran out of memory; the administrator must raise loader.resources in the chart's values"
        return Refusal(Reason.SOURCE_UNREACHABLE, words)
    report = read_report(ending.message, inputs)
    if isinstance(report, Resolution) and ending.code != 0:
        return Refusal(Reason.SOURCE_UNREACHABLE, f"the resolver ended with status {ending.code}")
    return report


def _ending_of(pod: Object) -> Ending | None:
    """How the resolver ended. Whatever else runs in its pod was put there by others, such as a service mesh."""
    resolver = resolver_of(pod)
    return resolver.ended if resolver is not None else None


def _ended_at(job: Object) -> datetime | None:
    for kind in ("Complete", "Failed"):
        if is_true(job, kind):
            return read_time(condition_of(job, kind).get("lastTransitionTime"))
    return None


def _took(job: Object, ended: datetime) -> int | None:
    started = read_time(job.get("status", {}).get("startTime"))
    return max(round((ended - started).total_seconds() * 1000), 0) if started is not None else None


def _trouble(pods: Sequence[Object]) -> str:
    """Why the resolver's pod does not even start, if it is so."""
    for pod in pods:
        for rule in (not_scheduled, image_not_pulled, not_created):
            finding = rule(pod, Circumstances())
            if finding is not None:
                return finding.message
    return ""


def _is_podless(job: Object, pods: Sequence[Object]) -> bool:
    """Whether the Job never got a pod: its controller tells why in an Event and nowhere else."""
    status = job.get("status", {})
    return not pods and not any(status.get(count) for count in ("active", "terminating", "succeeded", "failed"))


def _no_pod(job: Object) -> str:
    name = job["metadata"]["name"]
    return f"no pod was made for it, as where a quota or a policy refuses it; see `kubectl describe job {name}`"


def _age_seconds(job: Object, now: datetime) -> float:
    made = read_time(job["metadata"].get("creationTimestamp"))
    return (now - made).total_seconds() if made is not None else 0.0


def _why_failed(job: Object, pods: Sequence[Object]) -> str:
    condition = condition_of(job, "Failed")
    if condition.get("reason") == "DeadlineExceeded":
        waits = _no_pod(job) if _is_podless(job, pods) else _trouble(pods)
        trouble = waits or "the source may be slow or unreachable"
        return f"the resolver did not end within {DEADLINE_SECONDS} s: {trouble}"
    return str(condition.get("message") or condition.get("reason") or "the resolver failed and its pod is gone")


def _number(job: Object) -> int:
    text = _annotation(job, ANNOTATION_ATTEMPT)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1


def _annotation(job: Object, name: str) -> str:
    return str((job["metadata"].get("annotations") or {}).get(name, ""))
