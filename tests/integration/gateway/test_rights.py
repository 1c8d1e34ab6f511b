"""The agent with a real API server and the rights that the chart gives, and no other."""

from typing import Any

import pytest
from api_server import ApiServer
from cluster_gateway import gateway_pod
from model_builders import a_manifest
from model_slices import TERMINATING, a_slice, an_endpoint

from berth_api.names import child_name, model_labels
from berth_gateway.rights import MODEL_ROUTES, MODELS, RIGHTS
from berth_kube.client import connect
from berth_kube.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES, Key, Resource

pytestmark = [pytest.mark.needs("envoy"), pytest.mark.needs("kube")]

RBAC = ("rbac.authorization.k8s.io", "v1")
CLUSTER_ROLES = Resource(*RBAC, "clusterroles", "ClusterRole", namespaced=False)
BINDINGS = Resource(*RBAC, "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
NAMESPACE = "gateway-rights"
USER = "system:serviceaccount:berth-system:berth-gateway"


def a_role() -> dict[str, Any]:
    rules = [
        {"apiGroups": [kind.group], "resources": [kind.plural], "verbs": list(verbs)} for kind, verbs in RIGHTS.items()
    ]
    return {**_head(CLUSTER_ROLES), "rules": rules}


def a_binding() -> dict[str, Any]:
    role = {"apiGroup": RBAC[0], "kind": "ClusterRole", "name": "gateway-rights"}
    subject = {"kind": "ServiceAccount", "namespace": "berth-system", "name": "berth-gateway"}
    return {**_head(BINDINGS), "roleRef": role, "subjects": [subject]}


def _head(kind: Resource) -> dict[str, Any]:
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "gateway-rights"}}


def a_service(model: str) -> dict[str, Any]:
    metadata = {"namespace": NAMESPACE, "name": child_name(model, "engine"), "labels": model_labels(model)}
    spec = {"selector": model_labels(model), "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


async def test_with_exactly_its_rights_the_agent_follows_models_routes_and_endpoints(api_server: ApiServer) -> None:
    async with connect(api_server.credentials()) as cluster:
        await cluster.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        await cluster.create(CLUSTER_ROLES, a_role())
        await cluster.create(BINDINGS, a_binding())
        async with gateway_pod(kubeconfig=api_server.kubeconfig_of(USER)) as pod:
            await pod.becomes("/health/ready", 200)
            spec = {"source": {"uri": "oci://localhost/qwen:latest"}, "aliases": ["small"]}
            made = await cluster.create(MODELS, a_manifest("Model", "qwen", namespace=NAMESPACE, spec=spec))
            rules = [{"backends": [{"backendRef": {"kind": "Model", "name": "qwen"}}]}]
            await cluster.create(
                MODEL_ROUTES,
                a_manifest("ModelRoute", "chat", namespace=NAMESPACE, spec={"names": ["chat"], "rules": rules}),
            )
            service = await cluster.create(SERVICES, a_service("qwen"))
            await pod.becomes_unavailable("chat", "model_loading")

            # No controller runs here, so what one would write is written for it; a server takes no address of loopback.
            of_service = {"namespace": NAMESPACE, "service_uid": service["metadata"]["uid"]}
            await cluster.create(ENDPOINT_SLICES, a_slice("qwen", an_endpoint("192.0.2.1"), **of_service))
            await pod.serves(f"{NAMESPACE}/qwen")
            assert (await pod.programmed())["models"][f"{NAMESPACE}/qwen"]["uid"] == made["metadata"]["uid"]
            leaving = a_slice("qwen", an_endpoint("192.0.2.1", TERMINATING), **of_service)
            await cluster.apply(ENDPOINT_SLICES, leaving, manager="tests")
            await pod.becomes_unavailable("small", "model_loading")
            await cluster.delete(MODELS, Key(NAMESPACE, "qwen"), uid=made["metadata"]["uid"])
            await pod.becomes_unknown("small")
            assert "Forbidden" not in await pod.log()
