"""A name that a client sends reaches the engine that owns it, under the engine's own name and no other."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio
from fake_engine import FakeEngine, Happening, running_engine
from gateway_process import Gateway, running_gateway
from openai_requests import CHAT, Reply, send
from snapshots import backend, fallback, header, model, ready, route, snapshot_of

from berth_api.http_api import posted_paths

MODELS = (
    model(
        "plain", aliases=["plain-1.5", "gpt-4o"], adapters=[{"name": "sql", "source": {"uri": "oci://localhost/s:1"}}]
    ),
    model("gold", exposure="RoutesOnly"),
    route(
        "chat",
        {"match": header("x-tier", "gold"), "backends": [backend("gold")]},
        {
            "match": {"headers": [{"name": "x-tier", "value": "lead"}, {"name": "x-team", "value": "a"}]},
            "backends": [backend("gold")],
        },
        {"backends": [backend("plain")]},
        names=["chat", "gpt-4o-mini"],
    ),
    route("ask", {"backends": [backend("plain", adapter="sql")], "fallbacks": [fallback("gold")]}),
    route("vip", {"match": header("x-tier", "gold"), "backends": [backend("gold")]}),
)


@dataclass
class House:
    gateway: Gateway
    plain: FakeEngine
    gold: FakeEngine

    async def ask(self, name: str, **headers: str) -> Reply:
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        return await send(self.gateway.session, self.gateway.url + CHAT, {"model": name}, headers=sent)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        plain, gold = [await stack.enter_async_context(running_engine(name)) for name in ("plain", "gold")]
        plain.names.add("plain:sql")
        snapshot = snapshot_of(*MODELS, states={"plain": ready(plain.endpoint), "gold": ready(gold.endpoint)})
        yield House(await stack.enter_async_context(running_gateway(snapshot)), plain, gold)


pytestmark = [pytest.mark.needs("envoy"), pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize(
    "name", ["plain", "plain-1.5", "gpt-4o", "default/plain", "default/gpt-4o", "chat", "gpt-4o-mini"]
)
async def test_every_name_reaches_the_engine_under_its_own(house: House, name: str) -> None:
    assert (await house.ask(name)).model == "plain"
    assert house.plain.seen[-1].headers["x-berth-model"] == "plain"
    assert house.plain.seen[-1].body_model == name, "the body is passed on as it came"


@pytest.mark.parametrize("name", ["plain:sql", "plain-1.5:sql", "default/plain:sql", "default/gpt-4o:sql", "ask"])
async def test_an_adapter_is_asked_of_its_models_engine_by_the_engines_own_name(house: House, name: str) -> None:
    assert (await house.ask(name)).model == "plain:sql"
    assert house.plain.seen[-1].headers["x-berth-model"] == "plain:sql"


async def test_a_fallback_from_an_adapter_carries_the_other_models_name(house: House) -> None:
    house.plain.plan += [Happening.OVERLOADED_503] * 3
    assert (await house.ask("ask")).model == "gold"
    assert house.gold.seen[-1].headers["x-berth-model"] == "gold"
    house.plain.plan.clear()


@pytest.mark.parametrize("name", ["plain:sq1", "default/plain:sq1", "plain:", "gold:sql", "chat:sql"])
async def test_an_adapter_that_is_not_there_is_404(house: House, name: str) -> None:
    reply = await house.ask(name)
    assert (reply.status, reply.error["code"]) == (404, "model_not_found")
    assert f"`{name}`" in reply.error["message"]


async def test_an_adapter_that_is_not_there_is_answered_with_one_that_is(house: House) -> None:
    assert "Did you mean `plain:sql`" in (await house.ask("plain:sq1")).error["message"]


async def test_a_rule_is_chosen_by_its_header(house: House) -> None:
    assert (await house.ask("chat", x_tier="gold")).model == "gold"
    assert (await house.ask("chat", x_tier="silver")).model == "plain"


async def test_a_rule_with_two_headers_needs_both(house: House) -> None:
    assert (await house.ask("chat", x_tier="lead")).model == "plain"
    assert (await house.ask("chat", x_tier="lead", x_team="a")).model == "gold"


async def test_a_route_whose_rules_all_fail_is_404_with_the_routes_name(house: House) -> None:
    reply = await house.ask("vip")
    assert reply.status == 404
    assert reply.error["code"] == "model_not_found"
    assert "default/vip" in reply.error["message"]


async def test_a_model_for_routes_only_is_not_reached_by_its_own_name(house: House) -> None:
    for name in ("gold", "default/gold"):
        assert (await house.ask(name)).status == 404


@pytest.mark.parametrize(
    "forged",
    [
        {"x-berth-model": "gold", "x-berth-namespace": "default"},
        {"x-berth-asked": "vip", "x-tier": "gold"},
        {"x-berth-question": "no-rule", "x-berth-stream": "true"},
    ],
)
async def test_what_a_client_says_in_berths_own_headers_changes_nothing(house: House, forged: dict[str, str]) -> None:
    url = house.gateway.url
    assert (await send(house.gateway.session, url + CHAT, {"model": "plain"}, headers=forged)).model == "plain"
    unknown = await send(house.gateway.session, url + CHAT, {"model": "nobody"}, headers=forged)
    assert (unknown.status, unknown.error["code"]) == (404, "model_not_found")
    listed = await send(house.gateway.session, url + "/v1/models", method="GET", headers=forged)
    assert listed.json["object"] == "list"


async def test_a_client_cant_choose_envoys_retries(house: House) -> None:
    house.plain.plan.append(Happening.DIE_BEFORE_HEAD)
    none = {"x-envoy-max-retries": "0", "x-envoy-retry-on": "gateway-error"}
    reply = await send(house.gateway.session, house.gateway.url + CHAT, {"model": "plain"}, headers=none)
    assert reply.model == "plain"


async def test_engines_get_no_credentials_that_a_client_carries(house: House) -> None:
    headers = {"authorization": "Bearer sk-real", "cookie": "session=1", "x-api-key": "k", "api-key": "k"}
    await send(house.gateway.session, house.gateway.url + CHAT, {"model": "plain"}, headers=headers)
    seen = {name.lower() for name in house.plain.seen[-1].headers}
    assert not seen & set(headers)


async def test_a_request_keeps_its_id_on_the_whole_way(house: House) -> None:
    reply = await house.ask("plain", x_request_id="my-own-id")
    assert reply.headers["x-request-id"] == "my-own-id"
    assert house.plain.seen[-1].headers["X-Request-ID"] == "my-own-id"
    assert (await house.ask("plain")).headers["x-request-id"]


@pytest.mark.parametrize("path", sorted(posted_paths()))
async def test_every_model_path_is_routed_by_the_body(house: House, path: str) -> None:
    reply = await send(house.gateway.session, house.gateway.url + path, {"model": "gpt-4o"})
    assert reply.model == "plain"
    assert house.plain.seen[-1].path == path
