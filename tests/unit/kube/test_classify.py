"""Which error an answer of the API server becomes; the answers are those of Kubernetes 1.35."""

import json
from typing import Any

import pytest

from berth_kube.classify import classify, classify_event
from berth_kube.errors import (
    AlreadyExists,
    ClusterError,
    Conflict,
    Expired,
    FieldFault,
    Forbidden,
    NamespaceTerminating,
    NotFound,
    Overloaded,
    Rejected,
    Unauthorized,
    Unreachable,
)

CONVERT = "failed to convert new object (team/m; apps/v1, Kind=Deployment) to proper version: unable to convert "
TYPED = "failed to create typed patch object (team/m; apps/v1, Kind=Deployment): "


def status(code: int, message: str = "", reason: str = "", **details: Any) -> ClusterError:
    body = {"kind": "Status", "apiVersion": "v1", "code": code, "message": message, "reason": reason}
    return classify("apply Deployment team/m", code, json.dumps({**body, "details": details}).encode())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (status(401, "Unauthorized", "Unauthorized"), Unauthorized),
        (status(403, 'pods is forbidden: User "x" cannot list resource', "Forbidden"), Forbidden),
        (
            status(403, "team is being terminated", "Forbidden", causes=[{"reason": "NamespaceTerminating"}]),
            NamespaceTerminating,
        ),
        (status(404, 'pods "x" not found', "NotFound"), NotFound),
        (status(409, 'configmaps "a" already exists', "AlreadyExists"), AlreadyExists),
        (status(409, "the object has been modified", "Conflict"), Conflict),
        (status(409, "Apply failed with 1 conflict", "Conflict", causes=[{"field": ".spec.replicas"}]), Conflict),
        (status(410, "The provided continue parameter is too old", "Expired"), Expired),
        (status(429, "too many requests", "TooManyRequests"), Overloaded),
        (status(400, "strict decoding error", "BadRequest"), Rejected),
        (status(405, "the server does not allow this method", "MethodNotAllowed"), Rejected),
        (status(413, "Request entity too large", "RequestEntityTooLarge"), Rejected),
        (status(415, "unsupported media type", "UnsupportedMediaType"), Rejected),
        (status(500, "etcdserver: request timed out", "InternalError"), Unreachable),
        (status(503, "apiserver not ready", "ServiceUnavailable"), Unreachable),
        (status(504, "Timeout: request did not complete", "Timeout"), Unreachable),
        (
            status(504, "Timeout: Too large resource version", causes=[{"reason": "ResourceVersionTooLarge"}]),
            Expired,
        ),
    ],
)
def test_each_answer_has_its_error(error: ClusterError, kind: type[ClusterError]) -> None:
    assert type(error) is kind


def test_an_error_says_what_was_asked_and_what_the_server_said() -> None:
    assert str(status(404, 'namespaces "team" not found')) == (
        'apply Deployment team/m: namespaces "team" not found (HTTP 404)'
    )


def test_the_fields_of_an_invalid_object_are_named() -> None:
    causes = [
        {"reason": "FieldValueInvalid", "message": "Invalid value: 0: must be above", "field": "spec.min"},
        {"reason": "FieldValueInvalid", "message": "null: some rules were not checked", "field": "<nil>"},
    ]
    error = status(422, "Model.berth.dev is invalid", "Invalid", causes=causes)
    assert isinstance(error, Rejected)
    assert error.fields == (FieldFault("spec.min", "Invalid value: 0: must be above"),)


def test_an_immutable_uid_means_another_object() -> None:
    cause = {"reason": "FieldValueInvalid", "message": "field is immutable", "field": "metadata.uid"}
    assert isinstance(status(422, "invalid", "Invalid", causes=[cause, cause]), Conflict)
    assert isinstance(status(422, "invalid", "Invalid", causes=[cause, cause | {"field": "spec"}]), Rejected)


@pytest.mark.parametrize(
    ("message", "faults"),
    [
        (TYPED + ".spec.x: field not declared in schema", [FieldFault("spec.x", "field not declared in schema")]),
        (
            TYPED + '.spec.template.spec.containers[name="c"].env: duplicate entries for key [name="E1"]',
            [FieldFault('spec.template.spec.containers[name="c"].env', 'duplicate entries for key [name="E1"]')],
        ),
        (CONVERT + "unstructured object to apps/v1, Kind=Deployment: quantities must match '^x$'", []),
        (
            TYPED + "errors:\n  .spec.x: field not declared in schema\n  .spec.replicas: expected numeric, got string",
            [
                FieldFault("spec.x", "field not declared in schema"),
                FieldFault("spec.replicas", "expected numeric, got string"),
            ],
        ),
    ],
)
def test_a_500_for_a_fault_of_the_object_is_no_failure_of_the_server(message: str, faults: list[FieldFault]) -> None:
    error = status(500, message)
    assert isinstance(error, Rejected)
    assert list(error.fields) == faults


def test_a_quota_is_told_from_a_missing_right() -> None:
    quota = status(403, 'pods "x" is forbidden: exceeded quota: team, requested: cpu=1, used: cpu=4, limited: cpu=4')
    right = status(403, 'pods is forbidden: User "x" cannot create resource "pods"')
    assert isinstance(quota, Forbidden)
    assert isinstance(right, Forbidden)
    assert (quota.quota, right.quota) == (True, False)


@pytest.mark.parametrize(
    "error",
    [
        status(400, 'admission webhook "validate.kyverno.svc-fail" denied the request: images of r.example only'),
        status(
            422,
            "deployments.apps \"m\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
            "Invalid",
            causes=[{"message": "no"}],
        ),
    ],
)
def test_what_a_policy_denies_may_be_allowed_later(error: ClusterError) -> None:
    assert isinstance(error, Forbidden)


def test_words_of_a_policy_in_a_value_are_no_policy() -> None:
    assert isinstance(status(422, 'spec.x: Invalid value: "denied the request"', "Invalid"), Rejected)


@pytest.mark.parametrize(
    ("header", "details", "seconds"),
    [
        ("3", {}, 3.0),
        (None, {"retryAfterSeconds": 2}, 2.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", {"retryAfterSeconds": 2}, 2.0),
        ("nan", {}, None),
        ("-1", {}, None),
        (None, {}, None),
    ],
)
def test_an_overloaded_server_says_when_to_come_back(
    header: str | None, details: object, seconds: float | None
) -> None:
    body = json.dumps({"kind": "Status", "details": details}).encode()
    error = classify("list pods", 429, body, retry_after=header)
    assert isinstance(error, Overloaded)
    assert error.retry_after_seconds == seconds


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad Gateway</html>",
        b"[]",
        b"null",
        b'{"kind": "Pod"}',
        b'{"kind": "Status", "details": 3}',
        b"\xff",
    ],
)
def test_a_proxys_answer_is_judged_by_its_status_alone(body: bytes) -> None:
    assert type(classify("list pods", 502, body)) is Unreachable
    assert type(classify("list pods", 422, body)) is Rejected


def test_a_long_page_of_a_proxy_is_shortened() -> None:
    assert len(str(classify("list pods", 502, b"<p>" * 10_000))) < 300


def test_an_error_line_of_a_watch_is_judged_by_its_code() -> None:
    expired = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version: 1 (9)"}
    assert type(classify_event("watch pods", expired)) is Expired
    assert type(classify_event("watch pods", expired | {"code": 500})) is Unreachable
    assert type(classify_event("watch pods", {})) is Unreachable
