"""What the agent answers through Envoy, and the gateway's own paths."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from gateway_process import Gateway, running_gateway
from openai_requests import CHAT, Reply, send
from snapshots import backend, model, route, snapshot_of

from berth_api.http_api import read_document
from berth_gateway.snapshot import ModelState, Phase

pytestmark = [pytest.mark.needs("envoy"), pytest.mark.asyncio(loop_scope="module")]

STATES = {
    "loads": ModelState(Phase.LOADING, message="the weights are being read", retry_after_seconds=9),
    "rests": ModelState(Phase.SUSPENDED),
    "broken": ModelState(Phase.FAILED, message="model.gguf ends in the middle of a tensor"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    objects = [
        *(model(name) for name in STATES),
        model("loads", namespace="team-a"),
        route("chat", {"backends": [backend("loads")]}),
        route("lost", {"backends": [backend("gone")]}),
    ]
    async with running_gateway(snapshot_of(*objects, states=STATES)) as running:
        yield running


async def get(gateway: Gateway, path: str, method: str = "GET") -> Reply:
    return await send(gateway.session, gateway.url + path, method=method)


async def ask(gateway: Gateway, name: str, **body: object) -> Reply:
    return await send(gateway.session, gateway.url + CHAT, {"model": name} | body)


@pytest.mark.parametrize("name", ["loads", "default/loads", "chat"])
async def test_a_loading_model_is_503_with_its_progress_and_retry_after(gateway: Gateway, name: str) -> None:
    reply = await ask(gateway, name)
    assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "model_loading", "9")
    assert "the weights are being read" in reply.error["message"]


async def test_the_agent_knows_models_of_one_name_in_two_namespaces_apart(gateway: Gateway) -> None:
    assert "team-a/loads" in (await ask(gateway, "team-a/loads")).error["message"]


async def test_the_agents_answer_is_final_unless_there_is_a_fallback(gateway: Gateway) -> None:
    before = await agent_answers(gateway)
    reply = await ask(gateway, "loads")
    assert await agent_answers(gateway) == before + 1
    assert not [name for name in reply.headers if name.startswith("x-envoy")]


async def agent_answers(gateway: Gateway) -> int:
    line = 'berth_gateway_agent_answers_total{code="model_loading",status="503"} '
    return int(float((await get(gateway, "/metrics")).text.partition(line)[2].partition("\n")[0]))


async def test_a_stream_of_a_loading_model_is_a_plain_503(gateway: Gateway) -> None:
    assert (await ask(gateway, "loads", stream=True)).error["code"] == "model_loading"


async def test_a_large_body_for_a_loading_model_is_answered(gateway: Gateway) -> None:
    assert (await ask(gateway, "loads", input="x" * (20 << 20))).error["code"] == "model_loading"


async def test_a_suspended_model_is_503_and_clients_need_not_try_again(gateway: Gateway) -> None:
    reply = await ask(gateway, "rests")
    assert (reply.status, reply.error["code"], reply.headers["x-should-retry"]) == (503, "model_suspended", "false")


async def test_a_failed_model_is_503_with_the_cause(gateway: Gateway) -> None:
    reply = await ask(gateway, "broken")
    assert (reply.status, reply.error["code"]) == (503, "model_failed")
    assert "model.gguf ends in the middle of a tensor" in reply.error["message"]


async def test_a_route_without_models_names_what_is_missing(gateway: Gateway) -> None:
    reply = await ask(gateway, "lost")
    assert (reply.status, reply.error["code"]) == (503, "no_backend")
    assert "default/gone does not exist" in reply.error["message"]


async def test_the_list_holds_what_answers_now_or_soon(gateway: Gateway) -> None:
    reply = await get(gateway, "/v1/models")
    assert [entry["id"] for entry in reply.json["data"]] == ["chat", "loads", "team-a/loads"]


@pytest.mark.parametrize("path", ["/v1/models/team-a/loads", "/v1/models/team-a%2Floads"])
async def test_one_entry_of_the_list_is_found_by_its_name(gateway: Gateway, path: str) -> None:
    assert (await get(gateway, path)).json["id"] == "team-a/loads"


async def test_an_unknown_entry_of_the_list_is_404(gateway: Gateway) -> None:
    assert (await get(gateway, "/v1/models/load")).error["code"] == "model_not_found"


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/health/ready?verbose"])
async def test_the_gateway_is_healthy_by_a_route_of_its_table(gateway: Gateway, path: str) -> None:
    assert (await get(gateway, path)).status == 200


async def test_metrics_show_the_agents_and_envoys_numbers(gateway: Gateway) -> None:
    text = (await get(gateway, "/metrics")).text
    assert 'berth_gateway_models{phase="Loading"} 2.0' in text
    assert "envoy_http_downstream_rq_total" in text
    assert 'envoy_cluster_upstream_rq_active{envoy_cluster_name="default/loads"}' in text


async def test_the_address_itself_says_what_it_is(gateway: Gateway) -> None:
    welcome = (await get(gateway, "/")).json
    assert welcome["name"] == "Berth"
    assert (await get(gateway, welcome["openapi"])).text.encode() == read_document()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/nothing", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models/loads", 405),
        ("PUT", "/v1/embeddings", 405),
        ("GET", "/v1/images/detect", 405),
        ("GET", "/v2/rerank", 405),
    ],
)
async def test_what_does_not_exist_is_an_error_in_openais_form(
    gateway: Gateway, method: str, path: str, status: int
) -> None:
    reply = await get(gateway, path, method)
    assert reply.status == status
    assert path in reply.error["message"]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"connection": "upgrade", "upgrade": "websocket"}, 403, "upgrade_refused"),
        ({"x-long": "x" * 70_000}, 431, "headers_too_large"),
    ],
)
async def test_what_envoy_itself_refuses_is_an_error_in_openais_form(
    gateway: Gateway, headers: dict[str, str], status: int, code: str
) -> None:
    reply = await send(gateway.session, gateway.url + "/v1/models", method="GET", headers=headers)
    assert (reply.status, reply.error["code"]) == (status, code)


async def test_the_access_log_has_a_line_for_each_request(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with running_gateway(snapshot_of(model("loads"), states=STATES), access_log=str(log)) as logging:
        await ask(logging, 'load"s')
        await logging.stop_envoy()
        line = json.loads(await asyncio.to_thread(log.read_text))
    assert (line["model"], line["status"], line["path"]) == ("load%22s", 404, CHAT)
