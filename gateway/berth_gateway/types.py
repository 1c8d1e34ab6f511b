"""The spelling of Envoy's type names."""


def type_url(message: str) -> str:
    """The `@type` of a message inside a `google.protobuf.Any`."""
    return f"type.googleapis.com/{message}"


CLUSTER = type_url("envoy.config.cluster.v3.Cluster")
ENDPOINTS = type_url("envoy.config.endpoint.v3.ClusterLoadAssignment")
ROUTES = type_url("envoy.config.route.v3.RouteConfiguration")
