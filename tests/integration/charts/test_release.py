"""The chart as a release at a real API server: what it admits, what stays, who may do what."""

import contextlib
import time
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chart
import pytest
from api_server import ApiServer, running_api_server

from berth_kube.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    NAMESPACES,
    NETWORK_POLICIES,
    SERVICES,
    Key,
    Resource,
)
from berth_operator.subject import MODEL_ROUTES, MODELS

pytestmark = [pytest.mark.needs("helm"), pytest.mark.needs("kube")]

SECONDS = 120.0
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)
RBAC = ("rbac.authorization.k8s.io", "v1")
KINDS = {
    resource.kind: resource
    for resource in (
        *(CONFIG_MAPS, CRDS, DEPLOYMENTS, DISRUPTION_BUDGETS, NAMESPACES, NETWORK_POLICIES, SERVICES),
        Resource("", "v1", "serviceaccounts", "ServiceAccount"),
        Resource(*RBAC, "roles", "Role"),
        Resource(*RBAC, "rolebindings", "RoleBinding"),
        Resource(*RBAC, "clusterroles", "ClusterRole", namespaced=False),
        Resource(*RBAC, "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    )
}
MODEL = {
    "apiVersion": "berth.dev/v1alpha1",
    "kind": "Model",
    "metadata": {"name": "kept", "namespace": "default"},
    "spec": {"source": {"uri": "oci://registry.example/kept:1"}},
}


@dataclass(frozen=True)
class Releases:
    """Helm at one API server."""

    server: ApiServer

    def install(self, name: str, *more: str) -> str:
        """Helm's words where it refuses, else nothing."""
        words = ("install", name, str(chart.CHART), "--namespace", chart.NAMESPACE, *more)
        done = chart.helm(*words, kubeconfig=self.server.kubeconfig)
        return done.stderr if done.returncode else ""

    def uninstall(self, name: str) -> None:
        words = ("uninstall", name, "--namespace", chart.NAMESPACE, "--ignore-not-found", "--wait", "--timeout", "30s")
        done = chart.helm(*words, kubeconfig=self.server.kubeconfig)
        assert done.returncode == 0, done.stderr

    def create(self, resource: Resource, body: dict[str, Any], query: str = "") -> Any:
        path = resource.path(namespace=body["metadata"].get("namespace"))
        return self.server.ask(path + query, method="POST", body=body)

    def read(self, resource: Resource, namespace: str, name: str) -> Any:
        """The object, or None."""
        with contextlib.suppress(urllib.error.HTTPError):
            return self.server.ask(resource.path(Key(namespace, name)))
        return None

    def may(self, account: str, verb: str, group: str, resource: str, namespace: str) -> bool:
        """Whether RBAC lets a service account of the release do it."""
        attributes = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
        who = {"user": f"system:serviceaccount:{chart.NAMESPACE}:{account}", "resourceAttributes": attributes}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": who}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return bool(self.server.ask(path, method="POST", body=review)["status"]["allowed"])

    def clear(self) -> None:
        """Leave nothing for the next test."""
        for name in ("berth", "other"):
            self.uninstall(name)
        for resource in (MODELS, MODEL_ROUTES):
            until(lambda resource=resource: self._is_rid_of(resource))  # type: ignore[misc]

    def _is_rid_of(self, resource: Resource) -> bool:
        """Whether a CRD is gone. What has to go first is done here, again and again: a busy API server refuses some of
        it, and its own cleaner of instances then waits for minutes (`storage is (re)initializing`).
        """
        key = Key("", f"{resource.plural}.{resource.group}")
        found = self.read(CRDS, key.namespace, key.name)
        if found is None:
            return True
        instances = resource.path(namespace="default")
        with contextlib.suppress(urllib.error.HTTPError):
            if "deletionTimestamp" not in found["metadata"]:
                self.server.ask(CRDS.path(key), method="DELETE")
            self.server.ask(instances, method="DELETE")
            if not self.server.ask(instances)["items"]:
                free = {"metadata": {"finalizers": []}}
                self.server.ask(CRDS.path(key), method="PATCH", body=free, content_type="application/merge-patch+json")
        return False


def until(holds: Any) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running_api_server(tmp_path_factory.mktemp("api-server")) as running:
        namespace, *_ = chart.plain_manifests()
        running.ask(NAMESPACES.path(), method="POST", body=namespace)
        yield running


@pytest.fixture
def releases(server: ApiServer) -> Iterator[Releases]:
    found = Releases(server)
    yield found
    found.clear()


def test_the_api_server_knows_every_field_of_the_plain_manifests(releases: Releases) -> None:
    _, *objects = chart.plain_manifests()
    for one in objects:
        releases.create(KINDS[one["kind"]], one, "?dryRun=All&fieldValidation=Strict")


def test_the_pods_are_admitted_where_the_restricted_profile_is_enforced(releases: Releases, tmp_path: Path) -> None:
    for name, template in chart.pod_templates(chart.render(tmp_path)).items():
        metadata = template["metadata"] | {"name": name, "namespace": chart.NAMESPACE}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        path = f"/api/v1/namespaces/{chart.NAMESPACE}/pods?dryRun=All&fieldValidation=Strict"
        releases.server.ask(path, method="POST", body=pod)


def test_a_pod_that_would_run_as_root_is_not_admitted_there(releases: Releases) -> None:
    container = {"name": "x", "image": "x", "securityContext": {"runAsUser": 0}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [container]}}
    path = f"/api/v1/namespaces/{chart.NAMESPACE}/pods?dryRun=All"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        releases.server.ask(path, method="POST", body=pod)


def test_the_notes_name_the_address_and_the_next_commands(releases: Releases) -> None:
    words = ("install", "berth", str(chart.CHART), "--namespace", chart.NAMESPACE, "--dry-run=client")
    notes = chart.helm(*words, kubeconfig=releases.server.kubeconfig).stdout.rpartition("NOTES:")[2]
    assert "http://berth-gateway.berth-system/v1" in notes
    assert "kubectl get models.berth.dev" in notes
    assert "--set global.registry=" in notes


def test_models_outlive_the_release_and_meet_it_again(releases: Releases) -> None:
    assert releases.install("berth") == ""
    until(lambda: served(releases))
    kept = releases.create(MODELS, MODEL)["metadata"]
    releases.uninstall("berth")
    assert releases.read(DEPLOYMENTS, chart.NAMESPACE, "berth-operator") is None
    assert releases.read(MODELS, "default", "kept")["metadata"] == kept
    assert releases.install("berth") == ""
    assert releases.read(MODELS, "default", "kept")["metadata"] == kept
    assert releases.read(DEPLOYMENTS, chart.NAMESPACE, "berth-operator") is not None


def served(releases: Releases) -> bool:
    with contextlib.suppress(urllib.error.HTTPError):
        releases.server.ask(MODELS.path())
        return True
    return False


def test_a_release_of_another_name_takes_the_kinds_only_when_told(releases: Releases) -> None:
    assert releases.install("berth") == ""
    releases.uninstall("berth")
    assert "cannot be imported into the current release" in releases.install("other")
    assert releases.install("other", "--take-ownership") == ""


def test_a_release_takes_over_from_the_plain_manifests(releases: Releases) -> None:
    for one in chart.plain_manifests():
        metadata = one["metadata"]
        path = KINDS[one["kind"]].path(Key(metadata.get("namespace", ""), metadata["name"]))
        apply = "application/apply-patch+yaml"
        releases.server.ask(f"{path}?fieldManager=kubectl", method="PATCH", body=one, content_type=apply)
    assert "invalid ownership metadata" in releases.install("berth")
    assert releases.install("berth", "--take-ownership") == ""


def test_kinds_that_the_release_does_not_keep_go_with_it(releases: Releases) -> None:
    assert releases.install("berth", "--set", "crds.keep=false") == ""
    releases.uninstall("berth")
    until(lambda: releases.read(CRDS, "", "models.berth.dev") is None)


def test_an_upgrade_without_a_change_rolls_nothing(releases: Releases) -> None:
    assert releases.install("berth") == ""
    before = releases.read(DEPLOYMENTS, chart.NAMESPACE, "berth-gateway")["metadata"]
    words = ("upgrade", "berth", str(chart.CHART), "--namespace", chart.NAMESPACE)
    done = chart.helm(*words, kubeconfig=releases.server.kubeconfig)
    assert done.returncode == 0, done.stderr
    after = releases.read(DEPLOYMENTS, chart.NAMESPACE, "berth-gateway")["metadata"]
    assert after["generation"] == before["generation"]


def test_accounts_may_do_their_work_and_no_more(releases: Releases) -> None:
    assert releases.install("berth") == ""
    for account in ("berth-operator", "berth-gateway"):
        until(lambda account=account: releases.may(account, "list", "berth.dev", "models", "team-a"))  # type: ignore[misc]
        for verb in ("get", "list", "watch"):
            assert not releases.may(account, verb, "", "secrets", "team-a")
            assert not releases.may(account, verb, "", "secrets", chart.NAMESPACE)
        assert not releases.may(account, "create", "", "pods/exec", "team-a")
        assert not releases.may(account, "create", "", "pods", "team-a")
        assert not releases.may(account, "patch", "berth.dev", "models", "team-a")
    assert not releases.may("berth-gateway", "patch", "berth.dev", "models/status", "team-a")


def test_an_installation_for_namespaces_reaches_no_other(releases: Releases) -> None:
    for name in ("team-a", "team-b"):
        with contextlib.suppress(urllib.error.HTTPError):
            releases.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    assert releases.install("berth", "--set", "watchNamespaces={team-a}") == ""
    until(lambda: releases.may("berth-operator", "list", "berth.dev", "models", "team-a"))
    assert not releases.may("berth-operator", "list", "berth.dev", "models", "team-b")
    assert not releases.may("berth-gateway", "list", "discovery.k8s.io", "endpointslices", "team-b")
    assert not releases.may("berth-operator", "list", "", "nodes", "")
