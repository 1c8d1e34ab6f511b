"""Everything that Berth made in a namespace, without what differs from run to run: times, UIDs, addresses, counters."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from berth_kube.resources import DEPLOYMENTS, DISRUPTION_BUDGETS, JOBS, NETWORK_POLICIES, PODS, SERVICES, Resource
from e2e.support.objects import MODELS, ROUTES, Objects, condition_of, is_true, name_of
from e2e.support.until import until

KINDS = (MODELS, ROUTES, DEPLOYMENTS, SERVICES, NETWORK_POLICIES, DISRUPTION_BUDGETS, JOBS)
# A killed operator may make one rollout of two edits, so revisions and what counts them are not compared.
PASSING = frozenset(
    {
        *("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "lastTransitionTime"),
        *("observedGeneration", "lastUpdateTime", "time", "clusterIP", "clusterIPs", "milliseconds", "lastFailure"),
        # Of the hash, the owner's UID and the namespace are a part; what else it is made of stands beside it.
        *(
            "berth.dev/applied-hash",
            "deployment.kubernetes.io/revision",
            "kubectl.kubernetes.io/last-applied-configuration",
        ),
        "stages",
    }
)
SETTLE_SECONDS = 90.0


def settled_state(objects: Objects, namespace: str) -> str:
    """The state once every Model is Ready and every pod is in its place, as JSON by kind and name."""
    until(lambda: _is_settled(objects, namespace), seconds=SETTLE_SECONDS, what=f"everything in {namespace} is settled")
    found = {name: _lasting(obj) for name, obj in _objects(objects, namespace)}
    counted = Counter(pod["metadata"]["labels"]["berth.dev/model"] for pod in _pods(objects, namespace))
    text = json.dumps({**found, "pods": dict(sorted(counted.items()))}, sort_keys=True)
    return text.replace(f'"{namespace}"', '"NAMESPACE"').replace(f"{namespace}/", "NAMESPACE/")


def differences(wanted: str, found: str) -> str:
    """Where two states differ, a line for each value."""
    ours, theirs = dict(_leaves(json.loads(wanted), "")), dict(_leaves(json.loads(found), ""))
    return "\n".join(
        f"{path}: {ours.get(path)!r} is {theirs.get(path)!r}"
        for path in sorted({*ours, *theirs})
        if ours.get(path) != theirs.get(path)
    )


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _leaves(part, f"{path}.{key}")
    elif isinstance(value, list) and value:
        for index, part in enumerate(value):
            yield from _leaves(part, f"{path}[{index}]")
    else:
        yield path, value


def _objects(objects: Objects, namespace: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for kind in KINDS:
        for obj in objects.items(kind, namespace):
            # What Kubernetes itself says of a child is not ours, and comes in any order.
            said = obj if kind in (MODELS, ROUTES) else {part: obj[part] for part in obj if part != "status"}
            yield f"{kind.kind}/{name_of(obj)}", said


def _pods(objects: Objects, namespace: str) -> list[dict[str, Any]]:
    return [pod for pod in objects.items(PODS, namespace) if "deletionTimestamp" not in pod["metadata"]]


def _is_settled(objects: Objects, namespace: str) -> bool:
    models, routes = objects.items(MODELS, namespace), objects.items(ROUTES, namespace)
    wanted = sum(model["spec"]["replicas"] for model in models)
    pods = objects.items(PODS, namespace)
    return (
        all(is_true(model, "Ready") and _is_complete_model(model) for model in models)
        and all(is_true(route, "Programmed") for route in routes)
        and all(_is_complete(objects, namespace, kind) for kind in (DEPLOYMENTS,))
        and len(pods) == wanted
    )


def _is_complete_model(model: Mapping[str, Any]) -> bool:
    progressing, status = condition_of(model, "Progressing") or {}, model["status"]
    counts = (status.get("replicas", 0), status.get("readyReplicas", 0))
    return progressing.get("reason") == "Complete" and counts == (model["spec"]["replicas"],) * 2


def _is_complete(objects: Objects, namespace: str, kind: Resource) -> bool:
    return all(
        deployment.get("status", {}).get("observedGeneration") == deployment["metadata"]["generation"]
        and deployment["status"].get("readyReplicas", 0) == deployment["spec"]["replicas"]
        for deployment in objects.items(kind, namespace)
    )


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(part) for key, part in value.items() if key not in PASSING}
    if isinstance(value, list):
        return [_lasting(part) for part in value]
    return value
