"""A real vLLM on the CPU behind Berth's supervisor and middleware: what clients, probes and the kubelet see."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from vllm_process import VllmServer, a_vllm, eventually, read_stream

pytestmark = [pytest.mark.vllm, pytest.mark.needs("vllm", "smollm2"), pytest.mark.timeout(1800)]

SETTINGS = (
    *("--task", "Chat", "--context-length", "1024", "--parallel-sequences", "4"),
    *("--engine-arg", "enforce-eager=true", "--engine-arg", "dtype=float32"),
)
LONG = {"messages": [{"role": "user", "content": "Count."}], "stream": True, "max_tokens": 900, "ignore_eos": True}
# Long enough for a few tokens on a busy machine, and too short for all that fits into the context on an idle one.
DRAIN_SECONDS = 30
DRAINING = ("--context-length", "8192", "--drain-timeout", str(DRAIN_SECONDS))
ENDLESS = {**LONG, "max_tokens": 8000}


@pytest.fixture(scope="module")
def server(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    with a_vllm(weights, tmp_path_factory.mktemp("home"), *SETTINGS) as running:
        print(f"ready after {running.wait_ready():.0f} s")
        yield running


@pytest.fixture
def client(server: VllmServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.base_url}/v1", api_key="none", max_retries=0, timeout=120)


def chat(server: VllmServer, headers: dict[str, str] | None = None, **body: Any) -> httpx2.Response:
    known = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4, **body}
    return httpx2.post(f"{server.base_url}/v1/chat/completions", json=known, headers=headers, timeout=120)


def test_it_was_ready_only_after_a_token(server: VllmServer) -> None:
    assert set(server.seen[:-1]) <= {0, 503}
    text = server.get("/metrics").text
    generated = next(line for line in text.splitlines() if line.startswith("vllm:generation_tokens_total{"))
    assert float(generated.split()[-1]) >= 1
    (model,) = server.get("/status").json()["models"]
    assert (model["state"], model["engine"], model["contextLength"]) == ("Ready", "VLLM", 1024)
    assert model["parallelRequests"] == 4
    assert {stage["name"] for stage in model["stages"]} == {"Loaded", "Answered"}
    print(model["stages"])


def test_the_official_client_chats(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        max_tokens=12,
        temperature=0,
        logprobs=True,
        top_logprobs=3,
    )
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.content is not None
    assert len(answer.choices[0].logprobs.content[0].top_logprobs) == 3
    assert answer.model == "smollm2"


def test_a_chat_may_have_several_answers(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="smollm2", messages=[{"role": "user", "content": "Say something."}], max_tokens=4, n=3, seed=7
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]


def test_the_official_client_streams(client: openai.OpenAI) -> None:
    events = list(
        client.chat.completions.create(
            model="smollm2",
            messages=[{"role": "user", "content": "Say hello."}],
            max_tokens=8,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert events[-1].usage is not None
    assert events[-1].usage.completion_tokens > 0
    assert any(event.choices and event.choices[0].delta.content for event in events)


def test_completions_and_generate(client: openai.OpenAI, server: VllmServer) -> None:
    answer = client.completions.create(model="smollm2", prompt="Once upon a", max_tokens=3, logprobs=1)
    assert answer.choices[0].text
    plain = httpx2.post(f"{server.base_url}/generate", json={"inputs": "Once upon a", "max_new_tokens": 3}, timeout=120)
    assert set(plain.json()) == {"model", "text", "finish_reason", "usage"}
    body = {"prompt": "Once upon a", "max_tokens": 3, "stream": True}
    events = httpx2.post(f"{server.base_url}/generate", json=body, timeout=120).text.strip().split("\n\n")
    assert events[-1] == "data: [DONE]"
    assert json.loads(events[0].removeprefix("data: "))["text"]


def test_chats_in_the_words_of_other_apis_say_what_a_chat_says(client: openai.OpenAI, server: VllmServer) -> None:
    said = chat(server, max_tokens=8, temperature=0).json()["choices"][0]["message"]["content"]
    asked: Any = {"model": "smollm2", "input": "Say hello.", "max_output_tokens": 8, "temperature": 0}
    assert client.responses.create(**asked).output_text == said
    with client.responses.stream(**asked) as responses:
        events = list(responses)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.output_text == said
    words: Any = [{"role": "user", "content": "Say hello."}]
    claude = anthropic.Anthropic(base_url=server.base_url, api_key="none", max_retries=0, timeout=120)
    cold = {"temperature": 0}
    with claude.messages.stream(model="smollm2", messages=words, max_tokens=8, extra_body=cold) as messages:
        assert "".join(messages.text_stream) == said
    letter = next(letter for letter in said if letter.isalpha())
    stops = {"temperature": 0, "stop_sequences": [letter]}
    stopped = claude.messages.create(model="smollm2", messages=words, max_tokens=8, extra_body=stops)
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", letter)


def test_names_are_the_gateways_or_404(client: openai.OpenAI, server: VllmServer) -> None:
    assert chat(server, {"x-berth-model": "smollm2"}, model="gpt-4o").json()["model"] == "smollm2"
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="smollm3", messages=[{"role": "user", "content": "x"}])
    assert refused.value.code == "model_not_found"
    assert [model.id for model in client.models.list().data] == ["smollm2"]


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/load_lora_adapter", "/pause", "/sleep", "/collective_rpc", "/invocations", "/tokenize"),
        *("/v1/responses/resp_1", "/scale_elastic_ep", "/docs", "/load", "/version", "/ping"),
    ],
)
def test_vllms_own_routes_are_not_there(server: VllmServer, path: str) -> None:
    for method in ("GET", "POST"):
        refused = httpx2.request(method, server.base_url + path, timeout=30)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "unknown_url")


def test_errors_of_vllm_are_in_our_form(server: VllmServer) -> None:
    long = chat(server, messages=[{"role": "user", "content": "word " * 3000}])
    assert (long.status_code, long.json()["error"]["code"]) == (400, "context_length_exceeded")
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "no such type"}}}
    wrong = chat(server, response_format=schema)
    assert wrong.status_code == 400
    assert set(wrong.json()["error"]) == {"message", "type", "param", "code"}
    assert chat(server).status_code == 200


def test_a_client_that_leaves_frees_its_place(server: VllmServer) -> None:
    with httpx2.stream("POST", f"{server.base_url}/v1/chat/completions", json=LONG, timeout=120) as response:
        pieces = response.iter_text()  # kept, or its end would be that of the connection
        next(pieces)
        assert server.get("/status").json()["models"][0]["inFlight"] == 1
    eventually(lambda: server.get("/status").json()["models"][0]["inFlight"] == 0, 10)
    running = "vllm:num_requests_running{"
    eventually(
        lambda: any(
            line.startswith(running) and line.endswith(" 0.0") for line in server.get("/metrics").text.splitlines()
        ),
        20,
    )


def test_an_engine_that_is_killed_ends_the_process(server: VllmServer) -> None:
    """The last one on this server."""
    into: dict[str, Any] = {}
    thread = read_stream(server, into, **LONG)
    eventually(lambda: "data:" in into.get("text", ""))
    children = server.children()
    core = next(pid for pid, line in children.items() if "EngineCore" in line or "spawn_main" in line)
    os.kill(core, signal.SIGKILL)
    killed = time.monotonic()
    status = server.process.wait(30)
    print(f"gone {time.monotonic() - killed:.1f} s after the engine, status {status}")
    thread.join(10)
    assert status != 0
    assert time.monotonic() - killed < 20
    assert into["ended"] is False
    assert "[DONE]" not in into["text"]
    assert json.loads(into["text"].strip().rsplit("data: ", 1)[1])["error"]["code"] == "engine_died"
    eventually(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in children), 10)


def test_a_drain_lets_a_stream_finish_and_ends_another(weights: Path, tmp_path: Path) -> None:
    with a_vllm(weights, tmp_path, *SETTINGS, *DRAINING) as server:
        server.wait_ready()
        short: dict[str, Any] = {}
        endless: dict[str, Any] = {}
        threads = [read_stream(server, endless, **ENDLESS), read_stream(server, short, **{**LONG, "max_tokens": 8})]
        eventually(lambda: all("data:" in each.get("text", "") for each in (short, endless)))
        told = server.terminate()
        noticed = eventually(lambda: server.get("/health/ready").status_code == 503, DRAIN_SECONDS - 1)
        refused = chat(server)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["error"]["code"] == "shutting_down"
        assert server.get("/health/live").status_code == 200
        status = server.process.wait(60)
        gone = time.monotonic()
        for thread in threads:
            thread.join(10)
    print(f"after SIGTERM: not ready {noticed:.1f} s, cut {endless['at'] - told:.1f} s, gone {gone - told:.1f} s")
    assert (short["ended"], short["text"].endswith("data: [DONE]\n\n")) == (True, True)
    assert endless["ended"] is False
    assert "[DONE]" not in endless["text"]
    assert json.loads(endless["text"].strip().rsplit("data: ", 1)[1])["error"]["code"] == "shutting_down"
    assert endless["at"] - told >= DRAIN_SECONDS
    assert gone - told <= DRAIN_SECONDS + 10, "what a pod has after its drain"
    assert status == 0
