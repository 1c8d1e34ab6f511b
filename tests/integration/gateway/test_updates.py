"""How the configuration changes: refusals, an agent that is away, many models, an Envoy that comes late or again."""

import asyncio
import json
import time
from collections.abc import Sequence

import pytest
from fake_engine import FakeEngine, running_engine
from gateway_process import DEADLINE_SECONDS, Gateway, running_gateway
from openai_requests import CHAT, Reply, send
from snapshots import model, ready, route, snapshot_of

from berth_api.errors import Unavailable
from berth_gateway.agent import Agent
from berth_gateway.settings import GatewaySettings
from berth_gateway.snapshot import Endpoint, Rule, Snapshot
from berth_gateway.snapshot import Route as ServedRoute
from berth_gateway.xds import UpdateRejected

pytestmark = pytest.mark.needs("envoy")


def serving(*engines: FakeEngine, name: str = "qwen") -> Snapshot:
    return snapshot_of(model(name), states={name: ready(*(engine.endpoint for engine in engines))})


async def ask(gateway: Gateway, name: str) -> Reply:
    return await send(gateway.session, gateway.url + CHAT, {"model": name})


async def test_refused_endpoints_leave_the_old_state_and_raise_envoys_words() -> None:
    async with running_engine("qwen") as engine, running_gateway(serving(engine)) as gateway:
        broken = snapshot_of(model("qwen"), model("other"), states={"qwen": ready(Endpoint("no-address", 80))})
        with pytest.raises(UpdateRejected, match=r"refused the new endpoints: .*no-address"):
            await gateway.apply(broken)
        assert (await ask(gateway, "qwen")).model == "qwen"
        assert (await ask(gateway, "other")).status == 404
        await gateway.apply(snapshot_of(model("qwen", aliases=["next"]), states={"qwen": ready(engine.endpoint)}))
        assert (await ask(gateway, "next")).model == "qwen", "a refusal does not stand in the way of what follows"


async def test_a_refused_route_table_leaves_the_old_one() -> None:
    async with running_engine("qwen") as engine, running_gateway(serving(engine)) as gateway:
        good = serving(engine)
        bad_rule = Rule({"default/qwen": 1}, headers={"": "no header has this name"})
        chat = snapshot_of(model("qwen"), route("chat", {"backends": [{"backendRef": {"name": "qwen"}}]}))
        broken = Snapshot(good.models, {"default/chat": ServedRoute("default", "chat", (bad_rule,))}, chat.names)
        with pytest.raises(UpdateRejected, match="refused the new routes"):
            await gateway.apply(broken)
        assert (await ask(gateway, "qwen")).model == "qwen"
        assert (await ask(gateway, "chat")).status == 404


async def test_a_first_state_that_is_refused_does_not_spoil_the_next() -> None:
    async with running_engine("qwen") as engine, running_gateway() as gateway:
        with pytest.raises(UpdateRejected):
            await gateway.apply(snapshot_of(model("qwen"), states={"qwen": ready(Endpoint("no-address", 80))}))
        await gateway.apply(serving(engine))
        await gateway.open()
        assert (await ask(gateway, "qwen")).model == "qwen"


async def test_requests_are_served_while_the_agent_is_away_and_news_come_when_it_is_back() -> None:
    async with (
        running_engine("qwen") as old,
        running_engine("qwen") as new,
        running_gateway(serving(old)) as gateway,
    ):
        await gateway.agent.stop()
        for _ in range(20):
            assert (await ask(gateway, "qwen")).model == "qwen"
        gateway.agent = Agent(gateway.settings)
        await gateway.agent.start()
        assert (await ask(gateway, "qwen")).model == "qwen", "an agent that knows nothing yet takes nothing away"
        await gateway.apply(serving(new))
        seen = len(old.seen)
        assert (await ask(gateway, "qwen")).model == "qwen"
        assert (len(old.seen), len(new.seen)) == (seen, 1)


async def test_without_the_agent_its_answers_are_502_in_openais_form() -> None:
    async with running_engine("qwen") as engine, running_gateway(serving(engine)) as gateway:
        await gateway.agent.stop()
        reply = await ask(gateway, "nobody")
        assert reply.status == 502
        assert reply.error["type"] == "server_error"
        await gateway.agent.start()


async def test_without_an_envoy_apply_says_so_in_time_and_envoy_gets_the_state_when_it_comes() -> None:
    async with running_engine("qwen") as engine, running_gateway() as gateway:
        lonely = gateway.settings.run_dir / "lonely"
        agent = Agent(GatewaySettings(lonely, acknowledge_timeout_seconds=0.2))
        await agent.start()
        with pytest.raises(Unavailable, match="Envoy is not connected"):
            await agent.apply(serving(engine))
        await agent.stop()


async def test_envoy_opens_its_port_only_when_it_has_routes() -> None:
    async with running_engine("qwen") as engine, running_gateway() as gateway:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not gateway.agent.is_connected:
                await asyncio.sleep(0.01)
        with pytest.raises(OSError, match="onnect"):
            await asyncio.open_connection(gateway.settings.host, gateway.settings.port)
        await gateway.apply(serving(engine))
        await gateway.open()


async def test_an_envoy_that_starts_again_gets_everything() -> None:
    async with running_engine("qwen") as engine, running_gateway(serving(engine)) as gateway:
        await gateway.restart_envoy()
        await gateway.open()
        assert (await ask(gateway, "qwen")).model == "qwen"


async def test_requests_never_fail_while_endpoints_and_names_change() -> None:
    """Make before break: a client that asks all the time sees only answers."""
    async with (
        running_engine("qwen") as one,
        running_engine("qwen") as two,
        running_gateway(serving(one), workers=2) as gateway,
    ):
        statuses: list[list[int]] = [[] for _ in range(4)]
        stop = asyncio.Event()

        async def keep_asking(mine: list[int]) -> None:
            while not stop.is_set():
                mine.append((await ask(gateway, "qwen")).status)

        asking = asyncio.gather(*map(keep_asking, statuses))
        for number in range(20):
            engine, extra = (one, two)[number % 2], model(f"extra-{number}")
            await gateway.apply(snapshot_of(model("qwen"), extra, states={"qwen": ready(engine.endpoint)}))
            await everyone_gets_two_more(statuses)
        stop.set()
        await asking
        assert {status for mine in statuses for status in mine} == {200}
        assert one.seen
        assert two.seen


async def everyone_gets_two_more(answers: Sequence[list[int]]) -> None:
    """Of two more answers the second was asked for after this call."""
    wanted = [len(each) + 2 for each in answers]
    async with asyncio.timeout(DEADLINE_SECONDS):
        while any(len(each) < count for each, count in zip(answers, wanted, strict=True)):
            await asyncio.sleep(0.001)


async def test_2000_models_are_applied_quickly(capsys: pytest.CaptureFixture[str]) -> None:
    count = 2000
    async with running_engine("m7") as engine, running_gateway() as gateway:
        objects = [model(f"m{number}") for number in range(count)]

        async def timed(snapshot: Snapshot) -> float:
            started = time.perf_counter()
            await gateway.apply(snapshot)
            return time.perf_counter() - started

        states = {"m7": ready(engine.endpoint)}
        first = await timed(snapshot_of(*objects))
        await gateway.open()
        endpoints = await timed(snapshot_of(*objects, states=states))
        one_more = await timed(snapshot_of(*objects, model("newcomer"), states=states))
        one_less = await timed(snapshot_of(*objects, states=states))
        assert (await ask(gateway, "m7")).model == "m7"
        assert (await ask(gateway, "m8")).error["code"] == "model_loading"
        listed = await send(gateway.session, gateway.url + "/v1/models", method="GET")
        assert len(listed.json["data"]) == count
        with capsys.disabled():
            seconds = {"first": first, "endpoints": endpoints, "one more": one_more, "one less": one_less}
            print(
                f"\n{count} models applied in s:", json.dumps({name: round(took, 2) for name, took in seconds.items()})
            )
        assert max(endpoints, one_more, one_less) < first, "a change costs less than everything anew"
