"""What is known when a plan is made: snapshots of the caches and of what was asked over HTTP. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from berth_api.claims import Claims
from berth_api.model import Model
from berth_kube.errors import ClusterError
from berth_kube.resources import Key, Object


@dataclass(frozen=True)
class PodProgress:
    """What a pod that is not Ready says about itself: the answers of the loader's and the runtime's HTTP ports.

    `loader` is the JSON of `/progress` of the init container, `runtime` that of `/status` of the engine; None where it
    was not asked or did not answer.
    """

    loader: Object | None = None
    runtime: Object | None = None


@dataclass(frozen=True)
class GatewayReport:
    """What one gateway replica says it serves: the generation of each ModelRoute by key; None where it did not answer.

    Generations go with UIDs, so that an object made anew under an old name is not taken for its forerunner.
    """

    pod: str
    routes: Mapping[str, tuple[str, int]] | None = None


@dataclass(frozen=True)
class ModelFacts:
    """Everything about one Model. `document` is the object as the API server has it.

    `children` holds the objects at the names of the Model's children by (kind, name), ours or not. `pods` are the
    engine's pods, `members` those that compute with the head of a group, `jobs` the resolver Jobs of this Model,
    `job_pods` their pods, `prefetch_pods` those that have its image on nodes. `nodes` is None where we may not see
    nodes; `device_pods` are the pods of all Models that compute and have a node, for counting the devices that are
    free. `failures` are child writes that failed and were not repaired since, by (kind, name).
    """

    document: Object
    claims: Claims = field(default_factory=Claims)
    children: Mapping[tuple[str, str], Object] = field(default_factory=dict)
    pods: tuple[Object, ...] = ()
    members: tuple[Object, ...] = ()
    jobs: tuple[Object, ...] = ()
    job_pods: tuple[Object, ...] = ()
    prefetch_pods: tuple[Object, ...] = ()
    nodes: tuple[Object, ...] | None = None
    device_pods: tuple[Object, ...] = ()
    progress: Mapping[str, PodProgress] = field(default_factory=dict)
    failures: Mapping[tuple[str, str], ClusterError] = field(default_factory=dict)


@dataclass(frozen=True)
class RouteFacts:
    """Everything about one ModelRoute. `models` are the Models that it may mean, by `namespace/name`, parsed."""

    document: Object
    claims: Claims = field(default_factory=Claims)
    models: Mapping[str, Model] = field(default_factory=dict)
    gateways: tuple[GatewayReport, ...] = ()


def first_model(progress: PodProgress) -> Object:
    """What the runtime says of its one model; empty where it said nothing, or nothing that makes sense."""
    models = (progress.runtime or {}).get("models")
    first = models[0] if isinstance(models, list) and models else None
    return first if isinstance(first, Mapping) else {}


def key_text(key: Key) -> str:
    """`namespace/name`, as claims and the gateway write it."""
    return f"{key.namespace}/{key.name}"
