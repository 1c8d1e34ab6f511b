"""From a snapshot to Envoy's dynamic configuration: pure, as JSON values. Used by agent.py and by the golden tests."""

from dataclasses import dataclass
from typing import Any

from berth_gateway.clusters import model_cluster, model_endpoints
from berth_gateway.routes import Match, name_entries, route_table
from berth_gateway.settings import GatewaySettings
from berth_gateway.snapshot import Snapshot


@dataclass(frozen=True)
class Resources:
    """What is sent to Envoy: clusters and endpoints by the Model's key, and the route table's entries by name."""

    clusters: dict[str, dict[str, Any]]
    endpoints: dict[str, dict[str, Any]]
    names: dict[str, Match]

    @property
    def routes(self) -> dict[str, Any]:
        """The route table with its entries."""
        return route_table(self.names)


def render(snapshot: Snapshot, settings: GatewaySettings) -> Resources:
    """The configuration that serves `snapshot`."""
    models = sorted(snapshot.models.items())
    agent_socket = str(settings.agent_socket)
    return Resources(
        clusters={key: model_cluster(model) for key, model in models},
        endpoints={key: model_endpoints(model, agent_socket) for key, model in models},
        names=name_entries(snapshot),
    )
