"""One Envoy cluster for each Model and each adapter, and the endpoints in it. Called by render.py.

Adapters have the endpoints of their Model, and clusters of their own, because a cluster says whom its engines are asked
for. It depends on the names alone, so what comes and goes with engines is its endpoints (EDS): no pool is
rebuilt and no stream is cut. A Model without an engine that answers has the agent as its endpoint, so no cluster is
ever without a host; its health value (HEALTHY beside DRAINING, panic off) keeps the draining ones out of the choice.
"""

from typing import Any

from berth_gateway import headers
from berth_gateway.snapshot import Endpoint, ServedModel
from berth_gateway.types import type_url

# The runtime closes idle connections after 75 s. Envoy lets go first, or it sends into a closed one. An engine behind
# uvicorn closes them after 5 s, and would need less.
IDLE_CONNECTION_SECONDS = 60

# Envoy's defaults (1,024 requests, 3 retries at once) are made for small services; each stream of tokens is a request.
UNBOUNDED = 1_000_000


def model_cluster(model: ServedModel) -> dict[str, Any]:
    """The cluster of one Model or adapter. Its name is the key."""
    return {
        "name": model.key,
        "type": "EDS",
        "eds_cluster_config": {
            "eds_config": {"resource_api_version": "V3", "ads": {}, "initial_fetch_timeout": "0s"},
        },
        "connect_timeout": "3s",
        "load_balancing_policy": {"policies": [{"typed_extension_config": _least_request()}]},
        # Without this Envoy would rather send to draining engines than to the agent.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "circuit_breakers": {
            "thresholds": [
                {
                    "priority": "DEFAULT",
                    "max_connections": UNBOUNDED,
                    "max_pending_requests": UNBOUNDED,
                    "max_requests": UNBOUNDED,
                    "max_retries": UNBOUNDED,
                }
            ]
        },
        "outlier_detection": _ejection(),
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": _protocol_options(model),
        },
    }


def _least_request() -> dict[str, Any]:
    # FULL_SCAN: a Model has few engines, and two random choices of few often miss the idle one.
    return {
        "name": "envoy.load_balancing_policies.least_request",
        "typed_config": {
            "@type": type_url("envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest"),
            "selection_method": "FULL_SCAN",
        },
    }


def _ejection() -> dict[str, Any]:
    """Leave out an engine that can't be reached (a dead node: each try costs the connect time-out), for a while.

    What an engine answers is no reason: the agent's own 503 would count too. The last one is never left out.
    """
    answers = ("consecutive_5xx", "consecutive_gateway_failure", "success_rate", "local_origin_success_rate")
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 3,
        "interval": "1s",
        "base_ejection_time": "5s",
        "max_ejection_time": "30s",
        "max_ejection_percent": 50,
        "always_eject_one_host": False,
        **{f"enforcing_{reason}": 0 for reason in answers},
    }


def _protocol_options(model: ServedModel) -> dict[str, Any]:
    # Upstream filters run for every attempt: a retry or a fallback that goes to another Model carries that one's name.
    names = {headers.MODEL: model.engine_name, headers.NAMESPACE: model.namespace}
    mutations = [
        {"append": {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
        for key, value in names.items()
    ]
    return {
        "@type": type_url("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"idle_timeout": f"{IDLE_CONNECTION_SECONDS}s"},
        "http_filters": [
            {
                "name": "name",
                "typed_config": {
                    "@type": type_url("envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"),
                    "mutations": {"request_mutations": mutations},
                },
            },
            {
                "name": "codec",
                "typed_config": {"@type": type_url("envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec")},
            },
        ],
    }


def model_endpoints(model: ServedModel, agent_socket: str) -> dict[str, Any]:
    """The endpoints of one Model's cluster: its engines, or the agent where none takes new requests."""
    hosts = [_endpoint(endpoint) for endpoint in model.state.endpoints]
    if not model.answers:
        hosts = [host | {"health_status": "DRAINING"} for host in hosts]
        hosts.append(_host({"pipe": {"path": agent_socket}}, "HEALTHY"))
    return {"cluster_name": model.key, "endpoints": [{"lb_endpoints": hosts}]}


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    address = {"socket_address": {"address": endpoint.host, "port_value": endpoint.port}}
    return _host(address, "DRAINING" if endpoint.draining else "HEALTHY")


def _host(address: dict[str, Any], health: str) -> dict[str, Any]:
    return {"endpoint": {"address": address}, "health_status": health}
