"""The roles of the chart are exactly what the code says that it does and what the guide tells, and never more."""

import re

import chart
from tools import REPOSITORY

from berth_gateway.rights import RIGHTS as GATEWAY_RIGHTS

OBJECTS = chart.plain_manifests()
ROLES = [one for one in OBJECTS if one["kind"] in {"Role", "ClusterRole"}]
PEOPLE = {"berth-view", "berth-edit"}
ROW = re.compile(r"^\| ((?:operator|agent)[^|]*|)\| (`[^|]+) \| ([a-z, ]+) \| ", re.MULTILINE)
WHOLE = {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}


def test_the_agent_reads_what_its_code_says() -> None:
    code = {(resource.group, resource.plural): set(verbs) for resource, verbs in GATEWAY_RIGHTS.items()}
    assert chart.rules_of(chart.pick(OBJECTS, "ClusterRole", "berth-gateway")) == code


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
    names = ("berth-operator", "berth-operator-home", "berth-operator-nodes", "berth-gateway")
    roles = {role["metadata"]["name"]: chart.rules_of(role) for role in ROLES}
    assert told == [roles[name] for name in names]
