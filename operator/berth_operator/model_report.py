"""The status of a Model, and the events that tell of its turns: from what was found out to what people read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from berth_api.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
    accepted_condition,
    find_condition,
    merge_conditions,
    ready_condition,
)
from berth_api.model_status import Failure, Loading, ModelStatus, ServedArtifact, StageTime
from berth_api.names import gateway_address, model_labels
from berth_operator.conditions import holds, not_holds, read_model_status, render_status, unknown, whole_seconds
from berth_operator.facts import ModelFacts, PodProgress
from berth_operator.failures import forbidden_child, refused_fields
from berth_operator.plan import Notice
from berth_operator.pods import revision_of
from berth_operator.prefetching import describe_prefetch
from berth_operator.progress import furthest, keep_loading, merge_stages, observe_loading, observe_stages
from berth_operator.progressing import Newest, describe_progress, pods_on_the_way
from berth_operator.resolution import artifact_of
from berth_operator.resolving import Resolving
from berth_operator.rollout import Rollout
from berth_operator.verdict import Scene, Verdict
from berth_operator.words import counted

_TELLING: Final = (ConditionType.ACCEPTED, ConditionType.RESOLVED, ConditionType.FITS, ConditionType.PROGRESSING)


@dataclass(frozen=True)
class Report:
    """The status to write, None where the shown one is right, and what to tell besides."""

    status: Mapping[str, Any] | None
    notices: tuple[Notice, ...]


def report_model(verdict: Verdict, scene: Scene) -> Report:
    """Compare what is so with what the Model shows."""
    shown = read_model_status(scene.facts.document)
    status = _status(shown, verdict, scene)
    if status == shown:
        return Report(None, ())
    return Report(render_status(status), tuple(_notices(shown, status)))


def _status(shown: ModelStatus, verdict: Verdict, scene: Scene) -> ModelStatus:
    metadata, rollout, now = scene.facts.document["metadata"], scene.rollout, whole_seconds(scene.now)
    generation, engine, revision = int(metadata.get("generation") or 0), verdict.engine, _revision(verdict, rollout)
    kept = [one for one in shown.conditions if not _is_over(one, verdict)]
    said = merge_conditions(kept, _conditions(verdict, scene.facts, rollout), now, generation=generation)
    ready = ready_condition(said, generation=generation)
    return ModelStatus(
        observed_generation=generation,
        conditions=merge_conditions(said, [ready], now, generation=generation),
        replicas=rollout.replicas,
        ready_replicas=rollout.ready,
        selector=",".join(f"{label}={value}" for label, value in sorted(model_labels(metadata["name"]).items())),
        address=gateway_address(scene.settings.namespace),
        artifact=_artifact(shown, verdict),
        memory=engine.placement.memory if engine is not None else shown.memory,
        loading=_loading(shown, scene.facts, rollout, revision, now),
        stages=_stages(shown, verdict, scene.facts, revision),
        profile=engine.placement.name if engine is not None else shown.profile,
        revision=revision,
        last_failure=_last_failure(shown, said, verdict, now),
    )


def _conditions(verdict: Verdict, facts: ModelFacts, rollout: Rollout) -> Iterator[Condition]:
    """What is said now, in the order of the table in the API's documentation. What is not known keeps its old word."""
    accepted = accepted_condition((*verdict.errors, *verdict.complaints))
    if accepted.is_true and verdict.note:
        accepted = holds(ConditionType.ACCEPTED, verdict.note, Reason.NAME_CONFLICT)
    yield accepted
    if verdict.resolving is not None:
        yield _resolved(verdict.resolving, facts)
    if verdict.engine is not None:
        yield verdict.engine.placement.condition
    elif verdict.resolving is not None and verdict.resolving.resolution is None:
        yield unknown(ConditionType.FITS, "the artifact's size is not known yet")
    yield _progressing(verdict, facts, rollout, accepted)
    yield _available(verdict, rollout)
    if verdict.model is not None and verdict.engine is not None and verdict.engine.writes:
        yield from describe_prefetch(verdict.model, facts)


def _is_over(condition: Condition, verdict: Verdict) -> bool:
    """Whether nobody asks any more for what the condition speaks of."""
    asks = verdict.model is None or verdict.model.spec.cache.prefetch
    return condition.type == ConditionType.PREFETCHED and not asks


def _resolved(resolving: Resolving, facts: ModelFacts) -> Condition:
    """A resolver that may not even be made is nothing to wait for."""
    forbidden = forbidden_child(facts.failures) if resolving.resolution is None else None
    if forbidden is not None:
        return not_holds(ConditionType.RESOLVED, forbidden.reason, forbidden.message)
    return resolving.condition


def _progressing(verdict: Verdict, facts: ModelFacts, rollout: Rollout, accepted: Condition) -> Condition:
    if verdict.errors:
        return not_holds(ConditionType.PROGRESSING, accepted.reason, accepted.message)
    if verdict.engine is None:
        assert verdict.resolving is not None
        return _mirror(_resolved(verdict.resolving, facts), is_under_way=Reason.RESOLVING)
    if not verdict.engine.writes:
        return _mirror(verdict.engine.placement.condition)
    forbidden = forbidden_child(facts.failures)
    if forbidden is not None:
        return not_holds(ConditionType.PROGRESSING, forbidden.reason, forbidden.message)
    if refused_fields(facts.failures):
        return not_holds(ConditionType.PROGRESSING, accepted.reason, accepted.message)
    return describe_progress(_newest(verdict, rollout), rollout, facts)


def _mirror(condition: Condition, is_under_way: Reason | None = None) -> Condition:
    status = ConditionStatus.TRUE if condition.reason == is_under_way else ConditionStatus.FALSE
    return condition.model_copy(update={"type": ConditionType.PROGRESSING, "status": status})


def _newest(verdict: Verdict, rollout: Rollout) -> Newest:
    engine = verdict.engine
    assert engine is not None
    profile = engine.placement.profile
    return Newest(
        revision=engine.revision,
        wanted=verdict.wanted,
        is_applied=rollout.applied == engine.applied_hash and rollout.wanted == verdict.wanted,
        surges=engine.surge,
        gpu_resource=profile.resource if profile is not None else "",
        start_seconds=engine.start_seconds,
        group_size=verdict.model.spec.group_size if verdict.model is not None else 1,
    )


def _available(verdict: Verdict, rollout: Rollout) -> Condition:
    """Whether anything answers, of any revision: a bad edit or a bad new revision changes nothing here."""
    if verdict.is_suspended:
        field = "spec.suspend" if verdict.model is not None and verdict.model.spec.suspend else "spec.replicas: 0"
        return not_holds(ConditionType.AVAILABLE, Reason.SUSPENDED, f"it is suspended by {field}")
    if rollout.ready:
        return holds(ConditionType.AVAILABLE, f"{rollout.ready} of {counted(max(rollout.wanted, 1), 'replica')} answer")
    return not_holds(ConditionType.AVAILABLE, Reason.NO_READY_REPLICAS, "no replica answers")


def _revision(verdict: Verdict, rollout: Rollout) -> str:
    """The newest revision that is there or about to be."""
    if verdict.engine is not None and verdict.engine.writes:
        return verdict.engine.revision
    return rollout.revision


def _artifact(shown: ModelStatus, verdict: Verdict) -> ServedArtifact | None:
    if verdict.engine is not None:
        return ServedArtifact(**verdict.engine.artifact.model_dump(), engine=verdict.engine.engine)
    if verdict.model is None or verdict.resolving is None or verdict.resolving.resolution is None:
        return shown.artifact
    artifact = artifact_of(verdict.model, verdict.resolving.resolution)
    # Where no engine was found for this edit, the one that serves the same artifact is still the one of before.
    serving = shown.artifact.engine if shown.artifact is not None and shown.artifact.digest == artifact.digest else None
    return ServedArtifact(**artifact.model_dump(), engine=serving)


def _loading(shown: ModelStatus, facts: ModelFacts, rollout: Rollout, revision: str, now: datetime) -> Loading | None:
    if rollout.is_settled:
        return None
    pod = furthest(pods_on_the_way(facts.pods, revision))
    if pod is None:
        return None
    seen = observe_loading(pod, facts.progress.get(pod["metadata"]["name"], PodProgress()))
    return keep_loading(shown.loading, seen, now)


def _stages(shown: ModelStatus, verdict: Verdict, facts: ModelFacts, revision: str) -> tuple[StageTime, ...]:
    seen = observe_stages([pod for pod in facts.pods if revision_of(pod) == revision], facts.progress)
    resolved = verdict.resolving.took_milliseconds if verdict.resolving is not None else None
    return merge_stages(shown.stages, seen, resolved=resolved, same_start=shown.revision == revision)


def _last_failure(
    shown: ModelStatus, conditions: tuple[Condition, ...], verdict: Verdict, now: datetime
) -> Failure | None:
    """The last start that failed; it stays to be read after a later one has gone well. A bad edit starts nothing."""
    progressing = find_condition(conditions, ConditionType.PROGRESSING)
    is_start = verdict.engine is not None and verdict.engine.writes and not verdict.errors
    if progressing is None or progressing.status is not ConditionStatus.FALSE or not is_start:
        return shown.last_failure
    before = shown.last_failure
    if before is not None and (before.reason, before.message) == (progressing.reason, progressing.message):
        return before
    return Failure(reason=progressing.reason, message=progressing.message, time=now)


def _notices(shown: ModelStatus, status: ModelStatus) -> Iterator[Notice]:
    """Turns that somebody may look for later: known, ready, and each new kind of trouble."""
    for kind in _TELLING:
        before, after = find_condition(shown.conditions, kind), find_condition(status.conditions, kind)
        if after is None or (before is not None and (before.status, before.reason) == (after.status, after.reason)):
            continue
        if kind is ConditionType.RESOLVED and after.is_true:
            yield Notice("Normal", Reason.RESOLVED, after.message)
        elif after.status is ConditionStatus.FALSE and after.reason != Reason.RESOLVING and _is_first(after, status):
            yield Notice("Warning", after.reason, after.message)
    before, after = (
        find_condition(shown.conditions, ConditionType.READY),
        find_condition(status.conditions, ConditionType.READY),
    )
    if after is not None and after.is_true and (before is None or not before.is_true):
        yield Notice("Normal", Reason.READY, after.message)


def _is_first(condition: Condition, status: ModelStatus) -> bool:
    """Whether no condition before it says the same: `Progressing` repeats what holds it up."""
    same = [one for one in status.conditions if one.reason == condition.reason and not one.is_true]
    return same[0].type == condition.type
