"""Rerank, classification and pictures over HTTP, from the request's JSON to a worker process and back."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai_requests import send
from runtime_server import RunningServer, a_fake_model, serve_fakes

from berth_api.artifact import Task

TASKS = {
    "ranker": Task.RERANK,
    "moods": Task.TEXT_CLASSIFICATION,
    "names": Task.TOKEN_CLASSIFICATION,
    "animals": Task.IMAGE_CLASSIFICATION,
    "finder": Task.OBJECT_DETECTION,
    "reader": Task.TEXT_RECOGNITION,
}
PATHS = {
    "/v1/rerank": ("ranker", {"query": "green tea", "documents": ["tea"]}),
    "/v1/classify": ("moods", {"input": "a"}),
    "/v1/images/classify": ("animals", {"image": "YQ=="}),
    "/v1/images/detect": ("finder", {"image": "YQ=="}),
    "/v1/images/recognize": ("reader", {"image": "YQ=="}),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[RunningServer]:
    models = [a_fake_model(name, task=task) for name, task in TASKS.items()]
    broken = [a_fake_model(f"broken-{name}", task=task, answer="broken") for name, task in TASKS.items()]
    async with serve_fakes(*models, *broken, a_fake_model("chat")) as server:
        yield server


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def ask(running: RunningServer, path: str, model: str, **body: Any) -> tuple[int, dict[str, Any]]:
    reply = await send(running.session, running.base_url + path, {"model": model, **body})
    return reply.status, reply.json if reply.status == 200 else reply.error


def coded(*pictures: bytes) -> list[str]:
    return [base64.b64encode(picture).decode() for picture in pictures]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
async def test_documents_come_best_first(running: RunningServer, path: str) -> None:
    documents = ["black coffee", {"text": "green tea"}, "tea"]
    status, answer = await ask(running, path, "ranker", query="green tea", documents=documents)
    assert status == 200
    assert answer.pop("id").startswith("rerank-")
    assert answer == {
        "model": "ranker",
        "results": [
            {"index": 1, "relevance_score": 1.0},
            {"index": 2, "relevance_score": 0.5},
            {"index": 0, "relevance_score": 0.0},
        ],
        "usage": {"prompt_tokens": 5, "total_tokens": 5},
    }


async def test_the_best_documents_come_back_whole_if_asked(running: RunningServer) -> None:
    asked = {"query": "tea", "documents": ["coffee", "tea"], "top_n": 1, "return_documents": True}
    _, answer = await ask(running, "/v1/rerank", "ranker", **asked)
    assert answer["results"] == [{"index": 1, "relevance_score": 1.0, "document": {"text": "tea"}}]


async def test_the_openai_client_reaches_what_it_has_no_method_for(running: RunningServer) -> None:
    async with openai.AsyncOpenAI(base_url=f"{running.base_url}/v1", api_key="none", max_retries=0) as client:
        body = {"model": "ranker", "query": "tea", "documents": ["coffee", "tea"]}
        answer: Any = await client.post("/rerank", cast_to=object, body=body)
        assert [each["index"] for each in answer["results"]] == [1, 0]
        with pytest.raises(openai.BadRequestError) as refused:
            await client.post("/rerank", cast_to=object, body={**body, "documents": []})
        assert (refused.value.param, refused.value.code) == ("documents", "invalid_value")


@pytest.mark.parametrize("path", ["/v1/classify", "/classify"])
async def test_a_text_gets_a_class(running: RunningServer, path: str) -> None:
    status, answer = await ask(running, path, "moods", input=["b", "c d"])
    assert status == 200
    assert (answer["object"], answer["model"], len(answer["labels"])) == ("list", "moods", 6)
    assert [(each["index"], each["label"]) for each in answer["data"]] == [(0, "owl"), (1, "bat")]
    assert answer["data"][0]["probs"] == [0.05, 0.05, 0.75, 0.05, 0.05, 0.05]
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


async def test_tokens_become_entities(running: RunningServer) -> None:
    _, answer = await ask(running, "/v1/classify", "names", input=["none here", "Größe für Ada"])
    assert answer["data"][0] == {"index": 0, "entities": []}
    assert [(each["text"], each["start"], each["end"]) for each in answer["data"][1]["entities"]] == [
        ("Größe", 0, 5),
        ("Ada", 10, 13),
    ]
    assert answer["usage"] == {"prompt_tokens": 7, "total_tokens": 7}


async def test_a_picture_gets_its_classes(running: RunningServer) -> None:
    _, answer = await ask(running, "/v1/images/classify", "animals", image=coded(b"b", b"c"), top_k=2)
    assert [each["label"] for each in answer["data"]] == ["owl", "bat"]
    assert [len(each["classes"]) for each in answer["data"]] == [2, 2]
    _, answer = await ask(running, "/v1/images/classify", "animals", image=coded(b"b")[0])
    assert (len(answer["data"][0]["classes"]), answer["data"][0]["num_classes"]) == (5, 6)


async def test_objects_below_the_threshold_are_left_out(running: RunningServer) -> None:
    _, answer = await ask(running, "/v1/images/detect", "finder", image=coded(b"12345")[0])
    scene = answer["data"][0]
    assert (scene["width"], scene["height"], [each["label"] for each in scene["objects"]]) == (5, 480, ["cat", "dog"])
    assert scene["objects"][0]["box"] == {"x": 1.0, "y": 2.5, "width": 10.0, "height": 20.0}
    _, answer = await ask(running, "/v1/images/detect", "finder", image=coded(b"12345")[0], threshold=0.5)
    assert [each["label"] for each in answer["data"][0]["objects"]] == ["cat"]


async def test_a_text_in_a_picture_is_read(running: RunningServer) -> None:
    _, answer = await ask(running, "/v1/images/recognize", "reader", image="data:image/png;base64," + coded(b"STOP")[0])
    assert answer["data"] == [{"index": 0, "text": "STOP", "score": 0.75}]


async def test_a_picture_that_no_engine_can_read_is_the_clients_fault(running: RunningServer) -> None:
    status, error = await ask(running, "/v1/images/detect", "finder", image=coded(b"fine", b"broken"))
    assert (status, error["code"], error["param"]) == (400, "invalid_image", "image")
    assert "image[1]" in error["message"]


async def test_a_body_full_of_pictures_arrives_whole(running: RunningServer) -> None:
    pictures = [os.urandom(5 << 20) for _ in range(4)]
    status, answer = await ask(running, "/v1/images/detect", "finder", image=coded(*pictures))
    assert (status, [each["width"] for each in answer["data"]]) == (200, [5 << 20] * 4)


@pytest.mark.parametrize("path", PATHS)
async def test_an_answer_in_no_agreed_form_is_the_engines_fault(running: RunningServer, path: str) -> None:
    model, body = PATHS[path]
    status, error = await ask(running, path, f"broken-{model}", **body)
    assert (status, error["code"], error["type"]) == (500, "engine_error", "server_error")


async def test_entities_in_no_agreed_form_are_the_engines_fault(running: RunningServer) -> None:
    status, error = await ask(running, "/v1/classify", "broken-names", input="Ada")
    assert (status, error["code"]) == (500, "engine_error")


@pytest.mark.parametrize("path", PATHS)
async def test_a_model_of_other_work_is_not_found_there(running: RunningServer, path: str) -> None:
    status, error = await ask(running, path, "chat", **PATHS[path][1])
    assert (status, error["code"], error["param"]) == (404, "operation_not_supported", "model")


async def test_an_engine_that_fails_or_dies_is_an_error_of_one_request(running: RunningServer) -> None:
    status, error = await ask(running, "/v1/rerank", "ranker", query="fail_at=0 status=503", documents=["a"])
    assert (status, error["code"]) == (503, "told_to_fail")
    status, error = await ask(running, "/v1/classify", "moods", input="die_at=0")
    assert (status, error["code"]) == (502, "engine_died")
    await running.wait_for_state("Ready", "moods")
    assert (await ask(running, "/v1/classify", "moods", input="a"))[0] == 200


async def test_a_field_that_nobody_knows_is_left_out_and_said(running: RunningServer) -> None:
    body = {"model": "ranker", "query": "a", "documents": ["a"], "topn": 1, "user": "me"}
    async with running.session.post(f"{running.base_url}/v1/rerank", json=body) as response:
        assert response.headers["x-berth-ignored-parameters"] == "topn"


async def test_more_requests_than_places_all_get_their_own_answer(running: RunningServer) -> None:
    async def best(document: str) -> str:
        asked = {"query": document, "documents": ["x", document, "y"], "top_n": 1, "return_documents": True}
        _, answer = await ask(running, "/v1/rerank", "ranker", **asked)
        text: str = answer["results"][0]["document"]["text"]
        return text

    words = [f"word{number}" for number in range(8)]
    assert await asyncio.gather(*map(best, words)) == words


@pytest.mark.parametrize("path", PATHS)
async def test_requests_are_counted_by_model_path_and_status(running: RunningServer, path: str) -> None:
    model, body = PATHS[path]
    await ask(running, path, model, **body)
    await ask(running, path, model)
    async with running.session.get(f"{running.base_url}/metrics") as response:
        text = await response.text()
    for status in (200, 400):
        assert f'berth_requests_total{{code="{status}",endpoint="{path}",model="{model}"}}' in text
    assert f'berth_time_to_first_event_seconds_count{{endpoint="{path}",model="{model}"}}' in text


async def test_tokens_of_other_work_are_counted(running: RunningServer) -> None:
    before = await prompt_tokens(running)
    await ask(running, "/v1/classify", "names", input="Ada")
    assert await prompt_tokens(running) == before + 7


async def prompt_tokens(running: RunningServer) -> float:
    async with running.session.get(f"{running.base_url}/metrics") as response:
        lines = (await response.text()).splitlines()
    (line,) = [line for line in lines if line.startswith('berth_prompt_tokens_total{model="names"}')]
    return float(line.rpartition(" ")[2])
