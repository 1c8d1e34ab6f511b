"""EndpointSlices of the Services before Models' engines: which slices count, and the endpoints in them. Pure.

A slice counts for a Model if it was made by Kubernetes' own controller for the Service that the Model owns. Any other
one, whoever labelled it, leads nowhere: requests must not go where a user's slip of a label points.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from berth_api.names import LABEL_MODEL, child_name
from berth_gateway.snapshot import Endpoint
from berth_kube.resources import Object

SELECTOR = LABEL_MODEL
"""The label selector of the watch; slices carry the labels of their Service."""

_SERVICE = "kubernetes.io/service-name"
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_CONTROLLER = "endpointslice-controller.k8s.io"
_PORT = "http"

# Where a Service has both families each pod is in two slices; it is asked at the first of these that it has.
_FAMILIES = ("IPv4", "IPv6")


def trim_slice(document: Object) -> dict[str, Any]:
    """What of a slice is needed: a large Service has thousands of endpoints, and most of their bytes say where."""
    metadata = document["metadata"]
    labels = metadata.get("labels") or {}
    return {
        "metadata": {
            **{name: metadata[name] for name in ("namespace", "name", "uid", "resourceVersion") if name in metadata},
            "labels": {name: labels[name] for name in (LABEL_MODEL, _SERVICE, _MANAGED_BY) if name in labels},
            "ownerReferences": [
                {"kind": owner.get("kind"), "name": owner.get("name")}
                for owner in metadata.get("ownerReferences") or ()
            ],
        },
        "addressType": document.get("addressType"),
        "ports": [{"name": port.get("name"), "port": port.get("port")} for port in document.get("ports") or ()],
        "endpoints": [_trim_endpoint(endpoint) for endpoint in document.get("endpoints") or ()],
    }


def _trim_endpoint(endpoint: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "addresses": list(endpoint["addresses"][:1]),
        "conditions": dict(endpoint.get("conditions") or {}),
        "targetRef": {"uid": (endpoint.get("targetRef") or {}).get("uid", "")},
    }


def endpoints_by_model(slices: Iterable[Object]) -> dict[str, tuple[Endpoint, ...]]:
    """The endpoints of each Model by its key: those that take requests, and those that only finish what they have."""
    found: dict[str, dict[str, Endpoint]] = defaultdict(dict)
    for document in sorted(slices, key=_order):
        model = _model_of(document)
        if model is not None:
            for pod, endpoint in _endpoints(document):
                found[model].setdefault(pod, endpoint)
    return {model: tuple(sorted(pods.values(), key=_by_address)) for model, pods in found.items()}


def _order(document: Object) -> tuple[int, str]:
    family = document.get("addressType")
    return (_FAMILIES.index(family) if family in _FAMILIES else len(_FAMILIES), document["metadata"]["name"])


def _model_of(document: Object) -> str | None:
    """The key of the Model whose endpoints these are, None where they are nobody's."""
    metadata = document["metadata"]
    labels = metadata.get("labels") or {}
    model = labels.get(LABEL_MODEL)
    if not model or labels.get(_MANAGED_BY) != _CONTROLLER or document.get("addressType") not in _FAMILIES:
        return None
    service = child_name(model, "engine")
    owners = [(owner.get("kind"), owner.get("name")) for owner in metadata.get("ownerReferences") or ()]
    if labels.get(_SERVICE) != service or owners != [("Service", service)]:
        return None
    return f"{metadata['namespace']}/{model}"


def _endpoints(document: Object) -> Iterator[tuple[str, Endpoint]]:
    port = _port(document)
    if port is None:
        return
    for endpoint in document.get("endpoints") or ():
        address = endpoint["addresses"][0]
        draining = _draining(endpoint.get("conditions") or {})
        if draining is not None:
            yield (endpoint.get("targetRef") or {}).get("uid") or address, Endpoint(address, port, draining=draining)


def _port(document: Object) -> int | None:
    ports = document.get("ports") or ()
    named = [port["port"] for port in ports if port.get("name") == _PORT]
    chosen = named or [port["port"] for port in ports if len(ports) == 1]
    return int(chosen[0]) if chosen and chosen[0] is not None else None


def _draining(conditions: Mapping[str, bool | None]) -> bool | None:
    """Whether an endpoint only finishes what it has; None where it does not even do that.

    In a slice an unknown `ready` counts as true, and an unknown `serving` means the same as `ready`.
    """
    ready = conditions.get("ready") is not False
    serving = conditions.get("serving")
    serves = ready if serving is None else serving
    if conditions.get("terminating"):
        return True if serves else None
    return False if ready and serves else None


def _by_address(endpoint: Endpoint) -> tuple[str, int]:
    return (endpoint.host, endpoint.port)
