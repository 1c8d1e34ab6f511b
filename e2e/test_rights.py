"""Berth used every right that it has, and asked for none that it has not: from the audit log of the whole story."""

import json
from collections.abc import Iterator

import pytest

from e2e.support.audit import AuditLog, Right
from e2e.support.objects import Json
from e2e.support.programs import kubectl
from e2e.support.release import GATEWAY, NAMESPACE, OPERATOR, Release

pytestmark = pytest.mark.endurance

# Asked about by the API server itself where it checks who may block an owner's deletion; no request has this form.
NEVER_ASKED = {("update", "berth.dev", "models/finalizers")}


@pytest.fixture(autouse=True)
def installed(release: Release) -> None:
    """Berth, installed."""


def roles_of(account: str) -> Iterator[Json]:
    """Every role that is bound to one of Berth's service accounts."""
    bindings = json.loads(kubectl("get", "rolebindings,clusterrolebindings", "-A", "-o", "json"))["items"]
    for binding in bindings:
        subjects = binding.get("subjects", ())
        if any(subject["name"] == account and subject.get("namespace") == NAMESPACE for subject in subjects):
            reference, namespace = binding["roleRef"], binding["metadata"].get("namespace", NAMESPACE)
            yield json.loads(
                kubectl("get", reference["kind"].lower(), reference["name"], "-n", namespace, "-o", "json")
            )


def rights_of(account: str) -> set[Right]:
    return {
        (verb, group, resource)
        for role in roles_of(account)
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


@pytest.mark.parametrize("account", [OPERATOR, GATEWAY])
def test_every_right_was_used(log: AuditLog, account: str) -> None:
    granted = rights_of(account)
    assert granted
    used = {right for request in log.since() if request.account == account for right in request.rights}
    assert granted - used - NEVER_ASKED == set()


@pytest.mark.parametrize("account", [OPERATOR, GATEWAY])
def test_no_request_was_forbidden(log: AuditLog, account: str) -> None:
    requests = [request for request in log.without_excuse() if request.account == account]
    assert requests
    assert [request for request in requests if request.is_forbidden] == []


@pytest.mark.parametrize("account", [OPERATOR, GATEWAY])
def test_no_right_reaches_secrets_or_into_pods(account: str) -> None:
    rights = rights_of(account)
    assert not [right for right in rights if "*" in right]
    assert not {resource for _, _, resource in rights} & {"secrets", "pods/exec", "pods/attach", "pods/portforward"}
