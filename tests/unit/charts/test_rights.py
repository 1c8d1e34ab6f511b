"""The roles of the chart are exactly what the code says that it does and what the guide tells, and never more."""

import re
from collections.abc import Mapping

import chart
import pytest
from tools import REPOSITORY

from berth_gateway.rights import RIGHTS as GATEWAY_RIGHTS
from berth_kube.resources import Resource
from berth_operator.rights import HOME_RIGHTS, NODE_RIGHTS, RIGHTS

OBJECTS = chart.plain_manifests()
ROLES = [one for one in OBJECTS if one["kind"] in {"Role", "ClusterRole"}]
PEOPLE = {"berth-view", "berth-edit"}
ROW = re.compile(r"^\| ((?:operator|agent)[^|]*|)\| (`[^|]+) \| ([a-z, ]+) \| ", re.MULTILINE)
WHOLE = {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}


CODE = {
    "berth-operator": RIGHTS,
    "berth-operator-home": HOME_RIGHTS,
    "berth-operator-nodes": NODE_RIGHTS,
    "berth-gateway": GATEWAY_RIGHTS,
}


@pytest.mark.parametrize("name", CODE)
def test_a_role_grants_what_the_code_says_that_it_needs(name: str) -> None:
    (role,) = (role for role in ROLES if role["metadata"]["name"] == name)
    assert chart.rules_of(role) == by_kind(CODE[name])


def by_kind(rights: Mapping[Resource, tuple[str, ...]]) -> dict[tuple[str, str], set[str]]:
    return {(resource.group, resource.plural): set(verbs) for resource, verbs in rights.items()}


def test_nothing_is_granted_that_no_program_asked_for() -> None:
    assert {role["metadata"]["name"] for role in ROLES} == {*CODE, *PEOPLE}


def test_the_operator_holds_its_own_lease_and_reads_no_other() -> None:
    for rule in chart.pick(OBJECTS, "Role", "berth-operator-home")["rules"]:
        if rule["resources"] == ["leases"]:
            assert rule["verbs"] == ["create"] or rule["resourceNames"] == ["berth-operator"]


def test_no_role_knows_secrets_exec_or_wildcards() -> None:
    for role in ROLES:
        for (group, resource), verbs in chart.rules_of(role).items():
            assert "*" not in (group, resource, *verbs)
            assert resource not in {"secrets", "pods/exec", "pods/attach", "pods/portforward", "serviceaccounts/token"}
            assert verbs <= WHOLE


def test_each_role_is_bound_to_the_account_of_its_pods() -> None:
    for role in ROLES:
        name = role["metadata"]["name"]
        if name in PEOPLE:
            continue
        binding = chart.pick(OBJECTS, f"{role['kind']}Binding", name)
        (subject,) = binding["subjects"]
        assert binding["roleRef"]["name"] == name
        pods = chart.pick(OBJECTS, "Deployment", subject["name"])["spec"]["template"]["spec"]
        assert pods["serviceAccountName"] == subject["name"]


def test_people_get_their_rights_by_the_roles_of_the_cluster() -> None:
    view = chart.pick(OBJECTS, "ClusterRole", "berth-view")
    edit = chart.pick(OBJECTS, "ClusterRole", "berth-edit")
    aggregate = "rbac.authorization.k8s.io/aggregate-to"
    assert {f"{aggregate}-{role}" for role in ("view", "edit", "admin")} <= set(view["metadata"]["labels"])
    assert f"{aggregate}-view" not in edit["metadata"]["labels"]
    everything = {key: verbs | chart.rules_of(edit).get(key, set()) for key, verbs in chart.rules_of(view).items()}
    assert everything["berth.dev", "models"] == everything["berth.dev", "modelroutes"] == WHOLE
    assert everything["berth.dev", "models/scale"] == {"get", "update", "patch"}


def test_nobody_but_the_operator_writes_status() -> None:
    for name in PEOPLE:
        rules = chart.rules_of(chart.pick(OBJECTS, "ClusterRole", name))
        assert all(verbs == {"get"} for (_, resource), verbs in rules.items() if resource.endswith("/status"))


def split(kind: str) -> tuple[str, str]:
    """`deployments.apps` as group and plural."""
    plural, _, group = kind.partition(".")
    return group, plural


def test_the_guide_lists_every_right() -> None:
    told: list[dict[tuple[str, str], set[str]]] = []
    for who, kinds, verbs in ROW.findall((REPOSITORY / "docs/install.md").read_text(encoding="utf-8")):
        if who.strip():
            told.append({})
        told[-1] |= {split(kind): set(verbs.split(", ")) for kind in re.findall("`([^`]+)`", kinds)}
    roles = {role["metadata"]["name"]: chart.rules_of(role) for role in ROLES}
    assert told == [roles[name] for name in CODE]
