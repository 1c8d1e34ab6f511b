"""What must hold for every snapshot, whatever its Models, routes and states are."""

from collections.abc import Iterator
from typing import Any

from golden_cases import SETTINGS
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import backend, fallback, header, model, route

from berth_api.model import Model
from berth_api.model_spec import Exposure
from berth_gateway.actions import AGENT_CLUSTER
from berth_gateway.codec import Codec
from berth_gateway.headers import INVALID, MISSING
from berth_gateway.render import render
from berth_gateway.snapshot import Endpoint, ModelState, Phase, Snapshot, build_snapshot

NAMES = ("alpha", "beta", "gamma", "delta")
NAMESPACES = ("default", "team-a")
codec = Codec()

endpoints = st.lists(
    st.builds(Endpoint, host=st.just("127.0.0.1"), port=st.integers(1, 65535), draining=st.booleans()), max_size=3
).map(tuple)
states = st.builds(ModelState, phase=st.sampled_from(Phase), endpoints=endpoints)
models = st.lists(
    st.builds(
        model,
        st.sampled_from(NAMES),
        namespace=st.sampled_from(NAMESPACES),
        aliases=st.lists(st.sampled_from(["fast", "chat", *NAMES]), unique=True, max_size=2),
        exposure=st.sampled_from([exposure.value for exposure in Exposure]),
        allowedRoutes=st.sampled_from([{}, {"namespaces": ["default"]}]),
    ),
    max_size=5,
    unique_by=lambda built: built.key,
)
backends = st.lists(
    st.builds(backend, st.sampled_from(NAMES), st.integers(0, 3), namespace=st.sampled_from(["", *NAMESPACES])),
    min_size=1,
    max_size=3,
).filter(lambda parts: any(part["weight"] for part in parts))
rules = st.fixed_dictionaries(
    {"backends": backends, "fallbacks": st.lists(st.builds(fallback, st.sampled_from(NAMES)), max_size=3)},
    optional={"match": st.builds(header, st.sampled_from(["x-tier", "x-team"]), st.sampled_from(["gold", "lead"]))},
)
routes = st.lists(
    st.builds(
        lambda name, namespace, names, some: route(name, *some, names=names, namespace=namespace),
        st.sampled_from(["first", "second"]),
        st.sampled_from(NAMESPACES),
        st.lists(st.sampled_from(["chat", "fast", *NAMES]), min_size=1, max_size=2, unique=True),
        st.lists(rules, min_size=1, max_size=3),
    ),
    max_size=3,
    unique_by=lambda built: built.key,
)


@st.composite
def snapshots(draw: st.DrawFn) -> tuple[Snapshot, list[Model]]:
    some_models, some_routes = draw(models), draw(routes)
    observed = {one.key: draw(states) for one in some_models if draw(st.booleans())}
    return build_snapshot(some_models, some_routes, observed), some_models


@given(snapshots())
@settings(deadline=None, max_examples=150)
def test_every_snapshot_becomes_a_configuration_without_holes(
    drawn: tuple[Snapshot, list[Model]],
) -> None:
    snapshot, some_models = drawn
    resources = render(snapshot, SETTINGS)
    assert codec.encode(resources) == Codec().encode(resources), "what is remembered is what would be made anew"

    assert resources.names.keys() == {*snapshot.names, MISSING, INVALID}, "every claimed name is routed, and no other"
    assert resources.clusters.keys() == resources.endpoints.keys() == {one.key for one in some_models}
    for key, endpoints_of_one in resources.endpoints.items():
        assert_one_host_takes_requests(endpoints_of_one.make(), snapshot.models[key].state)
    for action in actions(resources.routes):
        assert_groups_are_sound(groups(action), set(resources.clusters))
    assert_hidden_models_have_no_name(snapshot, some_models)


def assert_one_host_takes_requests(assignment: dict[str, Any], state: ModelState) -> None:
    hosts = assignment["endpoints"][0]["lb_endpoints"]
    healthy = [host["endpoint"]["address"] for host in hosts if host["health_status"] == "HEALTHY"]
    ports = [address["socket_address"]["port_value"] for address in healthy if "socket_address" in address]
    if state.answers:
        assert ports == [endpoint.port for endpoint in state.endpoints if not endpoint.draining]
        assert len(healthy) == len(ports), "the agent has left the way of a Model that answers"
    else:
        agent = {"pipe": {"path": str(SETTINGS.agent_socket)}}
        assert healthy == [agent], "the agent alone answers for a Model that can't"


def assert_groups_are_sound(attempts: list[dict[str, int]], clusters: set[str]) -> None:
    assert attempts, "no group is missing"
    seen: dict[str, dict[str, int]] = {}
    for group in attempts:
        assert group, "no group is empty"
        assert all(weight >= 1 for weight in group.values()), "Envoy refuses the whole table for one weight of 0"
        for name in group:
            assert name in clusters, "no group names a cluster that is not there"
            assert seen.setdefault(name, group) == group, "no Model stands in two groups"


def assert_hidden_models_have_no_name(snapshot: Snapshot, some_models: list[Model]) -> None:
    hidden = {one.key for one in some_models if one.spec.exposure is Exposure.ROUTES_ONLY}
    owned = {owner.key for owner in snapshot.names.values() if owner.kind == "Model"}
    assert not hidden & owned, "a Model for routes only is not reached by a name of its own"


def actions(node: Any) -> Iterator[dict[str, Any]]:
    """Every route action below `node` that goes to Models."""
    if isinstance(node, list):
        for item in node:
            yield from actions(item)
    elif isinstance(node, dict):
        if isinstance(node.get("route"), dict) and node["route"].get("cluster") != AGENT_CLUSTER:
            yield node["route"]
        for value in node.values():
            yield from actions(value)


def groups(action: dict[str, Any]) -> list[dict[str, int]]:
    if "cluster" in action:
        return [{action["cluster"]: 1}]
    specifier = action["inline_cluster_specifier_plugin"]["extension"]["typed_config"]
    return [
        {part["cluster_name"]: part["weight"] for part in group["clusters"]} for group in specifier["priority_groups"]
    ]
