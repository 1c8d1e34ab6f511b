"""Who computes embeddings in `bench.embeddings`: our runtime and its peers, each started and asked in its own way.

A side over HTTP gets its texts from several clients at once, one in process gets all of them in one call, as its own
library is called.
"""

import base64
import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from bench.environments import find_python
from bench.load import Answer, BadAnswer, exchange, request_bytes
from bench.machine import cores
from bench.peers.onnxruntime_bare import Settings, Vectors
from bench.process import Program, free_port
from bench.result import Sample

OURS, BARE = "berth_runtime", "onnxruntime in process"
INFINITY, SENTENCE_TRANSFORMERS, FASTEMBED = "infinity", "sentence-transformers in process", "fastembed in process"
NAME = "minilm"
DIMENSIONS = 384
LONGEST_TOKENS = 256
TEXTS_OF_REQUEST = 32
CLIENTS = 8
BARE_BATCH_TOKENS = 384
# Its own default of 256 pads nearly every text to the longest there is, which takes a third more.
FASTEMBED_BATCH_TEXTS = 32
START_SECONDS = 240.0


class Side(Protocol):
    """One that computes vectors."""

    def vectors(self, texts: tuple[str, ...]) -> Vectors:
        """A row for each text."""
        ...

    def measure(self, texts: tuple[str, ...]) -> Sample:
        """Have all vectors computed, and say what that took."""
        ...


@dataclass(frozen=True)
class Place:
    """What sides are started with: the weights as safetensors and as ONNX, a folder for logs, who ends them."""

    safetensors: Path
    onnx: Path
    folder: Path
    programs: ExitStack


class OverHttp:
    """A server with OpenAI's API."""

    def __init__(self, program: Program, port: int, path: str) -> None:
        self._program = program
        self._port = port
        self._path = path

    def vectors(self, texts: tuple[str, ...]) -> Vectors:
        """From its base64 answers."""
        rows = [each["embedding"] for answer in self._ask(texts)[1] for each in json.loads(answer.body)["data"]]
        return np.stack([np.frombuffer(base64.b64decode(row), dtype="<f4") for row in rows])

    def measure(self, texts: tuple[str, ...]) -> Sample:
        """With the client's time, which is part of this side."""
        before, client_before = self._program.processor_seconds(), time.process_time()
        seconds, answers = self._ask(texts)
        client_seconds = time.process_time() - client_before
        spent = {pid: total - before.get(pid, 0.0) for pid, total in self._program.processor_seconds().items()}
        counted = sum(answer.body.count(b'"embedding":') for answer in answers)
        if counted != len(texts):
            raise BadAnswer(f"{counted} vectors instead of {len(texts)}")
        return {
            "texts_per_second": len(texts) / seconds,
            "http_microseconds": spent[self._program.pid] / len(texts) * 1e6,
            "client_microseconds": client_seconds / len(texts) * 1e6,
            "all_microseconds": (sum(spent.values()) + client_seconds) / len(texts) * 1e6,
        }

    def _ask(self, texts: tuple[str, ...]) -> tuple[float, list[Answer]]:
        requests = [request_bytes(self._port, self._path, body) for body in request_bodies(texts)]
        return exchange(self._port, requests, CLIENTS)


class InProcess:
    """A Python program of `bench.peers` that answers lines of JSON."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def vectors(self, texts: tuple[str, ...]) -> Vectors:
        """As the program says them."""
        return np.asarray(self._program.ask({"texts": texts, "keep": True})["vectors"], dtype=np.float32)

    def measure(self, texts: tuple[str, ...]) -> Sample:
        """By the program's own clock."""
        before = sum(self._program.processor_seconds().values())
        answer = self._program.ask({"texts": texts})
        spent = sum(self._program.processor_seconds().values()) - before
        if answer["texts"] != len(texts):
            raise BadAnswer(f"{answer['texts']} vectors instead of {len(texts)}")
        return {"texts_per_second": len(texts) / answer["seconds"], "all_microseconds": spent / len(texts) * 1e6}


def request_bodies(texts: tuple[str, ...]) -> list[bytes]:
    """The texts in requests of 32, in the order in which they are."""
    groups = [texts[start : start + TEXTS_OF_REQUEST] for start in range(0, len(texts), TEXTS_OF_REQUEST)]
    return [json.dumps({"model": NAME, "input": group, "encoding_format": "base64"}).encode() for group in groups]


def start_ours(place: Place) -> Side:
    """The runtime, with the safetensors as they come."""
    port = free_port()
    command = (sys.executable, "-m", "berth_runtime", "--model", f"{NAME}={place.safetensors}", "--host", "127.0.0.1")
    program = place.programs.enter_context(
        Program((*command, "--task", "Embedding", "--port", str(port)), log=place.folder / "ours.log")
    )
    program.wait_until_answers(port, "/health/ready")
    return OverHttp(program, port, "/v1/embeddings")


def start_bare(place: Place) -> Side:
    """The best loop that we know how to write."""
    settings = Settings(
        graph=str(place.onnx / "model.onnx"),
        tokenizer=str(place.onnx / "tokenizer.json"),
        threads=len(cores()),
        batch_tokens=BARE_BATCH_TOKENS,
        longest_tokens=LONGEST_TOKENS,
    )
    return _in_process(place, Path(sys.executable), "onnxruntime_bare", settings.as_argument())


def start_infinity(place: Place) -> Side:
    """infinity's server with its engine for torch, told not to report its use to anybody."""
    port = free_port()
    program = Program(
        (
            *(str(find_python("infinity").with_name("infinity_emb")), "v2"),
            *("--model-id", str(place.safetensors), "--served-model-name", NAME),
            *("--engine", "torch", "--device", "cpu", "--dtype", "float32", "--no-bettertransformer"),
            *("--host", "127.0.0.1", "--port", str(port), "--log-level", "error"),
        ),
        log=place.folder / "infinity.log",
        environment={"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": str(len(cores()))},
    )
    place.programs.enter_context(program).wait_until_answers(port, "/health", seconds=START_SECONDS)
    return OverHttp(program, port, "/embeddings")


def start_sentence_transformers(place: Place) -> Side:
    """Its `encode`, by torch."""
    settings = {"folder": str(place.safetensors), "threads": len(cores()), "longest_tokens": LONGEST_TOKENS}
    return _in_process(place, find_python("sentence-transformers"), "sentence_transformers_bare", json.dumps(settings))


def start_fastembed(place: Place) -> Side:
    """Its `embed`, over the same ONNX file as the bare loop."""
    settings = {
        "folder": str(place.onnx),
        "threads": len(cores()),
        "dimensions": DIMENSIONS,
        "batch_texts": FASTEMBED_BATCH_TEXTS,
    }
    return _in_process(place, find_python("fastembed"), "fastembed_bare", json.dumps(settings))


STARTS: Mapping[str, Callable[[Place], Side]] = {
    OURS: start_ours,
    BARE: start_bare,
    INFINITY: start_infinity,
    SENTENCE_TRANSFORMERS: start_sentence_transformers,
    FASTEMBED: start_fastembed,
}


def _in_process(place: Place, python: Path, module: str, settings: str) -> Side:
    command = (str(python), "-m", f"bench.peers.{module}", settings)
    program = Program(command, log=place.folder / f"{module}.log", conversing=True, environment={"HF_HUB_OFFLINE": "1"})
    side = InProcess(place.programs.enter_context(program))
    side.vectors(("a",))
    return side
