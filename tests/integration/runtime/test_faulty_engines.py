"""What clients get from engines that die, fail, dawdle or never come up: fake engines in real workers."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from chat_answers import read_events
from runtime_server import RunningServer, a_fake_model, eventually, read_stream, serve_fakes


async def test_an_engine_that_dies_before_its_first_event_is_a_bad_gateway() -> None:
    async with serve_fakes() as running:
        async with running.chat("die_at=0", stream=True) as response:
            assert response.status == 502
            error = (await response.json())["error"]
        assert error["code"] == "engine_died"
        assert "the fake engine dies as it was told" in error["message"]


async def test_an_engine_that_dies_later_leaves_an_error_event_and_no_end() -> None:
    async with serve_fakes() as running, running.chat("words=9 pause=0.15 die_at=3", stream=True) as response:
        assert response.status == 200
        text, ended = await read_stream(response)
    assert not ended
    assert "word2" in text
    assert "[DONE]" not in text
    assert text.split("data: ")[-1].startswith('{"error":{"message":"The engine of \'fake\' ended')


async def test_a_worker_that_is_killed_is_started_again_and_answers() -> None:
    async with serve_fakes() as running:
        async with running.chat("words=100 pause=0.05", stream=True) as response:
            await response.content.readany()
            os.kill(worker_pid(running), signal.SIGKILL)
            text, ended = await read_stream(response)
        assert not ended
        assert "SIGKILL" in text
        status = await running.wait_for_state("Ready")
        assert status["restarts"] == 1
        async with running.chat("words=1") as response:
            assert response.status == 200


async def test_while_it_restarts_a_model_is_loading_and_says_why(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    async with serve_fakes(a_fake_model("fake", until=str(gate))) as running:
        gate.unlink()
        async with running.chat("die_at=0"):
            pass
        async with running.chat("words=1") as response:
            assert response.status == 503
            assert response.headers["retry-after"] == "5"
            error = (await response.json())["error"]
        assert error["code"] == "model_loading"
        assert "dies as it was told" in error["message"]


async def test_a_model_that_the_engine_refuses_has_failed_and_the_others_serve() -> None:
    models = a_fake_model("fake"), a_fake_model("heartless", load="refuse")
    async with serve_fakes(*models, wait_ready=False) as running:
        await running.wait_for_state("Ready", "fake")
        status = await running.wait_for_state("Failed", "heartless")
        assert status["message"] == "this model has no heart"
        async with running.chat("words=1", model="fake") as response:
            assert response.status == 200
        async with running.chat("words=1", model="heartless") as response:
            assert response.status == 503
            assert (await response.json())["error"]["code"] == "model_failed"
        async with running.session.get(f"{running.base_url}/health/ready") as response:
            assert response.status == 503
        async with running.session.get(f"{running.base_url}/health/live") as response:
            assert response.status == 200


async def test_the_reason_of_a_death_while_loading_is_read_from_stderr() -> None:
    async with serve_fakes(a_fake_model("fake", load="die"), wait_ready=False) as running:
        status = await running.wait_for_state("Failed")
    assert status["message"].startswith("llama.cpp does not know the architecture 'lxama'")


async def test_a_model_that_gives_no_answer_is_never_ready() -> None:
    async with serve_fakes(a_fake_model("fake", load="mute"), wait_ready=False) as running:
        status = await running.wait_for_state("Failed")
    assert status["message"] == "the model was loaded, but gave no answer"


async def test_the_head_waits_for_the_first_event(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with serve_fakes() as running:
        asked = asyncio.create_task(ask(running, f"until={gate} fail_at=0 status=400", stream=True))
        await in_flight_is(running, 1)
        gate.touch()
        assert await asked == 400


@pytest.mark.parametrize("stream", [True, False])
async def test_an_engine_that_ends_without_a_word_is_an_error(stream: bool) -> None:
    async with serve_fakes() as running, running.chat("words=0", stream=stream) as response:
        assert response.status == 500
        assert (await response.json())["error"]["code"] == "engine_error"


async def test_an_error_after_the_first_event_is_an_event_and_no_end() -> None:
    async with serve_fakes() as running, running.chat("fail_at=2", stream=True) as response:
        assert response.status == 200
        text, ended = await read_stream(response)
    assert not ended
    assert '"code":"told_to_fail"' in text
    assert "[DONE]" not in text


@pytest.mark.parametrize(("path", "last"), [("/v1/responses", "response.failed"), ("/v1/messages", "error")])
async def test_an_error_after_the_first_event_is_an_event_of_the_api_and_no_end(path: str, last: str) -> None:
    said = [{"role": "user", "content": "fail_at=2"}]
    body = {"messages": said, "max_tokens": 9} if path == "/v1/messages" else {"input": said}
    async with (
        serve_fakes() as running,
        running.session.post(running.base_url + path, json={**body, "stream": True}) as response,
    ):
        assert response.status == 200
        text, ended = await read_stream(response)
    assert not ended
    events = read_events(text)
    assert (events[-1]["type"], "word1" in text) == (last, True)
    assert "fails as it was told" in str(events[-1])


async def test_an_error_in_a_plain_answer_is_its_status() -> None:
    async with serve_fakes() as running, running.chat("fail_at=2") as response:
        assert response.status == 500


async def test_a_client_that_leaves_gives_its_place_back() -> None:
    async with serve_fakes() as running:
        async with running.chat("words=10000 pause=0.1", stream=True) as response:
            await response.content.readany()
            assert (await running.status())["inFlight"] == 1
        await in_flight_is(running, 0)


async def test_a_client_that_leaves_before_the_first_event_gives_its_place_back(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with serve_fakes() as running:
        asked = asyncio.create_task(ask(running, f"until={gate}", stream=True))
        await in_flight_is(running, 1)
        asked.cancel()

        async def noticed() -> bool:
            return running.server.drain.in_flight == 0

        await eventually(noticed)
        assert (await running.status())["inFlight"] == 1, "the engine has not said that it has stopped"
        gate.touch()
        await in_flight_is(running, 0)


async def test_what_waits_in_the_queue_starts_when_a_place_is_free_and_what_finds_no_room_is_turned_away(
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    async with serve_fakes(a_fake_model("fake", places="1")) as running:
        asked = [asyncio.create_task(ask(running, f"words=1 until={gate}")) for _ in range(5)]

        async def full() -> bool:
            return bool((await running.status())["queued"] == 4)

        await eventually(full)
        async with running.chat("words=1") as response:
            assert response.status == 429
            assert response.headers["retry-after"] == "1"
            assert (await response.json())["error"]["code"] == "overloaded"
        gate.touch()
        assert await asyncio.gather(*asked) == [200] * 5


async def test_several_choices_take_as_many_places() -> None:
    fake = a_fake_model("fake", places="4")
    async with serve_fakes(fake) as running, running.chat("words=1000 pause=0.02", stream=True, n=3) as response:
        await response.content.readany()
        assert (await running.status())["inFlight"] == 3


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    async with serve_fakes() as running:
        async with running.chat("words=300 big=100000 pause=0.001", stream=True) as response:
            await in_flight_is(running, 0)
            _, ended = await read_stream(response)
        assert not ended


async def in_flight_is(running: RunningServer, wanted: int) -> None:
    async def reached() -> bool:
        return bool((await running.status())["inFlight"] == wanted)

    await eventually(reached)


async def ask(running: RunningServer, orders: str, *, stream: bool = False) -> int:
    async with running.chat(orders, stream=stream) as response:
        await response.read()
        return int(response.status)


def worker_pid(running: RunningServer) -> int:
    worker = running.server.catalog.models["fake"].worker
    assert worker is not None
    return worker.pid
