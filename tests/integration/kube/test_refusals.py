"""How a real API server refuses objects, and that we name the field."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from api_server import ApiServer
from cluster_contract import DEADLINE_SECONDS, config_map, deployment

from berth_kube.client import HttpCluster, connect
from berth_kube.cluster import Scope
from berth_kube.credentials import Credentials
from berth_kube.errors import Conflict, Forbidden, NamespaceTerminating, NotFound, Rejected, Unauthorized, Unreachable
from berth_kube.kubeconfig import read_kubeconfig
from berth_kube.login import Login
from berth_kube.resources import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, Key, Object, Resource

pytestmark = pytest.mark.needs("kube")
MODELS = Resource("berth.dev", "v1alpha1", "models", "Model")
QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")
UNKNOWN = Resource("berth.dev", "v1alpha1", "unheardof", "UnheardOf")


def spoiled(namespace: str, spoil: Callable[[dict[str, Any], dict[str, Any]], object]) -> Object:
    body: Any = deployment(namespace, "a", env={"X": "1"})
    spec = body["spec"]
    spoil(spec, spec["template"]["spec"]["containers"][0])
    return dict(body)


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda spec, _: spec.update(x=1), "spec.x"),
        (lambda spec, _: spec.update(replicas="two"), "spec.replicas"),
        (
            lambda _, container: container["env"].append({"name": "X", "value": "2"}),
            'spec.template.spec.containers[name="main"].env',
        ),
        (lambda _, container: container.update(name="Bad Name"), "spec.template.spec.containers[0].name"),
        (lambda spec, _: spec["selector"].update(matchLabels={"other": "x"}), "spec.template.metadata.labels"),
    ],
)
async def test_a_field_that_is_refused_is_named(
    cluster: HttpCluster, namespace: str, spoil: Callable[[dict[str, Any], dict[str, Any]], object], field: str
) -> None:
    with pytest.raises(Rejected) as caught:
        await cluster.apply(DEPLOYMENTS, spoiled(namespace, spoil), manager="berth-operator")
    assert field in [fault.field for fault in caught.value.fields]


async def test_in_a_namespace_that_goes_nothing_is_made(cluster: HttpCluster, namespace: str) -> None:
    found = await cluster.get(NAMESPACES, Key("", namespace))
    await cluster.delete(NAMESPACES, Key("", namespace), uid=found["metadata"]["uid"])
    with pytest.raises(NamespaceTerminating):
        await cluster.apply(DEPLOYMENTS, deployment(namespace, "a"), manager="berth-operator")


async def test_a_bad_quantity_is_the_objects_fault(cluster: HttpCluster, namespace: str) -> None:
    body = spoiled(namespace, lambda _, container: container.update(resources={"limits": {"memory": "much"}}))
    with pytest.raises(Rejected):
        await cluster.apply(DEPLOYMENTS, body, manager="berth-operator")


async def test_several_faults_are_all_named(cluster: HttpCluster, namespace: str) -> None:
    body = spoiled(namespace, lambda spec, container: (spec.update(x=1), container.update(y=2)))
    told = set()
    for _ in range(20):
        with pytest.raises(Rejected) as caught:
            await cluster.apply(DEPLOYMENTS, body, manager="berth-operator")
        told.add(frozenset(fault.field for fault in caught.value.fields))
    # The server goes through the fields of `spec` in any order, and now and then stops at the one that it doesn't know.
    both = frozenset({"spec.x", 'spec.template.spec.containers[name="main"].y'})
    assert told in ({both}, {both, frozenset({"spec.x"})})


async def test_what_may_not_change_is_named(cluster: HttpCluster, namespace: str) -> None:
    await cluster.apply(DEPLOYMENTS, deployment(namespace, "a"), manager="berth-operator")
    body: Any = deployment(namespace, "a")
    body["spec"]["selector"] = {"matchLabels": {"app": "b"}}
    body["spec"]["template"]["metadata"]["labels"] = {"app": "b"}
    with pytest.raises(Rejected) as caught:
        await cluster.apply(DEPLOYMENTS, body, manager="berth-operator")
    assert "spec.selector" in [fault.field for fault in caught.value.fields]


async def test_a_custom_resources_faults_are_named_without_the_line_that_says_nothing(
    cluster: HttpCluster, namespace: str
) -> None:
    metadata = {"namespace": namespace, "name": "a"}
    body = {"apiVersion": "berth.dev/v1alpha1", "kind": "Model", "metadata": metadata, "spec": {"source": {"url": 5}}}
    with pytest.raises(Rejected) as caught:
        await cluster.create(MODELS, body)
    assert [fault.field for fault in caught.value.fields if fault.field.startswith("spec.source")]
    assert not [fault.field for fault in caught.value.fields if fault.field in ("", "<nil>")]


async def test_a_kind_or_a_namespace_that_is_not_there_is_not_found(cluster: HttpCluster) -> None:
    with pytest.raises(NotFound):
        await cluster.list_page(UNKNOWN, Scope())
    with pytest.raises(NotFound):
        await cluster.apply(CONFIG_MAPS, config_map("nowhere", "a"), manager="berth-operator")


async def test_an_object_over_its_quota_is_told_from_a_missing_right(
    api_server: ApiServer, cluster: HttpCluster, namespace: str
) -> None:
    metadata = {"namespace": namespace, "name": "none"}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata}
    hard = {"count/configmaps": "0"}
    await cluster.create(QUOTAS, {**quota, "spec": {"hard": hard}})
    await cluster.apply_status(QUOTAS, {**quota, "status": {"hard": hard, "used": hard}}, manager="test")

    async def create_until_refused() -> None:
        """The server hears of a new quota by a watch of its own, a moment later."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            for number in itertools.count():
                await cluster.create(CONFIG_MAPS, config_map(namespace, f"m{number}"))

    with pytest.raises(Forbidden) as caught:
        await create_until_refused()
    assert caught.value.quota
    file = api_server.kubeconfig_of("nobody")
    async with connect(Credentials(lambda: read_kubeconfig((file,)))) as nobody:
        with pytest.raises(Forbidden) as caught:
            await nobody.list_page(CONFIG_MAPS, Scope())
    assert not caught.value.quota


async def test_an_apply_for_a_forerunner_is_a_conflict(cluster: HttpCluster, namespace: str) -> None:
    body = config_map(namespace, "a")
    await cluster.apply(CONFIG_MAPS, body, manager="berth-operator")
    other = {**body, "metadata": {**body["metadata"], "uid": "11111111-1111-1111-1111-111111111111"}}
    with pytest.raises(Conflict):
        await cluster.apply(CONFIG_MAPS, other, manager="berth-operator")


async def test_a_service_account_talks_with_its_token(
    api_server: ApiServer, cluster: HttpCluster, namespace: str
) -> None:
    accounts = Resource("", "v1", "serviceaccounts", "ServiceAccount")
    metadata = {"namespace": namespace, "name": "berth"}
    await cluster.create(accounts, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    path = accounts.path(Key(namespace, "berth"), subresource="token")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = api_server.ask(path, method="POST", body=request)["status"]["token"]
    authority = (api_server.folder / "ca.pem").read_text()
    async with connect(Credentials(lambda: Login(api_server.url, token=token, authority=authority))) as own:
        with pytest.raises(Forbidden, match=f"system:serviceaccount:{namespace}:berth"):
            await own.list_page(CONFIG_MAPS, Scope(namespace))
    async with connect(Credentials(lambda: Login(api_server.url, token="no.such.token", authority=authority))) as own:
        with pytest.raises(Unauthorized):
            await own.list_page(CONFIG_MAPS, Scope(namespace))


async def test_a_server_that_another_authority_vouches_for_is_not_trusted(api_server: ApiServer) -> None:
    async with connect(Credentials(lambda: Login(api_server.url, token="secret"))) as cluster:
        with pytest.raises(Unreachable, match="certificate"):
            await cluster.list_page(CONFIG_MAPS, Scope())
