"""Streams arrive event by event, end when the client leaves, and survive every change of the configuration."""

import asyncio

import aiohttp
import pytest
from fake_engine import WORDS, FakeEngine, Happening, running_engine
from gateway_process import DEADLINE_SECONDS, running_gateway
from openai_requests import CHAT, send, streaming
from snapshots import backend, model, ready, route, snapshot_of

from berth_gateway.snapshot import ModelState, Phase, Snapshot

pytestmark = pytest.mark.needs("envoy")


def serving(engine: FakeEngine) -> Snapshot:
    return snapshot_of(model(engine.name), states={engine.name: ready(engine.endpoint)})


async def test_each_event_arrives_before_the_next_one_is_made() -> None:
    async with (
        running_engine("qwen", stepwise=True) as engine,
        running_gateway(serving(engine)) as gateway,
        asyncio.timeout(DEADLINE_SECONDS),
    ):
        engine.release()
        async with streaming(gateway.session, gateway.url, "qwen") as stream:
            for word in WORDS:
                event = await stream.event()
                assert event["choices"][0]["delta"]["content"] == word
                engine.release()
            assert await stream.event() == "[DONE]"


async def test_a_client_that_leaves_ends_its_generation() -> None:
    async with running_engine("qwen", stepwise=True) as engine, running_gateway(serving(engine)) as gateway:
        engine.release()
        async with streaming(gateway.session, gateway.url, "qwen") as stream:
            await stream.event()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await engine.left.wait()


async def test_a_client_that_leaves_before_the_first_event_ends_its_generation_too() -> None:
    async with running_engine("qwen") as engine, running_gateway(serving(engine)) as gateway:
        engine.plan.append(Happening.STAY_SILENT)
        asking = asyncio.create_task(send(gateway.session, gateway.url + CHAT, {"model": "qwen"}))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not engine.seen:
                await asyncio.sleep(0.01)
            asking.cancel()
            await engine.left.wait()
        assert len(engine.seen) == 1, "nobody tries again for a client that has left"


async def test_a_stream_that_breaks_after_tokens_breaks_for_the_client_without_done() -> None:
    async with running_engine("qwen") as engine, running_gateway(serving(engine)) as gateway:
        engine.plan.append(Happening.DIE_AFTER_TOKENS)
        async with streaming(gateway.session, gateway.url, "qwen") as stream:
            with pytest.raises(aiohttp.ClientError):
                await stream.words()
        assert len(engine.seen) == 1, "what has begun is never begun again"


async def test_a_running_stream_survives_every_change() -> None:
    """One stream goes on through a new endpoint, a drain, a reroute, and the removal of its Model and of its name."""
    async with (
        running_engine("one", stepwise=True) as one,
        running_engine("two") as two,
        running_engine("one") as replica,
        running_gateway() as gateway,
    ):
        both = (model("one"), model("two"))
        two_ready = ready(two.endpoint)

        def chat_to(name: str, state: ModelState) -> Snapshot:
            states = {"one": state, "two": two_ready}
            return snapshot_of(*both, route("chat", {"backends": [backend(name)]}), states=states)

        changes = [
            chat_to("one", ready(one.endpoint, replica.endpoint)),
            chat_to("one", ready(one.draining_endpoint, replica.endpoint)),
            chat_to("two", ready(one.endpoint)),
            chat_to("two", ModelState(Phase.LOADING)),
            chat_to("two", ModelState(Phase.SUSPENDED, (one.draining_endpoint,))),
            snapshot_of(both[1], route("chat", {"backends": [backend("two")]}), states={"two": two_ready}),
            snapshot_of(both[1], states={"two": two_ready}),
            Snapshot(),
        ]
        await gateway.apply(chat_to("one", ready(one.endpoint)))
        await gateway.open()
        one.release()
        async with streaming(gateway.session, gateway.url, "chat") as stream, asyncio.timeout(DEADLINE_SECONDS):
            first = await stream.event()
            for snapshot in changes:
                await gateway.apply(snapshot)
                one.release()
                assert (await stream.event())["model"] == "one"
            one.release(len(WORDS))
            rest = await stream.words()
        assert first["choices"][0]["delta"]["content"] == WORDS[0]
        assert rest == list(WORDS[1 + len(changes) :])
        gone = await send(gateway.session, gateway.url + CHAT, {"model": "chat"})
        assert gone.status == 404


async def test_the_official_client_reads_the_stream() -> None:
    import openai

    async with running_engine("qwen") as engine, running_gateway(serving(engine)) as gateway:
        client = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none")
        chunks = [
            chunk.choices[0].delta.content
            async for chunk in await client.chat.completions.create(
                model="qwen", messages=[{"role": "user", "content": "hello"}], stream=True
            )
        ]
        names = [entry.id async for entry in client.models.list()]
        with pytest.raises(openai.NotFoundError, match="Did you mean `qwen`"):
            await client.chat.completions.create(model="qwen2", messages=[])
        await client.close()
    assert chunks == list(WORDS)
    assert names == ["qwen"]
