"""Two pods that compute as one real vLLM on the CPU, here two processes: half of the layers in each."""

import json
import signal
import socket
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from vllm_process import DEADLINE_SECONDS, VllmServer, a_vllm, eventually, read_stream
from vllm_weights import reference_answers

pytestmark = [pytest.mark.vllm, pytest.mark.needs("vllm", "smollm2"), pytest.mark.timeout(1800)]

SETTINGS = (
    *("--task", "Chat", "--context-length", "2048", "--parallel-sequences", "4", "--drain-timeout", "60"),
    # No `enforce-eager`: with it, vLLM on the CPU fails on the first request of a group.
    *("--engine-arg", "dtype=float32", "--engine-arg", "pipeline-parallel-size=2", "--group-size", "2"),
)
ONE_CORE = {"OMP_NUM_THREADS": "1"}  # the pods would wait for one another on all cores of the machine otherwise
LONG = {"messages": [{"role": "user", "content": "Count."}], "stream": True, "max_tokens": 1900, "ignore_eos": True}


def a_head(weights: Path, home: Path, port: int) -> AbstractContextManager[VllmServer]:
    return a_vllm(weights, home, *SETTINGS, "--group-port", str(port), environ=ONE_CORE)


def a_member(weights: Path, home: Path, port: int) -> AbstractContextManager[VllmServer]:
    words = ("--group-port", str(port), "--head", "127.0.0.1")
    return a_vllm(weights, home, *SETTINGS, *words, environ=ONE_CORE)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all of them: what the first has compiled is there for the next."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def complete(head: VllmServer, prompt: str, tokens: int) -> str:
    body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0}
    answer = httpx2.post(f"{head.base_url}/v1/completions", json=body, timeout=120).json()
    return str(answer["choices"][0]["text"])


def said(process: VllmServer, words: str) -> bool:
    return words in "".join(process.said)


def test_a_group_says_what_its_weights_say_and_ends_with_a_member_that_is_killed(
    weights: Path, home: Path, port: int
) -> None:
    prompt = "The capital of France is"
    with a_member(weights, home, port) as member, a_head(weights, home, port) as head:
        print(f"ready after {head.wait_ready():.0f} s")
        (expected,) = reference_answers(weights, [{"prompt": prompt, "tokens": 12}])
        assert complete(head, prompt, 12) == expected
        into: dict[str, Any] = {}
        thread = read_stream(head, into, **LONG)
        eventually(lambda: into.get("text", "").count("data:") > 2)
        member.process.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        assert head.process.wait(DEADLINE_SECONDS) == 1
        print(f"the head ended {time.monotonic() - killed:.1f} s after its member")
        thread.join(10)
        assert said(head, "Member 1 of the group, at 127.0.0.1, is gone")
    assert into["ended"] is False
    assert json.loads(into["text"].strip().rsplit("data: ", 1)[1])["error"]["code"] == "engine_died"


def test_a_member_joins_the_next_head_and_lets_a_stream_end_when_it_has_to(
    weights: Path, home: Path, port: int
) -> None:
    with a_member(weights, home, port) as member:
        with a_head(weights, home, port) as head:
            print(f"ready after {head.wait_ready():.0f} s")
            head.terminate()
            assert head.process.wait(DEADLINE_SECONDS) == 0
        eventually(lambda: said(member, "joining anew"))
        with a_head(weights, home, port) as head:
            print(f"ready again after {head.wait_ready():.0f} s")
            assert complete(head, "Once upon a", 4)
            into: dict[str, Any] = {}
            thread = read_stream(head, into, **{**LONG, "max_tokens": 40})
            eventually(lambda: "data:" in into.get("text", ""))
            member.terminate()
            eventually(lambda: head.get("/health/ready").status_code == 503)
            assert (head.process.wait(90), member.process.wait(DEADLINE_SECONDS)) == (0, 0)
            thread.join(10)
    assert (into["ended"], into["text"].endswith("data: [DONE]\n\n")) == (True, True)
