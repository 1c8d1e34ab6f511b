"""What is to be done for one Model: from a snapshot of everything about it to its children and its status. Pure.

The same facts give the same plan, and once a plan is carried out and seen, the next one changes nothing. Three rules
shape it: what can't be accepted leaves the children exactly as they are; a spec that was repaired is applied whatever
state the broken rollout is in; and nothing is remembered but in the cluster (annotations of the Deployment, attempts of
resolver Jobs, the status itself for what is only shown).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from berth_api.arguments import engine_arguments
from berth_api.artifact import EngineType
from berth_api.conditions import Reason
from berth_api.errors import FieldError, InvalidSpec, UnsupportedModel
from berth_api.manifest import parse_object
from berth_api.meta import GROUP
from berth_api.model import Model
from berth_api.names import LABEL_LOADING
from berth_api.support import unsupported_fields
from berth_kube.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    NETWORK_POLICIES,
    PERSISTENT_VOLUME_CLAIMS,
    SERVICES,
    Object,
    key_of,
    uid_of,
)
from berth_operator.children.claim import is_retained
from berth_operator.children.metadata import is_leaving, is_owned
from berth_operator.children.names import child_identities, engine_name
from berth_operator.children.network_policy import build_loading_policy
from berth_operator.conditions import read_model_status
from berth_operator.engine_plan import EnginePlan, plan_engine
from berth_operator.facts import ModelFacts
from berth_operator.failures import refused_fields
from berth_operator.model_names import name_complaints, name_note
from berth_operator.model_report import report_model
from berth_operator.placement import Hardware, candidates
from berth_operator.plan import Apply, Delete, Plan, Unlabel
from berth_operator.pods import engine_of, fetch_of, has_loaded, is_ready
from berth_operator.resolution import pinned_digest, questions_of, shown_resolution
from berth_operator.resolving import Memory, Resolving, plan_resolutions
from berth_operator.rollout import Rollout, observe_rollout
from berth_operator.settings import OperatorSettings
from berth_operator.verdict import Scene, Verdict

DEVICES_SECONDS: Final = 30.0
"""How often a Model whose pods wait for GPUs is looked at: those that others give back may be of another profile."""
POLL_SECONDS: Final = 2.0
"""How often pods that are under way are asked how far they have come."""
_SWEPT: Final = {one.kind: one for one in (DEPLOYMENTS, SERVICES, DISRUPTION_BUDGETS, NETWORK_POLICIES, DAEMON_SETS)}
"""Kinds of which a Model may want an object at one time and none at another."""


def plan_model(facts: ModelFacts, settings: OperatorSettings, now: datetime) -> Plan:
    """The plan for one Model. Its status is None where the one that it shows is right already."""
    if is_leaving(facts.document):
        return Plan()  # The children's owner references do the rest.
    scene = Scene(facts, observe_rollout(_own_deployment(facts)), settings, now)
    verdict = _consider(scene)
    report = report_model(verdict, scene)
    return Plan(
        writes=tuple(write for write in verdict.writes if not _is_on_its_way_out(write, facts)),
        deletes=(*verdict.deletes, *_unwanted(verdict, facts)),
        unlabels=tuple(_unlabels(facts)),
        status=report.status,
        notices=report.notices,
        again_after_seconds=_again_after(verdict, scene),
    )


def _consider(scene: Scene) -> Verdict:
    """Judge in the order of the conditions, and stop where nothing more can be known."""
    facts = scene.facts
    try:
        model = _parse(facts.document)
    except InvalidSpec as invalid:
        return Verdict(errors=invalid.errors)
    complaints = (*refused_fields(facts.failures), *name_complaints(model, facts.claims))
    verdict = Verdict(model, complaints=complaints, note=name_note(model, facts.claims))
    errors = (*unsupported_fields(model), *_early_errors(model, scene.settings), *_taken(model, facts))
    if errors:
        return replace(verdict, errors=errors)
    shown = shown_resolution(model.spec, read_model_status(facts.document), model.metadata.generation)
    memory = Memory(scene.rollout.resolution, shown, scene.rollout.extras)
    resolving = plan_resolutions(model, memory, facts, scene.settings, scene.now)
    verdict = replace(verdict, resolving=resolving)
    if resolving.resolution is None:
        complaints += _complaints_of_source(resolving)
        return replace(verdict, complaints=complaints, first_writes=(_loading_policy(model),))
    return _consider_engine(verdict, model, resolving, scene)


def _consider_engine(verdict: Verdict, model: Model, resolving: Resolving, scene: Scene) -> Verdict:
    assert resolving.resolution is not None
    hardware = Hardware(scene.facts.nodes, scene.facts.device_pods)
    try:
        engine = plan_engine(model, resolving, hardware, scene.rollout, scene.settings)
    except InvalidSpec as invalid:
        return replace(verdict, errors=invalid.errors)
    except UnsupportedModel as unsupported:
        remedy = "spec.source.uri must name a model that this version serves"
        return replace(
            verdict, errors=(FieldError("spec.source", str(unsupported), remedy, Reason.UNSUPPORTED_FORMAT),)
        )
    return replace(verdict, engine=engine, resolving=_keep_until_written(resolving, engine, scene.rollout))


def _keep_until_written(resolving: Resolving, engine: EnginePlan, rollout: Rollout) -> Resolving:
    """A resolver Job is deleted once what it found stands on the Deployment: until then it is the only memory."""
    known = (resolving.resolution, resolving.extras)
    is_written = rollout.resolution is not None and (rollout.resolution, rollout.extras) == known
    return resolving if is_written or not engine.writes else replace(resolving, deletes=())


def _parse(document: Object) -> Model:
    """The Model without its status, which is ours and must not make a spec invalid."""
    parsed = parse_object({name: part for name, part in document.items() if name != "status"})
    assert isinstance(parsed, Model)
    return parsed


def _early_errors(model: Model, settings: OperatorSettings) -> tuple[FieldError, ...]:
    """What is wrong whatever the source turns out to hold: nobody should wait for that to be told."""
    spec = model.spec
    checks: list[Callable[[], object]] = [
        partial(pinned_digest, question.source, question.path) for question in questions_of(model)
    ]
    if spec.accelerator is not None:
        checks.append(partial(candidates, spec.accelerator, settings.profiles))
    if spec.engine.type is not EngineType.AUTO:
        checks.append(partial(engine_arguments, spec.engine.type, spec.engine.args))
    return tuple(error for check in checks for error in _errors_of(check))


def _errors_of(check: Callable[[], object]) -> tuple[FieldError, ...]:
    try:
        check()
    except InvalidSpec as invalid:
        return invalid.errors
    return ()


def _complaints_of_source(resolving: Resolving) -> tuple[FieldError, ...]:
    refusal = resolving.refusal
    if refusal is None or not refusal.is_of_the_spec:
        return ()
    return (FieldError(resolving.path, refusal.message, "correct it, or name another source", refusal.reason),)


def _taken(model: Model, facts: ModelFacts) -> Iterator[FieldError]:
    """Objects at our children's names that are neither ours nor about to go."""
    for identity in child_identities(model.metadata.name):
        found = facts.children.get(identity)
        if found is not None and not _is_ours(identity, found, facts.document) and not _is_left_over(found, model):
            kind, name = identity
            message = f"the {kind} {name} is there already, and it is not this Model's"
            remedy = f"delete or rename that {kind}, or give the Model another name"
            yield FieldError("metadata.name", message, remedy, Reason.CHILD_NAME_TAKEN)


def _is_left_over(found: Object, model: Model) -> bool:
    """Whether it was the child of a Model that had this name before: the garbage collector is about to take it."""
    owners = found["metadata"].get("ownerReferences") or ()
    return is_leaving(found) or any(_is_forerunner(owner, model) for owner in owners)


def _is_forerunner(owner: Mapping[str, Any], model: Model) -> bool:
    """Whether an owner is an earlier Model of this name. Others have a kind Model too, and nobody collects theirs."""
    is_model = owner.get("kind") == model.kind and str(owner.get("apiVersion", "")).startswith(f"{GROUP}/")
    return is_model and owner.get("name") == model.metadata.name and owner.get("uid") != model.metadata.uid


def _own_deployment(facts: ModelFacts) -> Object | None:
    found = facts.children.get(("Deployment", engine_name(facts.document["metadata"]["name"])))
    return found if found is not None and is_owned(found, uid_of(facts.document)) else None


def _is_on_its_way_out(write: Apply, facts: ModelFacts) -> bool:
    """An apply over an object that is being deleted succeeds and is lost; the event of its end brings us back."""
    identity = write.resource.kind, write.body["metadata"]["name"]
    found = facts.children.get(identity)
    return found is not None and (is_leaving(found) or not _is_ours(identity, found, facts.document))


def _is_ours(identity: tuple[str, str], found: Object, document: Object) -> bool:
    """Whether an object at a child's name is the Model's: owned by it, or a claim that one of its name has left."""
    if is_owned(found, uid_of(document)):
        return True
    return identity[0] == PERSISTENT_VOLUME_CLAIMS.kind and is_retained(found, document["metadata"]["name"])


def _loading_policy(model: Model) -> Apply:
    return Apply(NETWORK_POLICIES, build_loading_policy(model))


def _unwanted(verdict: Verdict, facts: ModelFacts) -> Iterator[Delete]:
    """Children that were wanted once. Nothing is swept unless all that is wanted is known."""
    if verdict.engine is None or not verdict.engine.writes:
        return
    wanted = {(write.resource.kind, write.body["metadata"]["name"]) for write in verdict.writes}
    for (kind, name), found in sorted(facts.children.items()):
        is_ours = is_owned(found, uid_of(facts.document)) and not is_leaving(found)
        if kind in _SWEPT and is_ours and (kind, name) not in wanted:
            yield Delete(_SWEPT[kind], key_of(found), uid_of(found))


def _unlabels(facts: ModelFacts) -> Iterator[Unlabel]:
    for pod in (*facts.pods, *facts.members):
        if has_loaded(pod) and not is_leaving(pod):
            yield Unlabel(key_of(pod), uid_of(pod), LABEL_LOADING)


def _again_after(verdict: Verdict, scene: Scene) -> float | None:
    """Another look, where no event will tell: pods have progress to ask for, a back-off ends, a GPU becomes free."""
    waits = [POLL_SECONDS] if any(_can_be_asked(pod) for pod in scene.facts.pods) else []
    if verdict.engine is not None and verdict.engine.placement.has_free is False:
        waits += [DEVICES_SECONDS] if scene.rollout.ready < verdict.wanted else []
    if verdict.resolving is not None and verdict.resolving.again_after_seconds is not None:
        waits.append(verdict.resolving.again_after_seconds)
    return min(waits, default=None)


def _can_be_asked(pod: Object) -> bool:
    if is_ready(pod) or is_leaving(pod):
        return False
    return any(container is not None and container.is_running for container in (fetch_of(pod), engine_of(pod)))
