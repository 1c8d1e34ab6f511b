"""Snapshots whose rendering is kept in tests/unit/gateway/golden, and how Envoy itself can check such a file."""

from pathlib import Path
from typing import Any

from snapshots import backend, fallback, header, model, ready, route, snapshot_of

from berth_gateway.bootstrap import render_bootstrap
from berth_gateway.part import made
from berth_gateway.render import Resources, render
from berth_gateway.settings import GatewaySettings
from berth_gateway.snapshot import Endpoint, ModelState, Phase, Snapshot

SETTINGS = GatewaySettings(Path("/run/berth"), port=8080)
GOLDEN = Path(__file__).parents[1] / "unit/gateway/golden"

FIRST, SECOND, THIRD = (Endpoint("127.0.0.1", port) for port in (9001, 9002, 9003))
LEAVING = Endpoint("127.0.0.1", 9009, draining=True)

CASES: dict[str, Snapshot] = {
    "nothing": Snapshot(),
    "a-model-with-an-alias": snapshot_of(model("qwen", aliases=["qwen2.5"]), states={"qwen": ready(FIRST)}),
    "a-model-with-an-adapter-and-a-route-to-it": snapshot_of(
        model("qwen", adapters=[{"name": "sql", "source": {"uri": "oci://localhost/sql:1"}}]),
        route("ask", {"backends": [backend("qwen", 90), backend("qwen", 10, adapter="sql")]}),
        states={"qwen": ready(FIRST)},
    ),
    "two-replicas-and-one-that-drains": snapshot_of(model("qwen"), states={"qwen": ready(FIRST, SECOND, LEAVING)}),
    "a-model-that-loads": snapshot_of(model("qwen"), states={"qwen": ModelState(Phase.LOADING, (LEAVING,))}),
    "a-weighted-route": snapshot_of(
        model("old"),
        model("new"),
        route("chat", {"backends": [backend("old", 90), backend("new", 10)]}),
        states={"old": ready(FIRST), "new": ready(SECOND)},
    ),
    "rules-by-header-with-fallbacks": snapshot_of(
        model("big", exposure="RoutesOnly"),
        model("small"),
        model("tiny"),
        route(
            "chat",
            {"match": header("x-tier", "gold"), "backends": [backend("big")], "fallbacks": [fallback("small")]},
            {
                "backends": [backend("small", 3), backend("tiny", 1)],
                "fallbacks": [fallback("tiny"), fallback("big")],
                "timeouts": {"firstByte": "5s", "idle": "2m"},
                "retries": {"attempts": 1, "retryOn": ["ConnectFailure", "Overloaded"]},
            },
            names=["chat", "gpt-4o-mini"],
        ),
        states={"big": ready(FIRST), "small": ready(SECOND), "tiny": ready(THIRD)},
    ),
    "a-route-whose-first-choice-sleeps": snapshot_of(
        model("big"),
        model("small"),
        route("chat", {"backends": [backend("big")], "fallbacks": [fallback("small")]}),
        states={"big": ModelState(Phase.SUSPENDED), "small": ready(SECOND)},
    ),
    "a-route-without-backends": snapshot_of(
        model("secret", namespace="team-a"),
        route("chat", {"backends": [backend("gone"), backend("secret", namespace="team-a")]}),
    ),
    "the-same-name-in-two-namespaces": snapshot_of(
        model("qwen", namespace="team-a"),
        model("qwen", namespace="team-b"),
        states={"team-a/qwen": ready(FIRST), "team-b/qwen": ready(SECOND)},
    ),
}


def rendered(case: str) -> Resources:
    """What render makes of a case."""
    return render(CASES[case], SETTINGS)


def as_json(resources: Resources) -> dict[str, Any]:
    """What a golden file holds."""
    return {
        "clusters": made(resources.clusters),
        "endpoints": made(resources.endpoints),
        "routes": resources.routes,
    }


def static_bootstrap(golden: dict[str, Any]) -> dict[str, Any]:
    """A bootstrap in which everything dynamic stands still, so that `envoy --mode validate` sees all of it."""
    bootstrap = render_bootstrap(SETTINGS)
    static = bootstrap["static_resources"]
    (chain,) = static["listeners"][0]["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    del manager["rds"], bootstrap["dynamic_resources"]
    manager["route_config"] = golden["routes"] | {"validate_clusters": True}
    for name, cluster in golden["clusters"].items():
        still = {key: value for key, value in cluster.items() if key != "eds_cluster_config"}
        static["clusters"].append(still | {"type": "STATIC", "load_assignment": golden["endpoints"][name]})
    return bootstrap
