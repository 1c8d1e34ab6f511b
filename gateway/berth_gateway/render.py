"""From a snapshot to Envoy's dynamic configuration: pure, as JSON values. Used by agent.py and by the golden tests."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from berth_gateway.clusters import model_cluster, model_endpoints
from berth_gateway.part import Part, Parts, made
from berth_gateway.routes import name_entries, route_table
from berth_gateway.settings import GatewaySettings
from berth_gateway.snapshot import ServedModel, Snapshot


@dataclass(frozen=True)
class Resources:
    """What is sent to Envoy: clusters and endpoints by the Model's key, and the route table's entries by name."""

    clusters: Parts
    endpoints: Parts
    names: Parts

    @property
    def routes(self) -> dict[str, Any]:
        """The route table with its entries."""
        return route_table(made(self.names))


def render(snapshot: Snapshot, settings: GatewaySettings) -> Resources:
    """The configuration that serves `snapshot`."""
    models = sorted(snapshot.models.items())
    agent_socket = str(settings.agent_socket)
    return Resources(
        clusters={key: Part(key, partial(model_cluster, model)) for key, model in models},
        endpoints={key: _endpoints(model, agent_socket) for key, model in models},
        names=name_entries(snapshot),
    )


def _endpoints(model: ServedModel, agent_socket: str) -> Part:
    # What a Model says of its progress is the agent's to tell, and nothing to Envoy.
    source = (model.key, model.state.endpoints, model.answers, agent_socket)
    return Part(source, partial(model_endpoints, model, agent_socket))
