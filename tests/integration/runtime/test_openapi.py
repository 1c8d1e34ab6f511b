"""Each path of the published document is asked with its own example, and what comes back has the form that it says."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from openai_requests import send
from openapi import (
    DOCUMENT,
    EVENTS,
    JSON,
    Json,
    answer_content,
    closed_validator,
    operations,
    stream_validator,
    whole_stream,
)
from runtime_server import RunningServer, a_fake_model, serve_fakes

from berth_api.artifact import Task
from berth_api.http_api import read_document

NAMES = {
    "minilm": Task.EMBEDDING,
    "reranker": Task.RERANK,
    "sentiment": Task.TEXT_CLASSIFICATION,
    "names": Task.TOKEN_CLASSIFICATION,
    "animals": Task.IMAGE_CLASSIFICATION,
    "detector": Task.OBJECT_DETECTION,
    "reader": Task.TEXT_RECOGNITION,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[RunningServer]:
    others = [a_fake_model(name, task=task) for name, task in NAMES.items()]
    async with serve_fakes(a_fake_model("smollm2"), *others) as server:
        yield server


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(("path", "operation"), operations("post"))
async def test_what_the_document_asks_is_answered_as_it_says(
    running: RunningServer, path: str, operation: Json
) -> None:
    example = operation["requestBody"]["content"][JSON]["example"]
    reply = await send(running.session, running.base_url + path, example)
    assert reply.status == 200, reply.text
    closed_validator(answer_content(operation)[JSON]["schema"]).validate(reply.json)


@pytest.mark.parametrize(
    ("path", "operation"), [each for each in operations("post") if EVENTS in answer_content(each[1])]
)
async def test_each_event_of_a_stream_is_what_the_document_says(
    running: RunningServer, path: str, operation: Json
) -> None:
    example = operation["requestBody"]["content"][JSON]["example"]
    reply = await send(running.session, running.base_url + path, {**example, "stream": True})
    events = whole_stream(reply.text)
    assert len(events) >= 3
    schema = stream_validator(operation)
    for event in events:
        schema.validate(event)


async def test_entities_have_the_form_that_the_document_says(running: RunningServer) -> None:
    reply = await send(running.session, running.base_url + "/v1/classify", {"model": "names", "input": "Ada and Bob"})
    closed_validator({"$ref": "#/components/schemas/ClassifyAnswer"}).validate(reply.json)
    closed_validator({"$ref": "#/components/schemas/TextEntities"}).validate(reply.json["data"][0])


@pytest.mark.parametrize(("path", "operation"), operations("get"))
async def test_what_is_looked_at_has_the_form_that_the_document_says(
    running: RunningServer, path: str, operation: Json
) -> None:
    reply = await send(running.session, running.base_url + path.replace("{id}", "smollm2"), method="GET")
    assert reply.status == 200
    ((media_type, content),) = answer_content(operation).items()
    assert reply.headers["content-type"].startswith(media_type)
    if media_type == JSON and path != "/openapi.json":
        closed_validator(content["schema"]).validate(reply.json)


async def test_an_error_has_the_form_that_the_document_says(running: RunningServer) -> None:
    reply = await send(running.session, running.base_url + "/v1/rerank", {"model": "nobody"})
    closed_validator(DOCUMENT["components"]["responses"]["Error"]["content"][JSON]["schema"]).validate(reply.json)


async def test_the_document_is_served(running: RunningServer) -> None:
    reply = await send(running.session, running.base_url + "/openapi.json", method="GET")
    assert reply.text.encode() == read_document()
