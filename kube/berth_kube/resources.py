"""The kinds of the API that Berth touches, and the URL paths at which they live."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

Object = Mapping[str, Any]
"""An object as the API server writes it in JSON."""


class Key(NamedTuple):
    """Where an object lives; `namespace` is empty for what belongs to the cluster."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True)
class Resource:
    """One kind: `group` is empty for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As it stands in manifests: `apps/v1`, `v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, key: Key | None = None, *, namespace: str | None = None, subresource: str = "") -> str:
        """The URL path of one object (`key`), of a namespace's collection, or of all objects of the kind."""
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        where = key.namespace if key is not None else namespace
        parts = [base]
        if self.namespaced and where:
            parts += ["namespaces", quote(where, safe="")]
        parts.append(self.plural)
        if key is not None:
            parts.append(quote(key.name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet")
JOBS = Resource("batch", "v1", "jobs", "Job")
PODS = Resource("", "v1", "pods", "Pod")
SERVICES = Resource("", "v1", "services", "Service")
PERSISTENT_VOLUME_CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
DISRUPTION_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")


def key_of(obj: Object) -> Key:
    """The key of an object that was read."""
    return Key(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


def uid_of(obj: Object) -> str:
    """The UID of an object that was read; empty where there is none."""
    return str(obj["metadata"].get("uid", ""))
