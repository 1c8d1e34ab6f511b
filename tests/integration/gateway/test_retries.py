"""What happens when an engine fails before its first token, and how requests are divided among backends."""

import asyncio
from collections import Counter

import pytest
from binomial import binomial_bounds
from fake_engine import FakeEngine, Happening, running_engine
from gateway_process import DEADLINE_SECONDS, Gateway, free_port, running_gateway
from openai_requests import CHAT, Reply, send, streaming
from snapshots import backend, fallback, model, ready, route, snapshot_of

from berth_gateway.snapshot import Snapshot

pytestmark = pytest.mark.needs("envoy")


FAILURES_TO_BE_LEFT_OUT = 3
CONNECT_FAILURES = "cluster.default/qwen.upstream_cx_connect_fail"


async def ask(gateway: Gateway, name: str, **body: object) -> Reply:
    return await send(gateway.session, gateway.url + CHAT, {"model": name} | body)


def alone(engine: FakeEngine) -> Snapshot:
    return snapshot_of(model(engine.name), states={engine.name: ready(engine.endpoint)})


def with_fallback(first: FakeEngine, second: FakeEngine, **rule: object) -> Snapshot:
    return snapshot_of(
        model(first.name),
        model(second.name),
        route("chat", {"backends": [backend(first.name)], "fallbacks": [fallback(second.name)]} | rule),
        states={first.name: ready(first.endpoint), second.name: ready(second.endpoint)},
    )


async def test_an_engine_that_dies_before_its_first_token_is_asked_again() -> None:
    async with running_engine("qwen") as engine, running_gateway(alone(engine)) as gateway:
        engine.plan.append(Happening.DIE_BEFORE_HEAD)
        assert (await ask(gateway, "qwen")).model == "qwen"
        assert len(engine.seen) == 2


async def test_the_second_endpoint_answers_for_one_that_dies() -> None:
    async with running_engine("qwen") as one, running_engine("qwen") as two:
        snapshot = snapshot_of(model("qwen"), states={"qwen": ready(one.endpoint, two.endpoint)})
        async with running_gateway(snapshot) as gateway:
            one.plan.extend([Happening.DIE_BEFORE_HEAD] * 20)
            two.plan.extend([Happening.ANSWER] * 20)
            for _ in range(10):
                assert (await ask(gateway, "qwen")).model == "qwen"
            assert len(two.seen) == 10, "each request was answered exactly once"
            assert len(one.seen) <= 10, "no request asked the dead one twice"


async def test_a_stream_that_dies_before_its_first_token_is_retried_and_seen_once() -> None:
    async with running_engine("big") as big, running_engine("small") as small:
        async with running_gateway(with_fallback(big, small)) as gateway:
            big.plan.extend([Happening.DIE_BEFORE_HEAD] * 3)
            async with streaming(gateway.session, gateway.url, "chat") as stream:
                assert stream.status == 200
                assert len(await stream.words()) == 10
        assert len(small.seen) == 1
        assert small.seen[0].headers["x-berth-model"] == "small", "the fallback is asked under its own name"


@pytest.mark.parametrize("happening", [Happening.DIE_BEFORE_HEAD, Happening.OVERLOADED_429, Happening.OVERLOADED_503])
async def test_a_fallback_answers_when_the_backend_keeps_failing(happening: Happening) -> None:
    async with running_engine("big") as big, running_engine("small") as small:
        async with running_gateway(with_fallback(big, small)) as gateway:
            big.plan.extend([happening] * 3)
            assert (await ask(gateway, "chat")).model == "small"
        assert (len(big.seen), len(small.seen)) == (3, 1), "the backend's own tries come first"


async def test_a_fallback_answers_when_nobody_listens_at_the_backends_port() -> None:
    async with running_engine("small") as small:
        gone = FakeEngine("big", free_port())
        async with running_gateway(with_fallback(gone, small)) as gateway:
            assert (await ask(gateway, "chat")).model == "small"


async def test_a_body_of_20_mib_is_sent_again_to_the_fallback() -> None:
    async with running_engine("big") as big, running_engine("small") as small:
        async with running_gateway(with_fallback(big, small)) as gateway:
            big.plan.extend([Happening.DIE_BEFORE_HEAD] * 3)
            assert (await ask(gateway, "chat", input="x" * (20 << 20))).model == "small"
        assert small.seen[0].body_bytes == big.seen[0].body_bytes > 20 << 20


async def test_an_engines_own_error_is_the_clients_and_is_not_tried_again() -> None:
    async with running_engine("qwen") as engine, running_gateway(alone(engine)) as gateway:
        engine.plan.append(Happening.BROKEN_500)
        reply = await ask(gateway, "qwen")
        assert (reply.status, reply.json["error"]["code"]) == (500, "engine_says_so")
        assert len(engine.seen) == 1


async def test_a_prompt_that_kills_its_engine_is_sent_three_times_at_most() -> None:
    async with running_engine("qwen") as engine, running_gateway(alone(engine)) as gateway:
        engine.plan.extend([Happening.DIE_BEFORE_HEAD] * 10)
        reply = await ask(gateway, "qwen")
        assert (reply.status, reply.error["code"]) == (502, "engine_failed")
        assert len(engine.seen) == 3


async def test_an_only_engine_that_comes_back_is_asked_at_once_however_often_it_failed() -> None:
    gone = FakeEngine("qwen", free_port())
    async with running_gateway(alone(gone)) as gateway:
        for _ in range(5):
            assert (await ask(gateway, "qwen")).status == 502
        # The thread that answers this leaves engines out, so it has decided by now.
        assert await gateway.statistic(CONNECT_FAILURES) >= FAILURES_TO_BE_LEFT_OUT
        async with running_engine("qwen", port=gone.port):
            assert (await ask(gateway, "qwen")).model == "qwen"


async def test_one_of_several_engines_that_cant_be_reached_is_left_out() -> None:
    gone = FakeEngine("qwen", free_port())
    async with running_engine("qwen") as one, running_engine("qwen") as two:
        replicas = ready(gone.endpoint, one.endpoint, two.endpoint)
        async with running_gateway(snapshot_of(model("qwen"), states={"qwen": replicas})) as gateway:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while await gateway.statistic(CONNECT_FAILURES) < FAILURES_TO_BE_LEFT_OUT:
                    assert (await ask(gateway, "qwen")).model == "qwen"
            failed = await gateway.statistic(CONNECT_FAILURES)
            for _ in range(20):
                assert (await ask(gateway, "qwen")).model == "qwen"
            # One may be on its way to it just now. Asked like the others it would fail some seven times.
            assert await gateway.statistic(CONNECT_FAILURES) - failed <= 1


async def test_a_rule_says_what_is_tried_again() -> None:
    retries = {"attempts": 1, "retryOn": ["ConnectFailure", "Overloaded"]}
    async with running_engine("big") as big, running_engine("small") as small:
        async with running_gateway(with_fallback(big, small, retries=retries)) as gateway:
            big.plan.append(Happening.DIE_BEFORE_HEAD)
            assert (await ask(gateway, "chat")).status == 502
            big.plan.extend([Happening.OVERLOADED_429] * 2)
            assert (await ask(gateway, "chat")).model == "small"
        assert (len(big.seen), len(small.seen)) == (3, 1)


async def test_a_stream_without_a_first_byte_in_time_goes_to_the_fallback() -> None:
    times = {"firstByte": "3s", "idle": "1m"}
    async with running_engine("big") as big, running_engine("small") as small:
        async with running_gateway(with_fallback(big, small, timeouts=times, retries={"attempts": 0})) as gateway:
            big.plan.append(Happening.STAY_SILENT)
            async with streaming(gateway.session, gateway.url, "chat") as stream:
                assert len(await stream.words()) == 10
        assert (len(big.seen), len(small.seen)) == (1, 1)


async def test_the_first_byte_bounds_neither_whole_answers_nor_the_rest_of_a_stream() -> None:
    times, late_seconds = {"firstByte": "3s", "idle": "1m"}, 7
    async with (
        running_engine("big", stepwise=True, late_seconds=late_seconds) as big,
        running_engine("small") as small,
        running_gateway(with_fallback(big, small, timeouts=times)) as gateway,
    ):
        big.release()
        async with streaming(gateway.session, gateway.url, "chat") as stream:
            await stream.event()
            big.plan.append(Happening.ANSWER_LATE)
            whole, _ = await asyncio.gather(ask(gateway, "chat"), wait_seconds(late_seconds))
            assert whole.model == "big"
            big.release(10)
            assert len(await stream.words()) == 9
        assert (len(big.seen), len(small.seen)) == (2, 0)


async def test_a_silent_stream_ends_after_its_idle_time() -> None:
    times = {"firstByte": "30s", "idle": "1s"}
    async with (
        running_engine("big") as big,
        running_engine("small") as small,
        running_gateway(with_fallback(big, small, timeouts=times)) as gateway,
    ):
        big.plan.append(Happening.STAY_SILENT)
        reply = await ask(gateway, "chat")
        assert (reply.status, reply.error["code"]) == (504, "idle_timeout")


async def wait_seconds(seconds: float) -> None:
    """The passing of time is what such a test is about, so here it is waited for."""
    await asyncio.sleep(seconds)


async def test_weights_divide_requests_within_the_binomial_bound() -> None:
    requests, share = 1000, 0.9
    async with running_engine("old") as old, running_engine("new") as new:
        snapshot = snapshot_of(
            model("old"),
            model("new"),
            route("chat", {"backends": [backend("old", 90), backend("new", 10)]}),
            states={"old": ready(old.endpoint), "new": ready(new.endpoint)},
        )
        async with running_gateway(snapshot) as gateway:
            answered = Counter([(await ask(gateway, "chat")).model for _ in range(requests)])
    low, high = binomial_bounds(requests, share, 0.9999)
    assert low <= answered["old"] <= high
    assert answered["old"] + answered["new"] == requests
    assert len(old.seen) == answered["old"], "each engine saw just the requests that it answered"


async def test_the_share_of_a_backend_that_does_not_answer_goes_to_the_others() -> None:
    async with running_engine("new") as new:
        snapshot = snapshot_of(
            model("old"),
            model("new"),
            route("chat", {"backends": [backend("old", 90), backend("new", 10)]}),
            states={"new": ready(new.endpoint)},
        )
        async with running_gateway(snapshot) as gateway:
            assert {(await ask(gateway, "chat")).model for _ in range(50)} == {"new"}


async def test_an_engine_that_closes_idle_connections_early_loses_no_request() -> None:
    async with (
        running_engine("qwen", idle_connection_seconds=0.004) as engine,
        running_gateway(alone(engine)) as gateway,
    ):
        for number in range(100):
            assert (await ask(gateway, "qwen")).model == "qwen"
            # Around the moment at which the engine hangs up.
            await wait_seconds(0.002 + 0.00004 * number)
