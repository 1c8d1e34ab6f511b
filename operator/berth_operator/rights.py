"""What the operator may do at the API server, as data: the chart's roles say the same, and a test tries both.

No Secrets, no exec, no wildcard. Server-side apply asks for `patch`, and for `create` where the object is missing.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from berth_kube.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    EVENTS,
    JOBS,
    LEASES,
    NETWORK_POLICIES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SERVICES,
    Resource,
)
from berth_operator.subject import MODEL_ROUTES, MODELS

Rights = Mapping[Resource, tuple[str, ...]]
"""Verbs by kind; a subresource stands behind the kind's plural."""


def _sub(resource: Resource, subresource: str) -> Resource:
    return replace(resource, plural=f"{resource.plural}/{subresource}")


_KEPT: Final = ("get", "list", "watch", "create", "patch")
"""`get` asks whether a name is taken by somebody else."""

RIGHTS: Final[Rights] = {
    MODELS: ("list", "watch"),
    MODEL_ROUTES: ("list", "watch"),
    _sub(MODELS, "status"): ("patch",),
    _sub(MODEL_ROUTES, "status"): ("patch",),
    # Owner references that block deletion ask for this where that admission plugin is on.
    _sub(MODELS, "finalizers"): ("update",),
    DEPLOYMENTS: (*_KEPT, "delete"),
    DAEMON_SETS: (*_KEPT, "delete"),
    SERVICES: (*_KEPT, "delete"),
    PERSISTENT_VOLUME_CLAIMS: _KEPT,
    NETWORK_POLICIES: (*_KEPT, "delete"),
    DISRUPTION_BUDGETS: (*_KEPT, "delete"),
    JOBS: (*_KEPT, "delete"),
    PODS: ("list", "watch", "patch"),
    EVENTS: ("create", "patch"),
}
"""In every namespace that is watched."""

HOME_RIGHTS: Final[Rights] = {
    LEASES: ("create", "get", "update"),
    PODS: ("list", "watch"),
}
"""In the namespace of the release: the Lease, and the gateway's replicas. `get` and `update` reach our Lease only."""

NODE_RIGHTS: Final[Rights] = {NODES: ("list", "watch")}
"""In the whole cluster, where the settings say `readNodes`."""
