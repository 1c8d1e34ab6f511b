"""The condition `Prefetched`: how many of the nodes that may run a Model have its image."""

from collections.abc import Iterator, Sequence
from typing import Final

from berth_api.conditions import Condition, ConditionType, Reason
from berth_api.model import Model
from berth_kube.resources import DAEMON_SETS, Object, uid_of
from berth_operator.children.metadata import is_leaving, is_owned
from berth_operator.children.names import PREFETCH_CONTAINER, prefetch_name
from berth_operator.conditions import holds, not_holds
from berth_operator.facts import ModelFacts
from berth_operator.findings import Circumstances, Finding, Rule
from berth_operator.pod_rules import image_not_mounted, image_not_pulled, not_created
from berth_operator.pods import container_of, oldest_first
from berth_operator.words import counted

_ABOUT_TO: Final = "the nodes are about to be asked"
_COUNTS: Final = ("observedGeneration", "desiredNumberScheduled", "numberReady", "updatedNumberScheduled")
_QUOTED_MAX: Final = 1024


def describe_prefetch(model: Model, facts: ModelFacts) -> Iterator[Condition]:
    """What to say of it; nothing where the Model does not ask for it."""
    if model.spec.cache.prefetch:
        daemon_set = facts.children.get((DAEMON_SETS.kind, prefetch_name(model.metadata.name)))
        is_ours = daemon_set is not None and is_owned(daemon_set, uid_of(facts.document))
        yield _describe(daemon_set, facts.prefetch_pods) if daemon_set and is_ours else _not_yet(_ABOUT_TO)


def _describe(daemon_set: Object, pods: Sequence[Object]) -> Condition:
    status = daemon_set.get("status") or {}
    seen, wanted, ready, updated = (int(status.get(name) or 0) for name in _COUNTS)
    if seen < int(daemon_set["metadata"].get("generation") or 0):
        return _not_yet(_ABOUT_TO)
    if not wanted:
        return not_holds(ConditionType.PREFETCHED, Reason.NO_SUCH_NODE, "there is no node that may run the Model")
    said = f"the image is on {min(ready, updated)} of {counted(wanted, 'node')}"
    if ready >= wanted and updated >= wanted:
        return holds(ConditionType.PREFETCHED, said)
    trouble = _trouble(pods)
    if trouble is None:
        return _not_yet(said)
    return not_holds(ConditionType.PREFETCHED, trouble.reason, f"{said}; {trouble.message}")


def _not_yet(message: str) -> Condition:
    return not_holds(ConditionType.PREFETCHED, Reason.PREFETCHING, message)


def _trouble(pods: Sequence[Object]) -> Finding | None:
    """The first that is wrong with any pod, the oldest first; it says on which node."""
    for pod in oldest_first(one for one in pods if not is_leaving(one)):
        for rule in _RULES:
            found = rule(pod, Circumstances())
            if found is not None:
                return Finding(found.reason, f"on {pod['spec'].get('nodeName', 'no node yet')}: {found.message}")
    return None


def _empty(pod: Object, _: Circumstances) -> Finding | None:
    """The container looked into the volume and ended, with a sentence."""
    container = container_of(pod, PREFETCH_CONTAINER)
    if container is None or container.ended is None or not container.ended.code or container.is_running:
        return None
    said = container.ended.message.strip()[-_QUOTED_MAX:] or f"it ended with status {container.ended.code}"
    return Finding(Reason.NO_MODEL_IN_SOURCE, said)


_RULES: Final[tuple[Rule, ...]] = (image_not_mounted, image_not_pulled, not_created, _empty)
