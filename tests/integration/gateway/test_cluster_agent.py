"""The agent of a gateway pod as a process, following a cluster, with a real Envoy beside it."""

import asyncio
import time

import pytest
from cluster_gateway import gateway_pod
from fake_engine import running_engine
from gateway_process import DEADLINE_SECONDS
from model_builders import a_manifest
from model_slices import TERMINATING
from openai_requests import streaming

from berth_gateway.rights import MODEL_ROUTES, MODELS
from berth_kube.resources import ENDPOINT_SLICES, Key

pytestmark = pytest.mark.needs("envoy")

QWEN = Key("default", "qwen")
SLICE = Key("default", "qwen-engine-x7k2p")


async def test_a_model_that_becomes_ready_is_routed_within_a_second() -> None:
    async with running_engine("qwen") as engine, gateway_pod() as pod:
        pod.declare("qwen")
        waits = []
        for _ in range(3):
            await pod.becomes_unavailable("qwen", "model_loading")
            pod.expose("qwen", engine)
            began = time.monotonic()
            await pod.answers("qwen")
            waits.append(time.monotonic() - began)
            pod.cluster.remove(ENDPOINT_SLICES, SLICE)
        assert min(waits) < 1, waits


async def test_an_endpoint_that_terminates_gets_no_new_request_while_its_stream_goes_on() -> None:
    async with running_engine("qwen", stepwise=True) as old, running_engine("qwen") as new, gateway_pod() as pod:
        pod.declare("qwen")
        pod.expose("qwen", old)
        await pod.becomes("/health/ready", 200)
        await pod.serves("default/qwen")
        old.release()
        async with streaming(pod.session, pod.url, "qwen") as stream:
            await stream.event()
            pod.expose("qwen", old, TERMINATING)
            await pod.becomes_unavailable("qwen", "model_loading")
            seen = len(old.seen)
            pod.expose("qwen", new, slice_name="qwen-engine-new")
            await pod.answers("qwen")
            for _ in range(20):
                assert (await pod.ask("qwen")).model == "qwen"
            old.release(100)
            assert len(await stream.words()) == 9
        assert len(old.seen) == seen


async def test_an_endpoint_that_terminates_is_out_of_envoys_choice_at_once() -> None:
    async with running_engine("qwen") as engine, gateway_pod() as pod:
        pod.declare("qwen")
        waits = []
        for _ in range(5):
            pod.expose("qwen", engine)
            await pod.answers("qwen")
            pod.expose("qwen", engine, TERMINATING)
            began = time.monotonic()
            await pod.becomes_unavailable("qwen", "model_loading")
            waits.append(time.monotonic() - began)
        # Whatever else the machine does can only make it longer.
        assert min(waits) < 0.15, waits


async def test_a_model_that_is_deleted_is_unknown_and_one_that_is_suspended_says_so() -> None:
    async with gateway_pod() as pod:
        pod.declare("qwen")
        pod.declare("llama", suspend=True)
        await pod.becomes_unavailable("qwen", "model_loading")
        await pod.becomes_unavailable("llama", "model_suspended")
        pod.cluster.remove(MODELS, QWEN)
        await pod.becomes_unknown("qwen")


async def test_a_model_that_fails_says_why_in_the_conditions_words() -> None:
    async with gateway_pod() as pod:
        pod.declare("qwen")
        condition = {
            "type": "Resolved",
            "status": "False",
            "reason": "SourceNotFound",
            "message": "no such repository.",
        }
        pod.cluster.set_status(MODELS, QWEN, {"conditions": [condition]})
        reply = await pod.becomes_unavailable("qwen", "model_failed")
        assert "no such repository." in reply.error["message"]
        assert ".." not in reply.error["message"]


async def test_a_bad_edit_of_a_serving_model_changes_nothing() -> None:
    async with running_engine("qwen") as engine, gateway_pod() as pod:
        pod.declare("qwen", aliases=["small"])
        pod.expose("qwen", engine)
        await pod.answers("small")
        pod.declare("qwen", aliases=["large"], replicas="many")
        pod.declare("marker")
        await pod.becomes_unavailable("marker", "model_loading")
        assert (await pod.ask("small")).model == "qwen"
        assert (await pod.ask("large")).status == 404
        assert (await pod.programmed())["models"]["default/qwen"]["generation"] == 1
        assert "berth_gateway_invalid_objects 1.0" in (await pod.get("/metrics", of_agent=True)).text
        await pod.is_recorded("qwen")  # a second after the state before, so that many changes are one write
        await pod.kill_agent()
        await pod.start_agent()
        pod.declare("another")
        await pod.becomes_unavailable("another", "model_loading")
        assert (await pod.ask("small")).model == "qwen", "the last valid version outlives the agent"


async def test_a_slice_that_is_not_of_the_models_service_takes_no_request() -> None:
    async with running_engine("qwen") as engine, running_engine("qwen") as thief, gateway_pod() as pod:
        pod.declare("qwen")
        pod.expose("qwen", engine)
        await pod.answers("qwen")
        pod.expose("qwen", thief, slice_name="stolen", managed_by="somebody")
        pod.declare("marker")
        await pod.becomes_unavailable("marker", "model_loading")
        for _ in range(20):
            assert (await pod.ask("qwen")).status == 200
        assert thief.seen == []


async def test_what_envoy_has_acknowledged_is_told_by_uid_and_generation() -> None:
    async with gateway_pod() as pod:
        uid = pod.declare("qwen")["metadata"]["uid"]
        route = pod.declare_route("chat", "qwen")
        # Envoy routes by a version a moment before its acknowledgement is back.
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not ((told := await pod.programmed())["models"] and told["routes"]):
                await asyncio.sleep(0.02)
        assert told["models"] == {"default/qwen": {"uid": uid, "generation": 1}}
        assert told["routes"] == {"default/chat": {"uid": route["metadata"]["uid"], "generation": 1}}
        assert (told["envoy"], told["refusal"], told["restored"]) == (True, "", False)
        pod.declare_route("chat", "other")
        async with asyncio.timeout(DEADLINE_SECONDS):
            while (await pod.programmed())["routes"]["default/chat"]["generation"] != 2:
                await asyncio.sleep(0.02)
        pod.cluster.remove(MODEL_ROUTES, Key("default", "chat"))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while (await pod.programmed())["routes"]:
                await asyncio.sleep(0.02)


async def test_while_the_api_server_is_away_routing_goes_on_and_news_come_when_it_is_back() -> None:
    async with running_engine("qwen") as engine, running_engine("llama") as other, gateway_pod() as pod:
        pod.declare("qwen")
        pod.expose("qwen", engine)
        await pod.answers("qwen")
        await pod.api.stop()
        for _ in range(20):
            assert (await pod.ask("qwen")).model == "qwen"
        assert (await pod.get("/health/ready", of_agent=True)).status == 200
        pod.declare("llama")
        pod.expose("llama", other)
        await pod.api.start()
        await pod.answers("llama")


async def test_an_agent_and_an_envoy_that_start_without_the_api_server_serve_the_last_state() -> None:
    async with running_engine("qwen") as engine, running_engine("llama") as other, gateway_pod() as pod:
        pod.declare("qwen")
        pod.expose("qwen", engine)
        await pod.answers("qwen")
        await pod.is_recorded("qwen")
        await pod.api.stop()
        await pod.kill_agent()
        assert (await pod.ask("qwen")).model == "qwen", "Envoy serves on without the agent"
        await pod.stop_envoy()
        await pod.start_agent()
        await pod.start_envoy()
        await pod.answers("qwen")
        await pod.becomes("/health/ready", 200, of_agent=True)
        assert (await pod.programmed())["restored"] is True
        assert "berth_gateway_restored 1.0" in (await pod.get("/metrics", of_agent=True)).text
        assert "the last state from disk is served" in await pod.log()
        pod.declare("llama")
        pod.expose("llama", other)
        await pod.api.start()
        await pod.answers("llama")
        assert (await pod.programmed())["restored"] is False


async def test_without_api_server_and_last_state_the_gateway_is_not_ready() -> None:
    async with gateway_pod(api_server=False) as pod:
        reply = await pod.becomes("/health/ready", 503, of_agent=True)
        assert "the API server has not been read yet" in reply.json["why"]
        assert not await pod.is_open()
        await pod.api.start()
        await pod.becomes("/health/ready", 200, of_agent=True)
        await pod.becomes("/health/ready", 200)


async def test_a_drain_turns_clients_away_and_waits_for_the_last_stream() -> None:
    async with running_engine("qwen", stepwise=True) as engine, gateway_pod() as pod:
        pod.declare("qwen")
        pod.expose("qwen", engine)
        await pod.serves("default/qwen")
        engine.release()
        async with streaming(pod.session, pod.url, "qwen") as stream:
            await stream.event()
            hook = asyncio.create_task(pod.get("/drain", of_agent=True))
            await pod.becomes("/health/ready", 503)
            engine.release(10)
            late = await pod.get("/v1/models")
            assert (late.status, late.headers.get("connection")) == (200, "close"), "served, and sent elsewhere"
            assert not hook.done()
            engine.release(100)
            assert len(await stream.words()) == 9
        assert (await hook).json == {"drained": True}
        assert (await pod.get("/health/live")).status == 200


async def test_a_drain_ends_at_its_timeout() -> None:
    async with running_engine("qwen", stepwise=True) as engine, gateway_pod("--drain-timeout", "1") as pod:
        pod.declare("qwen")
        pod.expose("qwen", engine)
        await pod.serves("default/qwen")
        engine.release()
        async with streaming(pod.session, pod.url, "qwen") as stream:
            await stream.event()
            assert (await pod.get("/drain", of_agent=True)).json == {"drained": False}


async def test_a_new_envoy_after_a_drain_is_ready_again() -> None:
    async with gateway_pod("--drain-timeout", "1") as pod:
        await pod.becomes("/health/ready", 200)
        await pod.get("/drain", of_agent=True)
        await pod.becomes("/health/ready", 503)
        await pod.stop_envoy()
        await pod.start_envoy()
        await pod.becomes("/health/ready", 200)


async def test_the_agent_stops_cleanly_and_envoy_serves_on() -> None:
    async with running_engine("qwen") as engine, gateway_pod() as pod:
        pod.declare("qwen")
        pod.expose("qwen", engine)
        await pod.answers("qwen")
        assert await pod.stop_agent() == 0
        assert "Traceback" not in await pod.log()
        assert (await pod.ask("qwen")).model == "qwen"


async def test_an_envoy_that_comes_again_is_given_everything() -> None:
    async with running_engine("qwen") as engine, gateway_pod() as pod:
        pod.declare("qwen")
        pod.expose("qwen", engine)
        await pod.answers("qwen")
        await pod.stop_envoy()
        await pod.start_envoy()
        await pod.answers("qwen")


async def test_only_watched_namespaces_are_served_and_only_listed_ones_own_bare_names() -> None:
    options = ("--watch-namespace", "default", "--watch-namespace", "team", "--bare-names", "team")
    async with gateway_pod(*options) as pod:
        for namespace in ("default", "team", "other"):
            spec = {"source": {"uri": "oci://localhost/a:b"}, "aliases": [f"alias-{namespace}"]}
            pod.cluster.put(MODELS, a_manifest("Model", "qwen", namespace=namespace, spec=spec))
        await pod.becomes_unavailable("alias-team", "model_loading")
        await pod.becomes_unavailable("default/qwen", "model_loading")
        assert "team/qwen" in (await pod.ask("qwen")).error["message"]
        assert (await pod.ask("alias-default")).status == 404
        assert (await pod.ask("other/qwen")).status == 404


async def test_a_slice_that_goes_takes_its_endpoints_along() -> None:
    async with running_engine("qwen") as engine, gateway_pod() as pod:
        pod.declare("qwen")
        pod.expose("qwen", engine)
        await pod.answers("qwen")
        pod.cluster.remove(ENDPOINT_SLICES, SLICE)
        await pod.becomes_unavailable("qwen", "model_loading")
