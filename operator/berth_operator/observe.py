"""From caches, pods and gateways to facts: what plans are made of. Used by reconcile.py."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from berth_kube.cluster import Cluster
from berth_kube.errors import NotFound
from berth_kube.reflector import without_managed_fields
from berth_kube.resources import JOBS, Key, Object
from berth_operator.attempts import ChildRef, Failures, ref_of
from berth_operator.caches import Caches
from berth_operator.declared import Declared
from berth_operator.facts import ModelFacts, RouteFacts
from berth_operator.gateway_reports import GatewayReports
from berth_operator.plan import Apply
from berth_operator.pod_reports import PodReports
from berth_operator.subject import Kind, Subject
from berth_operator.trim import is_engine, is_member, is_prefetch, is_resolver


class Observer:
    """Reads; it writes nothing."""

    def __init__(
        self,
        cluster: Cluster,
        declared: Declared,
        caches: Caches,
        *,
        pods: PodReports,
        gateways: GatewayReports,
        failures: Failures,
    ) -> None:
        self._cluster = cluster
        self._declared = declared
        self._caches = caches
        self._pods = pods
        self._gateways = gateways
        self._failures = failures

    async def model(self, key: Key, now: datetime) -> ModelFacts | None:
        """What is known of a Model; None where it is gone or about to be, and nothing is to be done."""
        subject = Subject(Kind.MODEL, key)
        document = self._document(subject)
        if document is None:
            self._pods.forget(key)
            self._failures.forget(subject)
            return None
        children = self._caches.children_of(key)
        pods = self._caches.pods_of(key)
        engine = tuple(pod for pod in pods if is_engine(pod))
        return ModelFacts(
            document=document,
            claims=self._declared.claims_of(subject),
            children=children,
            pods=engine,
            members=tuple(pod for pod in pods if is_member(pod)),
            jobs=tuple(child for (kind, _), child in sorted(children.items()) if kind == JOBS.kind),
            job_pods=tuple(pod for pod in pods if is_resolver(pod)),
            prefetch_pods=tuple(pod for pod in pods if is_prefetch(pod)),
            nodes=None if self._caches.nodes is None else tuple(self._caches.nodes.values()),
            # All pods of the cluster are much to hand over to whom they do not concern.
            device_pods=self._caches.device_pods() if (document.get("spec") or {}).get("accelerator") else (),
            progress=await self._pods.read(key, engine, now),
            failures=self._failures.of(subject),
        )

    async def route(self, key: Key) -> RouteFacts | None:
        """What is known of a ModelRoute; None where it is gone or about to be."""
        subject = Subject(Kind.ROUTE, key)
        document = self._document(subject)
        if document is None:
            return None
        return RouteFacts(
            document=document,
            claims=self._declared.claims_of(subject),
            models=self._declared.models_of(subject),
            gateways=await self._gateways.read(),
        )

    async def look_up(self, writes: Sequence[Apply], known: Mapping[ChildRef, Object]) -> dict[ChildRef, Object]:
        """What stands at the names of `writes` that no cache knows: objects of others, or ours, not yet heard of.

        Caches see what carries our labels. Before something is written over a name, the name itself has to be asked.
        """
        found: dict[ChildRef, Object] = {}
        for write in writes:
            ref = ref_of(write.body)
            if ref in known:
                continue
            try:
                there = await self._cluster.get(write.resource, Key(write.body["metadata"]["namespace"], ref[1]))
            except NotFound:
                continue
            found[ref] = without_managed_fields(there)
        return found

    def _document(self, subject: Subject) -> Object | None:
        declaration = self._declared.find(subject)
        if declaration is None or declaration.document["metadata"].get("deletionTimestamp"):
            return None
        return declaration.document
