"""The condition `Progressing`: is the newest revision on its way or complete, and what is in its way if not."""

from collections.abc import Sequence
from dataclasses import dataclass

from berth_api.conditions import Condition, ConditionType, Reason
from berth_kube.resources import Object
from berth_operator.children.metadata import is_leaving
from berth_operator.conditions import holds, not_holds
from berth_operator.diagnosis import diagnose
from berth_operator.facts import ModelFacts, PodProgress
from berth_operator.findings import Circumstances, Finding
from berth_operator.pod_rules import refused_pods
from berth_operator.pods import has_ended, is_ready, oldest_first, revision_of
from berth_operator.progress import LOADING, describe_start, furthest, step_of
from berth_operator.rollout import Rollout
from berth_operator.words import counted

_ON_THE_WAY = frozenset({Reason.WAITING_FOR_GPU})


@dataclass(frozen=True)
class Newest:
    """The revision that is wanted. `is_applied`: the Deployment in the cluster already says the same."""

    revision: str
    wanted: int
    is_applied: bool
    surges: bool = True
    gpu_resource: str = ""
    start_seconds: int = 0
    group_size: int = 1


def describe_progress(newest: Newest, rollout: Rollout, facts: ModelFacts) -> Condition:
    """What to say of it. The specific comes before the general, and what is wrong before what is going on."""
    if newest.is_applied and rollout.is_settled:
        return _complete(newest, rollout)
    if newest.wanted == 0:
        return holds(ConditionType.PROGRESSING, _leaving(rollout), Reason.DRAINING)
    starting = pods_on_the_way(facts.pods, newest.revision)
    circumstances = _circumstances(newest, facts)
    finding = (
        diagnose(starting, circumstances)
        or _members_trouble(newest, facts, circumstances)
        or _general_trouble(newest, rollout)
    )
    if finding is not None and finding.reason not in _ON_THE_WAY:
        return not_holds(ConditionType.PROGRESSING, finding.reason, finding.message)
    finding = finding or _under_way(starting, newest, rollout, facts)
    return holds(ConditionType.PROGRESSING, finding.message, finding.reason)


def pods_on_the_way(pods: Sequence[Object], revision: str) -> list[Object]:
    """The pods of a revision that do not answer and are not being taken away, the oldest first.

    One that has ended tells why it did, until a younger one answers: then it is history, however long it is kept.
    """
    own = oldest_first(pod for pod in pods if revision_of(pod) == revision)
    answering = max((number for number, pod in enumerate(own) if is_ready(pod)), default=-1)
    return [
        pod
        for number, pod in enumerate(own)
        if not is_leaving(pod) and not is_ready(pod) and not (has_ended(pod) and number < answering)
    ]


def _members_trouble(newest: Newest, facts: ModelFacts, circumstances: Circumstances) -> Finding | None:
    """What is wrong with a pod that the head of a group waits for."""
    finding = diagnose(pods_on_the_way(facts.members, newest.revision), circumstances)
    return finding and Finding(finding.reason, f"in another pod of its group: {finding.message}")


def _circumstances(newest: Newest, facts: ModelFacts) -> Circumstances:
    others = [pod for pod in facts.pods if revision_of(pod) != newest.revision and not has_ended(pod)]
    return Circumstances(
        gpu_resource=newest.gpu_resource,
        start_seconds=newest.start_seconds,
        drains=bool(others) and not newest.surges,
        progress=facts.progress,
    )


def _complete(newest: Newest, rollout: Rollout) -> Condition:
    if newest.wanted == 0:
        return holds(ConditionType.PROGRESSING, "all replicas are stopped", Reason.COMPLETE)
    message = f"{counted(rollout.ready, 'replica')} of revision {newest.revision} answer"
    return holds(ConditionType.PROGRESSING, message, Reason.COMPLETE)


def _leaving(rollout: Rollout) -> str:
    return f"{counted(rollout.replicas, 'replica')} finish what is in flight and stop"


def _general_trouble(newest: Newest, rollout: Rollout) -> Finding | None:
    if not newest.is_applied:
        return None  # What the Deployment says is said of the revision before.
    if rollout.trouble:
        return refused_pods(rollout.trouble)
    if rollout.is_overdue:
        message = "no pod has come closer to an answer within spec.rollout.startDeadline"
        return Finding(Reason.START_DEADLINE_EXCEEDED, message)
    return None


def _under_way(starting: Sequence[Object], newest: Newest, rollout: Rollout, facts: ModelFacts) -> Finding:
    pod = furthest(starting)
    if pod is not None:
        progress = facts.progress.get(pod["metadata"]["name"])
        return _waits_for_members(pod, newest, facts) or describe_start(pod, progress or PodProgress())
    if any(is_leaving(pod) for pod in facts.pods):
        return Finding(Reason.DRAINING, "old replicas finish what is in flight")
    return Finding(Reason.ROLLING_OUT, f"{rollout.ready} of {counted(newest.wanted, 'replica')} answer")


def _waits_for_members(head: Object, newest: Newest, facts: ModelFacts) -> Finding | None:
    """Said of a head that has its files, while pods of its group have not come so far."""
    if step_of(head) is not LOADING:
        return None
    there = 1 + sum(step_of(pod) is LOADING for pod in facts.members if revision_of(pod) == newest.revision)
    if there >= newest.group_size:
        return None
    return Finding(Reason.ROLLING_OUT, f"{there} of the {newest.group_size} pods that compute together have come")
