"""Manifests of the scenarios, and `kubectl apply` for them."""

import json
from collections.abc import Mapping
from typing import Any

from e2e.support.fake_nodes import CPU_SELECTOR, FAKE_TAINT
from e2e.support.programs import Finished, kubectl, run

PINNED_DIGEST = "sha256:" + "ab" * 32
Json = dict[str, Any]


def a_namespace(name: str) -> Json:
    """A namespace that takes nothing but what the restricted Pod Security standard allows."""
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def a_model(name: str, namespace: str, **spec: Any) -> Json:
    """A Model."""
    return _berth("Model", name, namespace, spec)


def a_pinned_model(name: str, namespace: str, **spec: Any) -> Json:
    """A Model that says of its artifact all that a resolver Job would find out."""
    source = {"uri": "oci://registry.example.com/ai/tiny:1", "digest": PINNED_DIGEST}
    artifact = {"format": "GGUF", "task": "Chat", "sizeBytes": 91_700_000, "parameters": 134_515_008}
    return a_model(name, namespace, **{"source": source, "artifact": artifact, **spec})


def a_fleet_model(name: str, namespace: str, *, pod: Mapping[str, Any] | None = None, **spec: Any) -> Json:
    """A pinned Model whose pods go to the fake nodes without GPUs, where they become Ready by themselves."""
    where = {"nodeSelector": CPU_SELECTOR, "tolerations": [FAKE_TAINT]}
    return a_pinned_model(name, namespace, pod={**where, **(pod or {})}, **spec)


def a_route(name: str, namespace: str, backends: Mapping[str, int], **rule: Any) -> Json:
    """A ModelRoute of one name, its own, that splits requests by weight."""
    written = [{"backendRef": {"kind": "Model", "name": model}, "weight": weight} for model, weight in backends.items()]
    return _berth("ModelRoute", name, namespace, {"names": [name], "rules": [{"backends": written, **rule}]})


def _berth(kind: str, name: str, namespace: str, spec: Mapping[str, Any]) -> Json:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "berth.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": dict(spec)}


def apply(*documents: Mapping[str, Any]) -> str:
    """`kubectl apply -f -` of these objects."""
    return kubectl("apply", "-f", "-", stdin=_list_of(*documents))


def try_apply(*documents: Mapping[str, Any]) -> Finished:
    """The same, where it may be refused."""
    return run("kubectl", "apply", "-f", "-", stdin=_list_of(*documents))


def _list_of(*documents: Mapping[str, Any]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(documents)})
