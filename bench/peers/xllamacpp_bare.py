"""The peer of our runtime for text: xllamacpp called in process, as the smallest Python program would do it.

`python -m bench.peers.xllamacpp_bare SETTINGS` loads the model, then answers each JSON line `{"bodies": [TEXT, …]}` on
stdin by running all bodies at once, a thread for each, with JSON bytes in and JSON bytes out; no body at all answers
only that the model is loaded. The callback only counts, which is the least that it can do; the token counts come from
the usage of each stream. No HTTP, no second process, no client: nothing here takes processor time from the engine but
the calls themselves.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import xllamacpp

from bench.load import BadAnswer


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What both sides are started with."""

    path: str
    context_tokens: int
    parallel_sequences: int
    threads: int
    batch_tokens: int

    def as_argument(self) -> str:
        """The one argument of this program."""
        return json.dumps(asdict(self))


def create_server(settings: Settings) -> xllamacpp.Server:
    """Load the model; `context_tokens` is for all sequences together, as llama.cpp counts it."""
    params = xllamacpp.CommonParams()
    params.model.path = settings.path
    params.n_ctx = settings.context_tokens
    params.n_parallel = settings.parallel_sequences
    params.cpuparams.n_threads = settings.threads
    params.cpuparams_batch.n_threads = settings.threads
    params.n_batch = settings.batch_tokens
    params.verbosity = 0
    return xllamacpp.Server(params)


def stream(server: xllamacpp.Server, body: bytes) -> int:
    """Run one request to its end; the number of tokens that it generated."""
    chunks = 0
    last = b""

    def count(chunk: bytes) -> bool:
        nonlocal chunks, last
        chunks += 1
        last = chunk
        return False

    server.handle_chat_completions(body, count)
    usage = json.loads(last).get("usage")
    if not usage:
        raise BadAnswer(f"the stream ended without usage after {chunks} chunks: {last[:300]!r}")
    return int(usage["completion_tokens"])


def main() -> None:
    settings = Settings(**json.loads(sys.argv[1]))
    server = create_server(settings)
    with ThreadPoolExecutor(settings.parallel_sequences) as threads:
        for line in sys.stdin:
            bodies = [text.encode() for text in json.loads(line)["bodies"]]
            started = time.perf_counter()
            tokens = sum(threads.map(lambda body: stream(server, body), bodies))
            print(json.dumps({"tokens": tokens, "seconds": time.perf_counter() - started}), flush=True)
    # Native unload can hang (and would be measured by nobody): end hard, as the runtime's workers do.
    os._exit(0)


if __name__ == "__main__":
    main()
