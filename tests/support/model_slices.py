"""Builders of EndpointSlices as Kubernetes' controller makes them for the Service of a Model's engines."""

from collections.abc import Mapping, Sequence
from typing import Any

from berth_api.names import child_name, model_labels

READY: Mapping[str, bool] = {"ready": True, "serving": True, "terminating": False}
UNREADY: Mapping[str, bool] = {"ready": False, "serving": False, "terminating": False}
TERMINATING: Mapping[str, bool] = {"ready": False, "serving": True, "terminating": True}
ENDED: Mapping[str, bool] = {"ready": False, "serving": False, "terminating": True}

CONTROLLER = "endpointslice-controller.k8s.io"


def an_endpoint(
    address: str = "10.0.0.1", conditions: Mapping[str, Any] = READY, *, pod: str | None = None
) -> dict[str, Any]:
    """One engine; `pod` is its pod's UID, made from the address unless said otherwise."""
    return {
        "addresses": [address],
        "conditions": dict(conditions),
        "nodeName": "node-1",
        "targetRef": {"kind": "Pod", "name": "engine", "namespace": "default", "uid": pod or f"pod-{address}"},
    }


def a_slice(
    model: str = "qwen",
    *endpoints: Mapping[str, Any],
    namespace: str = "default",
    name: str = "",
    port: int = 8000,
    family: str = "IPv4",
    managed_by: str = CONTROLLER,
    service: str | None = None,
    service_uid: str = "service-uid",
    ports: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The slice of a Model's Service with these endpoints, one ready one by default."""
    service = child_name(model, "engine") if service is None else service
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace,
            "name": name or f"{service}-x7k2p",
            "labels": {
                **model_labels(model),
                "kubernetes.io/service-name": service,
                "endpointslice.kubernetes.io/managed-by": managed_by,
            },
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Service", "name": service, "uid": service_uid, "controller": True}
            ],
        },
        "addressType": family,
        "ports": list(ports) if ports is not None else [{"name": "http", "port": port, "protocol": "TCP"}],
        "endpoints": [dict(endpoint) for endpoint in endpoints] or [an_endpoint()],
    }
