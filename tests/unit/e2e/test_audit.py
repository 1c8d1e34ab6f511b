"""The audit log is read for Berth's own requests, and a line that is still being written is left for later."""

import json
from pathlib import Path

from e2e.support.audit import AuditLog


def a_line(
    account: str = "berth-operator", verb: str = "patch", code: int = 200, decision: str = "allow", **what: str
) -> str:
    event = {
        "annotations": {"authorization.k8s.io/decision": decision},
        "verb": verb,
        "user": {"username": f"system:serviceaccount:berth-system:{account}"},
        "objectRef": {"resource": "deployments", "apiGroup": "apps", "namespace": "a", "name": "m-engine", **what},
        "responseStatus": {"code": code},
    }
    return json.dumps(event) + "\n"


def test_a_request_has_the_right_that_a_role_would_grant(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text(a_line(resource="models", apiGroup="berth.dev", subresource="status"))
    (request,) = AuditLog(log).since()
    assert request.rights == {("patch", "berth.dev", "models/status")}
    assert request.is_write
    assert not request.is_forbidden


def test_requests_of_others_are_left_out(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    other = a_line().replace("berth-system", "default")
    log.write_text(other + '{"verb": "get", "user": {"username": "admin"}}\n')
    assert AuditLog(log).since() == []


def test_a_lease_is_no_write_and_neither_is_a_read(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text(a_line(verb="update", resource="leases") + a_line(verb="watch"))
    assert [request.is_write for request in AuditLog(log).since()] == [False, False]


def test_only_what_came_after_the_mark_is_told(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text(a_line(name="old"))
    audit = AuditLog(log)
    mark = audit.mark()
    with log.open("a") as more:
        more.write(a_line(name="new") + a_line(name="cut")[:-20])
    (request,) = audit.since(mark)
    assert request.name == "new"


def test_an_apply_that_makes_an_object_takes_the_right_to_create(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text(a_line(code=201))
    (request,) = AuditLog(log).since()
    assert request.rights == {("patch", "apps", "deployments"), ("create", "apps", "deployments")}


def test_what_a_role_forbids_is_told_from_what_a_namespace_forbids(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text(a_line(code=403, decision="forbid") + a_line(code=403, decision="allow"))
    assert [request.is_forbidden for request in AuditLog(log).since()] == [True, False]


def test_what_was_asked_while_roles_were_away_is_excused(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text(a_line(name="before"))
    audit = AuditLog(log)
    with audit.excused(), log.open("a") as more:
        more.write(a_line(name="meanwhile"))
    with log.open("a") as more:
        more.write(a_line(name="after"))
    assert [request.name for request in audit.without_excuse()] == ["before", "after"]
    assert len(audit.since()) == 3
