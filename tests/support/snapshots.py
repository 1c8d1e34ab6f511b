"""Builders of snapshots for the gateway's tests: manifests as users write them, through the real build."""

from collections.abc import Mapping, Sequence
from typing import Any

from berth_api.manifest import parse_object
from berth_api.model import Model
from berth_api.route import ModelRoute
from berth_gateway.snapshot import Endpoint, ModelState, Phase, Snapshot, build_snapshot


def model(name: str, *, namespace: str = "default", **spec: Any) -> Model:
    """A Model manifest with `spec` on top of the least that it needs."""
    parsed = parse_object(
        {
            "apiVersion": "berth.dev/v1alpha1",
            "kind": "Model",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"source": {"uri": f"oci://localhost/{name}"}} | spec,
        }
    )
    assert isinstance(parsed, Model)
    return parsed


def route(name: str, *rules: Mapping[str, Any], names: Sequence[str] = (), namespace: str = "default") -> ModelRoute:
    """A ModelRoute manifest; its name is what clients send unless `names` says otherwise."""
    parsed = parse_object(
        {
            "apiVersion": "berth.dev/v1alpha1",
            "kind": "ModelRoute",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"names": list(names) or [name], "rules": list(rules)},
        }
    )
    assert isinstance(parsed, ModelRoute)
    return parsed


def backend(name: str, weight: int = 1, *, namespace: str = "") -> dict[str, Any]:
    """One entry of a rule's `backends`."""
    return {"backendRef": {"name": name, "namespace": namespace}, "weight": weight}


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
