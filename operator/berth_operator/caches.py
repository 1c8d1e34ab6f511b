"""The objects around Models as reflectors keep them, by the Model that they belong to. A change wakes that Model.

Read by observe.py; every reflector's task is started by process.py. Followers keep them warm, too.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from berth_api.meta import GROUP
from berth_api.names import LABEL_COMPONENT, LABEL_MANAGED_BY, LABEL_MODEL, LABEL_NAME, MANAGED_BY
from berth_kube.cluster import Cluster, Scope
from berth_kube.reflector import OnChange, Reflector, keep_whole
from berth_kube.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    JOBS,
    NETWORK_POLICIES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SERVICES,
    Key,
    Object,
    Resource,
    key_of,
)
from berth_kube.store import ObjectStore
from berth_operator.settings import OperatorSettings
from berth_operator.trim import is_engine, is_member, is_same, keep_gateway_pod, keep_node, keep_pod

OURS: Final = f"{LABEL_MANAGED_BY}={MANAGED_BY}"
CHILDREN: Final = (
    *(DEPLOYMENTS, SERVICES, DISRUPTION_BUDGETS, NETWORK_POLICIES, PERSISTENT_VOLUME_CLAIMS),
    *(DAEMON_SETS, JOBS),
)
GATEWAY_PODS: Final = f"{LABEL_NAME}={MANAGED_BY},{LABEL_COMPONENT}=gateway"


@dataclass(frozen=True)
class Wake:
    """Whom changes are told: a Model by its key; whoever cares for nodes; whoever cares for the gateway's replicas."""

    model: Callable[[Key], None]
    nodes: Callable[[], None]
    gateways: Callable[[], None]


class Caches:
    """All stores, their reflectors, and the index from a Model to what is its own."""

    def __init__(self, cluster: Cluster, settings: OperatorSettings, wake: Wake, clock: Callable[[], float]) -> None:
        self.nodes: ObjectStore | None = ObjectStore() if settings.read_nodes else None
        self.gateway_pods = ObjectStore()
        self.reflectors: list[Reflector] = []
        self._stores = {resource: ObjectStore() for resource in (*CHILDREN, PODS)}
        self._owned: defaultdict[Key, set[tuple[Resource, Key]]] = defaultdict(set)
        self._wake = wake
        namespaces = settings.watch_namespaces or ("",)
        for resource, store in self._stores.items():
            labels, keep = (LABEL_MODEL, keep_pod) if resource is PODS else (OURS, keep_whole)
            on_change = partial(self._changed, resource)
            for namespace in namespaces:
                scope = Scope(namespace, labels)
                self.reflectors.append(Reflector(cluster, resource, scope, store, on_change, keep=keep, now=clock))
        gateways, tell = Scope(settings.namespace, GATEWAY_PODS), _unless_same(wake.gateways)
        self.reflectors.append(
            Reflector(cluster, PODS, gateways, self.gateway_pods, tell, keep=keep_gateway_pod, now=clock)
        )
        if self.nodes is not None:
            tell = _unless_same(wake.nodes)
            self.reflectors.append(Reflector(cluster, NODES, Scope(), self.nodes, tell, keep=keep_node, now=clock))

    def children_of(self, model: Key) -> Mapping[tuple[str, str], Object]:
        """What belongs to a Model, by kind and name; without its pods."""
        return {
            (resource.kind, key.name): self._stores[resource][key]
            for resource, key in self._owned.get(model, ())
            if resource is not PODS
        }

    def pods_of(self, model: Key) -> tuple[Object, ...]:
        """All pods of a Model in the order of their names: those that compute, and those of Jobs and a DaemonSet."""
        keys = sorted(key for resource, key in self._owned.get(model, ()) if resource is PODS)
        return tuple(self._stores[PODS][key] for key in keys)

    def device_pods(self) -> tuple[Object, ...]:
        """The pods of all Models that compute and have a node: what they hold of it is not free."""
        pods = self._stores[PODS].values()
        return tuple(pod for pod in pods if (is_engine(pod) or is_member(pod)) and pod["spec"].get("nodeName"))

    def count(self) -> Iterator[tuple[str, int]]:
        """How many objects of each kind are known."""
        for resource, store in self._stores.items():
            yield resource.kind, len(store)
        if self.nodes is not None:
            yield NODES.kind, len(self.nodes)

    async def wait_until_synced(self) -> None:
        """Until every store held everything once."""
        for reflector in self.reflectors:
            await reflector.synced.wait()

    def ages_seconds(self, now: float) -> dict[str, float]:
        """How long ago anything was heard, by kind."""
        ages: dict[str, float] = {}
        for reflector in self.reflectors:
            kind = reflector.resource.kind
            ages[kind] = max(ages.get(kind, 0.0), reflector.age_seconds(now))
        return ages

    def unsynced(self) -> dict[str, str]:
        """The kinds of which not everything has come in yet, each with what went wrong last."""
        return {one.resource.kind: one.trouble for one in self.reflectors if not one.synced.is_set()}

    def troubles(self) -> dict[str, str]:
        """What goes wrong now, by kind."""
        return {one.resource.kind: one.trouble for one in self.reflectors if one.trouble}

    def _changed(self, resource: Resource, old: Object | None, new: Object | None) -> None:
        if is_same(old, new):
            return
        before, after = _model_of(old), _model_of(new)
        for obj, model in ((old, before), (new, after)):
            if obj is not None and model is not None:
                entry = resource, key_of(obj)
                (self._owned[model].discard if obj is old else self._owned[model].add)(entry)
        for model in {before, after} - {None}:
            if model is not None:
                self._forget_if_empty(model)
                self._wake.model(model)

    def _forget_if_empty(self, model: Key) -> None:
        if not self._owned[model]:
            del self._owned[model]


def _model_of(obj: Object | None) -> Key | None:
    """The Model that an object belongs to, by its label or by its owner."""
    if obj is None:
        return None
    metadata = obj["metadata"]
    name = (metadata.get("labels") or {}).get(LABEL_MODEL) or _owner(metadata.get("ownerReferences") or ())
    return Key(metadata["namespace"], name) if name else None


def _owner(references: Iterable[Object]) -> str:
    ours = (one for one in references if one["kind"] == "Model" and one["apiVersion"].startswith(f"{GROUP}/"))
    return next((str(one["name"]) for one in ours), "")


def _unless_same(tell: Callable[[], None]) -> OnChange:
    def on_change(old: Object | None, new: Object | None) -> None:
        if not is_same(old, new):
            tell()

    return on_change
