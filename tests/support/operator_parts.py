"""Parts for tests of the operator: a clock that stands still, objects of an API server, a planner by hand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fake_cluster import FakeCluster
from model_builders import a_manifest

from berth_api.names import ANNOTATION_APPLIED_HASH, model_labels
from berth_kube.resources import DEPLOYMENTS, Key, Object, Resource
from berth_operator.facts import ModelFacts, RouteFacts
from berth_operator.plan import Apply, Plan
from berth_operator.subject import MODEL_ROUTES, MODELS, Kind, Subject

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
QWEN = Key("default", "qwen")
QWEN_MODEL = Subject(Kind.MODEL, QWEN)


@dataclass
class Clock:
    """Monotonic seconds that pass when a test says so, or when something sleeps."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def pass_seconds(self, seconds: float) -> None:
        self.seconds += seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def put_model(cluster: FakeCluster, name: str = "qwen", **spec: Any) -> Object:
    """A Model in the cluster, as the API server gives it."""
    written = {"source": {"uri": f"oci://localhost/{name}:latest"}, **spec}
    return cluster.put(MODELS, a_manifest("Model", name, spec=written))


def put_route(cluster: FakeCluster, name: str = "chat", *, model: str = "qwen", **spec: Any) -> Object:
    """A ModelRoute with one backend in the cluster."""
    rule = {"backends": [{"backendRef": {"kind": "Model", "name": model}, "weight": 1}]}
    return cluster.put(MODEL_ROUTES, a_manifest("ModelRoute", name, spec={"names": [name], "rules": [rule], **spec}))


def a_child(
    owner: Object, *, resource: Resource = DEPLOYMENTS, name: str = "", wish: str = "1", **spec: Any
) -> dict[str, Any]:
    """A child of a Model as plans want it, with the hash `wish`."""
    metadata = owner["metadata"]
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {
            "name": name or f"{metadata['name']}-engine",
            "namespace": metadata["namespace"],
            "labels": model_labels(metadata["name"]),
            "annotations": {ANNOTATION_APPLIED_HASH: wish},
            "ownerReferences": [
                {
                    "apiVersion": "berth.dev/v1alpha1",
                    "kind": "Model",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                }
            ],
        },
        "spec": spec or {"replicas": 1},
    }


def a_pod(name: str = "qwen-1", *, model: str = "qwen", **status: Any) -> dict[str, Any]:
    """An engine's pod with an address."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-of-{name}", "labels": model_labels(model)},
        "spec": {"containers": [{"name": "engine", "image": "engine"}]},
        "status": {"podIP": "10.0.0.1", **status},
    }


def needs_apply(wanted: Object, found: Object | None) -> bool:
    """Whether the hashes differ, as drift.py asks first."""
    if found is None:
        return True
    annotations = [(one["metadata"].get("annotations") or {}) for one in (wanted, found)]
    return annotations[0].get(ANNOTATION_APPLIED_HASH) != annotations[1].get(ANNOTATION_APPLIED_HASH)


@dataclass
class HandPlanner:
    """Plans as a test writes them. By default each Model gets a Deployment, and a status that counts failures."""

    plan_model: Callable[[ModelFacts], Plan] = field(default_factory=lambda: plan_deployment)
    plan_route: Callable[[RouteFacts], Plan] = field(default_factory=lambda: lambda _: Plan())
    seen: list[ModelFacts | RouteFacts] = field(default_factory=list)

    def model(self, facts: ModelFacts, now: datetime) -> Plan:
        self.seen.append(facts)
        return self.plan_model(facts)

    def route(self, facts: RouteFacts, now: datetime) -> Plan:
        self.seen.append(facts)
        return self.plan_route(facts)


def plan_deployment(facts: ModelFacts) -> Plan:
    """One Deployment, and in the status what stands in the way of it."""
    wish = str(facts.document["metadata"]["generation"])
    status = {"failed": [f"{kind}/{name}" for kind, name in sorted(facts.failures)]}
    return Plan(writes=(Apply(DEPLOYMENTS, a_child(facts.document, wish=wish)),), status=status)


class Answers:
    """An `Ask` that has its answers in a table, and notes what it was asked."""

    def __init__(self, answers: Mapping[str, Object] | None = None) -> None:
        self.table = dict(answers or {})
        self.asked: list[str] = []

    async def __call__(self, url: str) -> Object | None:
        self.asked.append(url)
        return self.table.get(url)


class NoLimit:
    """A bucket that never waits."""

    async def acquire(self) -> None:
        return
