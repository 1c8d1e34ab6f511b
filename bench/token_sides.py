"""Who generates text in `bench.runtime_tokens`: our runtime and its peers, each started and asked in its own way."""

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from bench.environments import find_python
from bench.load import Answer, exchange, generated_tokens, long_chat, request_bytes, written_tokens
from bench.machine import cores
from bench.peers.xllamacpp_bare import Settings
from bench.process import Program, free_port
from bench.result import Sample
from bench.streams import check_tokens

OURS, BARE, BARE_SHORT_SPIN = "berth_runtime", "xllamacpp in process", "xllamacpp in process, short spin"
LLAMA_CPP_PYTHON = "llama-cpp-python's server"
NAME = "smollm2"
SEQUENCES = 16
BATCH_TOKENS = 512
CONTEXT_TOKENS_OF_EACH = 512
TOKENS_OF_EACH: Mapping[int, int] = {1: 128, 4: 64, 16: 64}


class Side(Protocol):
    """One that generates."""

    def measure(self, streams: int) -> Sample:
        """Have so many streams generate their tokens at once, and say what that took."""
        ...


@dataclass(frozen=True)
class Place:
    """What sides are started with: the weights, a folder for logs, who ends them."""

    weights: Path
    folder: Path
    programs: ExitStack


class OverHttp:
    """A server with OpenAI's API; `count` says how many tokens the body of a stream holds."""

    def __init__(self, program: Program, port: int, count: Callable[[bytes], int]) -> None:
        self._program = program
        self._port = port
        self._count = count

    def measure(self, streams: int) -> Sample:
        """With the client's time, which is part of this side."""
        body = long_chat(NAME, TOKENS_OF_EACH[streams]).encode()
        before, client_before = self._program.processor_seconds(), time.process_time()
        seconds, answers = self._ask(body, streams)
        client_seconds = time.process_time() - client_before
        spent = {pid: total - before.get(pid, 0.0) for pid, total in self._program.processor_seconds().items()}
        tokens = check_tokens([self._count(answer.body) for answer in answers], streams * TOKENS_OF_EACH[streams])
        return {
            "tokens_per_second": tokens / seconds,
            "http_microseconds": spent[self._program.pid] / tokens * 1e6,
            "worker_microseconds": (sum(spent.values()) - spent[self._program.pid]) / tokens * 1e6,
            "client_microseconds": client_seconds / tokens * 1e6,
            "all_microseconds": (sum(spent.values()) + client_seconds) / tokens * 1e6,
            "first_byte_milliseconds": max(answer.first_byte_seconds for answer in answers) * 1e3,
        }

    def _ask(self, body: bytes, streams: int) -> tuple[float, list[Answer]]:
        return exchange(self._port, [request_bytes(self._port, "/v1/chat/completions", body)] * streams, streams)


class InProcess:
    """The program `bench.peers.xllamacpp_bare`."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def measure(self, streams: int) -> Sample:
        """By the program's own clock."""
        before = sum(self._program.processor_seconds().values())
        answer = self._program.ask({"bodies": [long_chat(NAME, TOKENS_OF_EACH[streams])] * streams})
        spent = sum(self._program.processor_seconds().values()) - before
        tokens = check_tokens([answer["tokens"]], streams * TOKENS_OF_EACH[streams])
        return {"tokens_per_second": tokens / answer["seconds"], "all_microseconds": spent / tokens * 1e6}


def start_ours(place: Place) -> Side:
    """The runtime."""
    port = free_port()
    command = (
        *(sys.executable, "-m", "berth_runtime", "--model", f"{NAME}={place.weights}"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--context-length", str(CONTEXT_TOKENS_OF_EACH), "--parallel-sequences", str(SEQUENCES)),
        *("--engine-arg", f"batch-size={BATCH_TOKENS}"),
    )
    program = place.programs.enter_context(Program(command, log=place.folder / "ours.log"))
    program.wait_until_answers(port, "/health/ready")
    return OverHttp(program, port, generated_tokens)


def start_bare(place: Place, environment: Mapping[str, str]) -> Side:
    """xllamacpp, as a Python program calls it."""
    settings = bare_settings(place.weights)
    command = (sys.executable, "-m", "bench.peers.xllamacpp_bare", settings.as_argument())
    log = place.folder / f"bare-{len(environment)}.log"
    program = place.programs.enter_context(Program(command, log=log, conversing=True, environment=environment))
    program.ask({"bodies": []})
    return InProcess(program)


def bare_settings(weights: Path) -> Settings:
    """As our runtime starts the library."""
    return Settings(
        path=str(weights),
        context_tokens=SEQUENCES * CONTEXT_TOKENS_OF_EACH,
        parallel_sequences=SEQUENCES,
        threads=len(cores()),
        batch_tokens=BATCH_TOKENS,
    )


def start_llama_cpp_python(place: Place) -> Side:
    """llama-cpp-python's server: one request at a time; told not to break one off when the next comes."""
    port, threads = free_port(), str(len(cores()))
    command = (
        *(str(find_python("llama-cpp-python")), "-m", "llama_cpp.server"),
        *("--model", str(place.weights), "--model_alias", NAME, "--host", "127.0.0.1", "--port", str(port)),
        *("--n_ctx", str(CONTEXT_TOKENS_OF_EACH), "--n_batch", str(BATCH_TOKENS)),
        *("--n_threads", threads, "--n_threads_batch", threads),
        *("--interrupt_requests", "false", "--verbose", "false"),
    )
    program = place.programs.enter_context(Program(command, log=place.folder / "llama-cpp-python.log"))
    program.wait_until_answers(port, "/v1/models")
    return OverHttp(program, port, written_tokens)


STARTS: Mapping[str, Callable[[Place], Side]] = {
    OURS: start_ours,
    BARE: partial(start_bare, environment={}),
    BARE_SHORT_SPIN: partial(start_bare, environment={"GOMP_SPINCOUNT": "1000"}),
    LLAMA_CPP_PYTHON: start_llama_cpp_python,
}
