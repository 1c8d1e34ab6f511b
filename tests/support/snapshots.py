"""Builders of snapshots for the gateway's tests: manifests as users write them, through the real build."""

from collections.abc import Mapping, Sequence
from typing import Any

from model_builders import a_backend, a_model, a_route

from berth_api.model import Model
from berth_api.route import ModelRoute
from berth_gateway.snapshot import Endpoint, ModelState, Phase, Snapshot, build_snapshot

model, backend = a_model, a_backend


def route(name: str, *rules: Mapping[str, Any], names: Sequence[str] = (), namespace: str = "default") -> ModelRoute:
    """A ModelRoute of these rules; its name is what clients send unless `names` says otherwise."""
    return a_route(name, names=names, namespace=namespace, rules=list(rules))


def fallback(name: str) -> dict[str, Any]:
    """One entry of a rule's `fallbacks`."""
    return {"backendRef": {"name": name}}


def header(name: str, value: str) -> dict[str, Any]:
    """A rule's `match` on one header."""
    return {"headers": [{"name": name, "value": value}]}


def ready(*endpoints: Endpoint) -> ModelState:
    """The state of a Model that answers at `endpoints`, or at one made up."""
    return ModelState(Phase.READY, endpoints or (Endpoint("127.0.0.1", 9001),))


def snapshot_of(*objects: Model | ModelRoute, states: Mapping[str, ModelState] | None = None) -> Snapshot:
    """A snapshot of these manifests. `states` goes by `namespace/name`, or by the bare name in `default`."""
    qualified = {name if "/" in name else f"default/{name}": state for name, state in (states or {}).items()}
    models = [thing for thing in objects if isinstance(thing, Model)]
    routes = [thing for thing in objects if isinstance(thing, ModelRoute)]
    return build_snapshot(models, routes, qualified)
