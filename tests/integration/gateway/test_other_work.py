"""Chats in other words, rerank, classes and pictures through Envoy and a real runtime, by every name of a Model."""

import base64
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from chat_answers import read_events
from gateway_process import Gateway, running_gateway
from openai_requests import Reply, send
from runtime_server import a_fake_model, serve_fakes
from snapshots import backend, model, ready, route, snapshot_of
from yarl import URL

from berth_api.artifact import Task
from berth_gateway.snapshot import Endpoint, ModelState, Phase

pytestmark = [pytest.mark.needs("envoy"), pytest.mark.asyncio(loop_scope="module")]

TASKS = {"talker": Task.CHAT, "ranker": Task.RERANK, "moods": Task.TEXT_CLASSIFICATION, "finder": Task.OBJECT_DETECTION}
LARGE = os.urandom(5 << 20)


@dataclass
class House:
    gateway: Gateway

    async def ask(self, path: str, name: str, **body: Any) -> Reply:
        return await send(self.gateway.session, self.gateway.url + path, {**body, "model": name})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        fakes = [a_fake_model(name, task=task) for name, task in TASKS.items()]
        runtime = await stack.enter_async_context(serve_fakes(*fakes))
        endpoint = Endpoint("127.0.0.1", URL(runtime.base_url).port or 0)
        snapshot = snapshot_of(
            *(model(name, aliases=[f"{name}-alias"]) for name in [*TASKS, "sleeper"]),
            *(route(f"{name}-route", {"backends": [backend(name)]}) for name in TASKS),
            states={name: ready(endpoint) for name in TASKS} | {"sleeper": ModelState(Phase.SUSPENDED)},
        )
        yield House(await stack.enter_async_context(running_gateway(snapshot)))


def names_of(own: str) -> list[str]:
    return [own, f"{own}-alias", f"default/{own}", f"{own}-route"]


@pytest.mark.parametrize("name", names_of("ranker"))
@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
async def test_documents_are_sorted(house: House, path: str, name: str) -> None:
    reply = await house.ask(path, name, query="tea", documents=["coffee", "tea"])
    assert (reply.model, [each["index"] for each in reply.json["results"]]) == ("ranker", [1, 0])


@pytest.mark.parametrize("name", names_of("moods"))
@pytest.mark.parametrize("path", ["/v1/classify", "/classify"])
async def test_texts_are_classified(house: House, path: str, name: str) -> None:
    reply = await house.ask(path, name, input="b")
    assert (reply.model, reply.json["data"][0]["label"]) == ("moods", "owl")


@pytest.mark.parametrize("name", names_of("finder"))
async def test_a_picture_of_5_mib_arrives_whole_wherever_the_name_stands(house: House, name: str) -> None:
    reply = await house.ask("/v1/images/detect", name, image=base64.b64encode(LARGE).decode())
    assert (reply.model, reply.json["data"][0]["width"]) == ("finder", len(LARGE))


async def test_what_a_model_does_not_do_is_said_by_its_engine(house: House) -> None:
    reply = await house.ask("/v1/images/detect", "ranker-alias", image="YQ==")
    assert (reply.status, reply.error["code"]) == (404, "operation_not_supported")


async def test_a_wrong_field_is_named_through_the_gateway_too(house: House) -> None:
    reply = await house.ask("/v1/images/detect", "finder", image="https://example.test/cat.png")
    assert (reply.status, reply.error["param"], reply.error["code"]) == (400, "image", "unsupported_content")


@pytest.mark.parametrize("name", names_of("talker"))
async def test_chats_in_the_words_of_other_apis_go_by_the_name(house: House, name: str) -> None:
    reply = await house.ask("/v1/responses", name, input="words=1")
    assert (reply.model, reply.json["output"][0]["content"][0]["text"]) == ("talker", "word0 ")
    said = [{"role": "user", "content": "words=1"}]
    reply = await house.ask("/v1/messages?beta=true", name, max_tokens=5, messages=said)
    assert (reply.model, reply.json["content"][0]["text"]) == ("talker", "word0 ")


async def test_a_stream_in_the_words_of_another_api_comes_through_whole(house: House) -> None:
    reply = await house.ask("/v1/responses", "talker-route", input="words=4", stream=True)
    assert read_events(reply.text)[-1]["response"]["output"][0]["content"][0]["text"] == "word0 word1 word2 word3 "


@pytest.mark.parametrize("name", names_of("moods"))
async def test_what_does_not_chat_says_so_in_the_form_of_the_api(house: House, name: str) -> None:
    reply = await house.ask("/v1/responses", name, input="Hello")
    assert (reply.status, reply.error["code"]) == (404, "operation_not_supported")
    reply = await house.ask("/v1/messages", name, max_tokens=5, messages=[{"role": "user", "content": "Hello"}])
    assert (reply.status, reply.json["error"]["type"]) == (404, "not_found_error")
    assert "does not serve chat requests" in reply.json["error"]["message"]


async def test_the_agent_answers_in_the_form_of_the_api(house: House) -> None:
    reply = await house.ask("/v1/responses", "nobody", input="Hello")
    assert (reply.status, reply.error["code"]) == (404, "model_not_found")
    reply = await house.ask("/v1/messages", "mood")
    assert (reply.status, reply.json["type"], reply.json["error"]["type"]) == (404, "error", "not_found_error")
    assert "Did you mean `moods`" in reply.json["error"]["message"]
    reply = await house.ask("/v1/messages", "sleeper")
    assert (reply.status, reply.json["error"]["type"]) == (503, "overloaded_error")
    reply = await send(house.gateway.session, house.gateway.url + "/v1/responses/resp_1", method="GET")
    assert (reply.status, reply.error["code"]) == (404, "unknown_url")
    assert "Answers are not kept here" in reply.error["message"]
