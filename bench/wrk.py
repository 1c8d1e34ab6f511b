"""The load generator of the gateway measurement: wrk, one thread, keep-alive connections, one fixed POST."""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.load import BadAnswer

# On crowded cores an answer may wait for seconds; that is slow, not lost.
LONGEST_SECONDS = 30
SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one run of wrk found; latencies are of complete exchanges."""

    requests: int
    seconds: float
    p50_milliseconds: float
    p99_milliseconds: float


def run_wrk(program: Path, *, url: str, body: str, connections: int, seconds: int, pinned_to: Sequence[int]) -> Load:
    """Send `body` to `url` as fast as the answers come; raises `BadAnswer` if a single request failed."""
    done = subprocess.run(
        [
            *("taskset", "-c", ",".join(map(str, pinned_to)), str(program)),
            *("-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={LONGEST_SECONDS}s", "-s", str(SCRIPT), url),
        ],
        env={**os.environ, "BENCH_BODY": body},
        capture_output=True,
        text=True,
        timeout=seconds + 2 * LONGEST_SECONDS,
        check=False,
    )
    return parse_load(done.stdout + done.stderr)


def parse_load(output: str) -> Load:
    """The line that wrk.lua writes last."""
    marked = [line for line in output.splitlines() if line.startswith("BENCH ")]
    if not marked:
        raise BadAnswer(f"wrk gave no result: {output[-500:]!r}")
    found = json.loads(marked[-1].removeprefix("BENCH "))
    failures = {kind: count for kind, count in found["failures"].items() if count}
    if failures or not found["requests"]:
        raise BadAnswer(f"{failures} of {found['requests']} requests failed")
    return Load(
        requests=found["requests"],
        seconds=found["microseconds"] / 1e6,
        p50_milliseconds=found["p50_us"] / 1e3,
        p99_milliseconds=found["p99_us"] / 1e3,
    )
