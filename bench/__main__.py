"""`python -m bench [NAME…]`: run the measurements, write each result as JSON, and draw them in docs/performance.md.

A result is written as soon as its measurement ends, so an interrupted run keeps what it has. With `--out` the results
go to another folder and the page is left alone: a trial.
"""

import argparse
import fcntl
import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench import cluster, cold_start, embeddings, gateway, runtime_tokens, store, vllm_layer
from bench.machine import describe_machine, load_average
from bench.report import render_result, replace_between_markers
from bench.result import Result, from_json, to_json
from bench.rounds import MINIMUM_PAIRS, Effort

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "bench/results"
PAGE = REPOSITORY / "docs/performance.md"

# Name, what measures it, and the longest that it may take: together they bound `make bench` to 40 minutes.
BENCHES: Mapping[str, tuple[Callable[[Effort], Result], float]] = {
    "runtime-tokens": (runtime_tokens.run, 520.0),
    "embeddings": (embeddings.run, 180.0),
    "cold-start": (cold_start.run, 120.0),
    "gateway": (gateway.run, 540.0),
    "store": (store.run, 620.0),
    "vllm-layer": (vllm_layer.run, 380.0),
    "cluster": (cluster.run, 60.0),
}

# One at a time on a machine: the engines' threads spin, so two measurements at once make both a hundred times slower.
LOCK = Path("/var/tmp/berth-bench.lock")


def main() -> int:
    arguments = _parse_arguments()
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    with _alone():
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    out: Path = arguments.out or RESULTS
    out.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or BENCHES:
        measure, limit_seconds = BENCHES[name]
        run = {"taken": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), **describe_machine()}
        run["load average before"] = load_average()
        result = measure(Effort(pairs=arguments.pairs, limit_seconds=limit_seconds))
        run["load average after"] = load_average()
        document = {"run": run, **to_json(result)}
        # What a program said when it did not start may name its path, which is nobody else's business.
        (out / f"{name}.json").write_text(json.dumps(document, indent=1).replace(f"{REPOSITORY}/", "") + "\n")
        print(f"\n{name}\n\n{render_result(result, run)}\n")
    if arguments.out is None:
        PAGE.write_text(draw(PAGE.read_text(), RESULTS))
    return 0


@contextmanager
def _alone() -> Iterator[None]:
    with LOCK.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another `python -m bench` runs on this machine: waiting for it to end", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def draw(page: str, results: Path) -> str:
    """The page with every result of the folder between its markers."""
    for path in sorted(results.glob("*.json")):
        document = json.loads(path.read_text())
        page = replace_between_markers(page, path.stem, render_result(from_json(document), document["run"]))
    return page


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which to run: {', '.join(BENCHES)} (all)")
    parser.add_argument(
        "--pairs", type=int, default=12, help=f"rounds of each (12; at least {MINIMUM_PAIRS} to publish)"
    )
    parser.add_argument("--out", type=Path, help="write the JSON there and leave docs/performance.md alone")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in BENCHES]
    if unknown:
        parser.error(f"no measurement is called {unknown[0]}; there are {', '.join(BENCHES)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
