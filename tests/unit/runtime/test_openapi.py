"""The published document says what the server does: its routes, its fields, its examples."""

import json
import re
from typing import Any

import pytest
from openapi import DOCUMENT, JSON, Json, answer_content, examples, operations, validator

from berth_runtime.catalog import Catalog
from berth_runtime.drain import Drain
from berth_runtime.engines.protocol import Operation
from berth_runtime.metrics import Metrics
from berth_runtime.openai.parameters import FORMS
from berth_runtime.openapi.document import build_document
from berth_runtime.openapi.endpoints import POSTED
from berth_runtime.openapi.requests import SUBJECTS, request_schema
from berth_runtime.routes.application import build_application

A_PICTURE_ELSEWHERE = {"type": "image_url", "image_url": {"url": "http://127.0.0.1/a.png"}}


def test_the_published_document_is_the_one_of_this_version() -> None:
    assert build_document() == DOCUMENT


def test_every_route_is_in_the_document_and_every_path_in_it_is_routed() -> None:
    app = build_application(Catalog({}), Metrics(), Drain())
    routed = {(route.method.lower(), route.resource.canonical) for route in app.router.routes() if route.resource}
    said = {(method, path) for method in ("get", "post") for path, _ in operations(method)}
    assert {route for route in routed if route[0] != "head"} == said


def test_no_two_operations_share_an_id() -> None:
    ids = [operation["operationId"] for method in ("get", "post") for _, operation in operations(method)]
    assert len(ids) == len(set(ids))


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    refs = set(re.findall(r'"#/components/(\w+)/(\w+)"', json.dumps(DOCUMENT)))
    components = {(kind, name) for kind, named in DOCUMENT["components"].items() for name in named}
    assert refs == components


@pytest.mark.parametrize(("path", "operation"), operations("post"))
def test_the_example_of_a_request_is_one(path: str, operation: Json) -> None:
    content = operation["requestBody"]["content"][JSON]
    validator(content["schema"]).validate(content["example"])


@pytest.mark.parametrize(("path", "operation"), [*operations("get"), *operations("post")])
def test_the_example_of_an_answer_is_one(path: str, operation: Json) -> None:
    shown = [(content, example) for content in answer_content(operation).values() for example in examples(content)]
    assert shown, path
    for content, example in shown:
        validator(content["schema"]).validate(example)


@pytest.mark.parametrize("operation", Operation)
def test_every_field_that_an_engine_may_honour_is_in_the_document_and_no_other(operation: Operation) -> None:
    form = FORMS[operation]
    assert set(SUBJECTS[operation]) == form.subject
    served = {name for name, field in form.fields.items() if field.served}
    assert set(request_schema(operation)["properties"]) == {"model"} | form.subject | served


def test_every_kind_of_work_has_a_path() -> None:
    schemas = [posted.request for posted in POSTED]
    assert all(request_schema(operation) in schemas for operation in Operation)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("RerankRequest", {"model": "m", "documents": ["a"]}),
        ("RerankRequest", {"model": "m", "query": "a", "documents": []}),
        ("RerankRequest", {"model": "m", "query": "a", "documents": [{"title": "a"}]}),
        ("ClassifyRequest", {"model": "m", "input": ""}),
        ("DetectObjectsRequest", {"model": "m", "image": "YQ==", "threshold": 2}),
        ("GenerateRequest", {"model": "m"}),
        ("ChatRequest", {"model": "m", "messages": [{"role": "king", "content": "a"}]}),
        ("ChatRequest", {"model": "m", "messages": [{"role": "user", "content": [A_PICTURE_ELSEWHERE]}]}),
        ("ChatRequest", {"model": "m", "messages": [{"role": "user", "content": "a"}], "temperature": 9}),
    ],
)
def test_a_schema_refuses_what_the_server_refuses(name: str, body: dict[str, Any]) -> None:
    assert not validator(DOCUMENT["components"]["schemas"][name]).is_valid(body)
