"""The static part of Envoy's configuration: listener, filter chain, the clusters of the agent. Pure; used by agent.py.

Any change to the listener or its filters would drain it and cut long streams, so nothing here ever changes while Envoy
runs. All that changes comes from the agent over one ADS stream.
"""

from typing import Any

from berth_gateway import headers
from berth_gateway.actions import AGENT_CLUSTER, BODY_FILTER, SCAN_FILTER
from berth_gateway.replies import local_reply_config
from berth_gateway.routes import READY_PATH, ROUTE_CONFIG
from berth_gateway.scripts import script
from berth_gateway.settings import GatewaySettings
from berth_gateway.snapshot import Policy
from berth_gateway.types import type_url

XDS_CLUSTER = "xds"
NODE = {"id": "berth-gateway", "cluster": "berth-gateway"}

# Statistics cost memory for each cluster; these are the ones that are shown or decided upon.
STATISTICS = (
    "cluster_manager.",
    "control_plane.",
    "http.gateway.downstream_",
    "http.gateway.rds.",
    "listener_manager.",
    "server.",
)
CLUSTER_STATISTICS = (
    r"cluster\.[^.]*\.upstream_(rq_(active|total|[1-5]xx|retry|retry_success|time)|cx_(active|connect_fail))"
)


def render_bootstrap(settings: GatewaySettings) -> dict[str, Any]:
    """An `envoy.config.bootstrap.v3.Bootstrap` as a JSON value."""
    return {
        "node": NODE,
        "admin": {"address": _pipe(settings.admin_socket)},
        "static_resources": {
            "listeners": [_listener(settings)],
            "clusters": [_xds_cluster(settings), _agent_cluster(settings)],
        },
        "dynamic_resources": {"ads_config": _ads(), "cds_config": _from_ads()},
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": _statistics()}}},
        "overload_manager": {"resource_monitors": [_connection_limit()]},
        "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
    }


def _listener(settings: GatewaySettings) -> dict[str, Any]:
    manager = {"name": "http", "typed_config": _connection_manager(settings)}
    return {
        "name": "gateway",
        "address": {"socket_address": _address(settings)},
        # A second gateway on the same port must fail, not take half of the connections.
        "enable_reuse_port": False,
        "connection_balance_config": {"exact_balance": {}},
        "filter_chains": [{"filters": [manager]}],
    }


def _address(settings: GatewaySettings) -> dict[str, Any]:
    address = {"address": settings.host, "port_value": settings.port}
    # Where the wildcard of IPv6 is asked for, IPv4 is meant too: a pod may have both.
    return address | ({"ipv4_compat": True} if settings.host == "::" else {})


def _connection_manager(settings: GatewaySettings) -> dict[str, Any]:
    return {
        "@type": type_url("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "gateway",
        "server_name": "berth",
        "rds": {"route_config_name": ROUTE_CONFIG, "config_source": _from_ads()},
        # No address counts as internal (Envoy's default), so a client's `x-envoy-` headers choose no retries.
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        # Long prompts keep a stream silent; a route sets its own bound.
        "stream_idle_timeout": f"{Policy().idle_seconds}s",
        "request_headers_timeout": "30s",
        "request_timeout": "600s",
        "common_http_protocol_options": {"idle_timeout": "600s"},
        "http2_protocol_options": {"max_concurrent_streams": 100},
        "local_reply_config": local_reply_config(settings.max_body_bytes),
        "http_filters": _filters(settings),
        "access_log": _access_log(settings),
    }


def _filters(settings: GatewaySettings) -> list[dict[str, Any]]:
    return [
        _filter("health", "health_check.v3.HealthCheck", **_readiness()),
        # The limit answers at once where the length is announced; the body filter where it is not, and holds the body
        # for the scan and for retries.
        _filter("limit", "body_size_limit.v3.BodySizeLimit", max_request_bytes=settings.max_body_bytes),
        _filter(BODY_FILTER, "buffer.v3.Buffer", max_request_bytes=settings.max_body_bytes),
        _filter(SCAN_FILTER, "lua.v3.Lua", default_source_code={"inline_string": script("scan")}),
        _filter("router", "router.v3.Router", suppress_envoy_headers=True),
    ]


def _readiness() -> dict[str, Any]:
    """Passed on to the route table, so that it is 200 only with routes; 503 by itself once the health check fails."""
    path = {"name": ":path", "string_match": {"exact": READY_PATH}}
    return {"pass_through_mode": True, "headers": [path]}


def _filter(name: str, message: str, **config: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": type_url(f"envoy.extensions.filters.http.{message}")} | config}


def _access_log(settings: GatewaySettings) -> list[dict[str, Any]]:
    if settings.access_log is None:
        return []
    fields = {
        "time": "%START_TIME%",
        "id": "%REQ(X-REQUEST-ID)%",
        "method": "%REQ(:METHOD)%",
        "path": "%REQ(:PATH)%",
        "model": f"%REQ({headers.ASKED})%",
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "servedBy": "%UPSTREAM_CLUSTER%",
        "endpoint": "%UPSTREAM_HOST%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "firstByteMilliseconds": "%RESPONSE_DURATION%",
        "milliseconds": "%DURATION%",
        "bytesIn": "%BYTES_RECEIVED%",
        "bytesOut": "%BYTES_SENT%",
    }
    config = {
        "@type": type_url("envoy.extensions.access_loggers.file.v3.FileAccessLog"),
        "path": settings.access_log,
        "log_format": {"json_format": fields},
    }
    # The kubelet asks every few seconds.
    return [{"name": "file", "filter": {"not_health_check_filter": {}}, "typed_config": config}]


def _xds_cluster(settings: GatewaySettings) -> dict[str, Any]:
    http2 = {
        "@type": type_url("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return _static_cluster(XDS_CLUSTER, settings.xds_socket, http2)


def _agent_cluster(settings: GatewaySettings) -> dict[str, Any]:
    http1 = {
        "@type": type_url("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"idle_timeout": "30s"},
    }
    return _static_cluster(AGENT_CLUSTER, settings.agent_socket, http1)


def _static_cluster(name: str, socket: Any, options: dict[str, Any]) -> dict[str, Any]:
    host = {"endpoint": {"address": _pipe(socket)}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [host]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
    }


def _ads() -> dict[str, Any]:
    # The agent may restart: come back within two seconds, and meanwhile serve what is known.
    back_off = {"retry_back_off": {"base_interval": "0.2s", "max_interval": "2s"}}
    return {
        "api_type": "GRPC",
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": XDS_CLUSTER, "retry_policy": back_off}}],
    }


def _from_ads() -> dict[str, Any]:
    # Never give up waiting: Envoy opens its port with the first routes, so that it is never up and empty.
    return {"resource_api_version": "V3", "ads": {}, "initial_fetch_timeout": "0s"}


def _statistics() -> list[dict[str, Any]]:
    return [*({"prefix": prefix} for prefix in STATISTICS), {"safe_regex": {"regex": CLUSTER_STATISTICS}}]


def _connection_limit() -> dict[str, Any]:
    return {
        "name": "envoy.resource_monitors.global_downstream_max_connections",
        "typed_config": {
            "@type": type_url(
                "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
            ),
            "max_active_downstream_connections": 50_000,
        },
    }


def _pipe(path: Any) -> dict[str, Any]:
    return {"pipe": {"path": str(path)}}
