"""What the API server holds of the three kinds that the gateway reads, kept up to date. Used by cluster.py."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from berth_gateway.declared import trim_object
from berth_gateway.rights import MODEL_ROUTES, MODELS, RIGHTS
from berth_gateway.served import Documents
from berth_gateway.slices import SELECTOR, trim_slice
from berth_kube.backoff import Backoff
from berth_kube.cluster import Cluster, Scope
from berth_kube.reflector import Reflector
from berth_kube.resources import ENDPOINT_SLICES, Object, Resource
from berth_kube.store import ObjectStore

_KEEP: Mapping[Resource, Callable[[Object], Object]] = {
    MODELS: trim_object,
    MODEL_ROUTES: trim_object,
    ENDPOINT_SLICES: trim_slice,
}
_LABELS: Mapping[Resource, str] = {ENDPOINT_SLICES: SELECTOR}


class Watch(NamedTuple):
    """One kind in one namespace, or in all where it is empty."""

    namespace: str
    reflector: Reflector


class Intake:
    """Reflectors for each kind in each namespace (none given: in all); `on_change` is called after every change."""

    def __init__(self, cluster: Cluster, namespaces: Sequence[str], on_change: Callable[[], None]) -> None:
        self._stores = {resource: ObjectStore() for resource in RIGHTS}
        self.watches = tuple(
            Watch(namespace, self._reflector(cluster, resource, namespace, on_change))
            for resource in RIGHTS
            for namespace in namespaces or ("",)
        )

    def _reflector(
        self, cluster: Cluster, resource: Resource, namespace: str, on_change: Callable[[], None]
    ) -> Reflector:
        return Reflector(
            cluster,
            resource,
            Scope(namespace=namespace, labels=_LABELS.get(resource, "")),
            self._stores[resource],
            lambda _old, _new: on_change(),
            keep=_KEEP[resource],
            # After an outage the news of minutes wait, and three questions each few seconds are nothing to a server.
            backoff=Backoff(most_seconds=4.0),
        )

    @property
    def is_synced(self) -> bool:
        """Whether everything was read once."""
        return all(watch.reflector.synced.is_set() for watch in self.watches)

    @property
    def troubles(self) -> dict[str, str]:
        """What keeps kinds from being read now, by kind."""
        reflectors = (watch.reflector for watch in self.watches)
        return {reflector.resource.plural: reflector.trouble for reflector in reflectors if reflector.trouble}

    async def wait_synced(self) -> None:
        """Return when everything was read once."""
        await asyncio.gather(*(watch.reflector.synced.wait() for watch in self.watches))

    def ages_seconds(self) -> dict[str, float]:
        """How long ago the API server said anything of a kind, by kind; the oldest of its namespaces."""
        now, ages = time.monotonic(), dict.fromkeys((resource.plural for resource in RIGHTS), 0.0)
        for _, reflector in self.watches:
            plural = reflector.resource.plural
            ages[plural] = max(ages[plural], reflector.age_seconds(now))
        return ages

    def documents(self) -> Documents:
        """All of it as it is now."""
        models, routes, slices = (
            tuple(self._stores[kind].values()) for kind in (MODELS, MODEL_ROUTES, ENDPOINT_SLICES)
        )
        return Documents(models, routes, slices)
