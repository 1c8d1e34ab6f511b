"""From `kubectl apply` to Ready, stage by stage, beside the bare load time of the same runtime; and what Models cost.

**Compared.** The quick start's Models on a real cluster, timed by the scenarios of `make e2e` (the wall clock of
`kubectl wait`, and the stages that the Model's status tells), beside `python -m berth_runtime` with the same weights on
this machine, from its start to its readiness, which proves an answer as it does in a pod.

**What it can't show.** The scenarios run on one node without a network between its parts, with images that are there
already after the first pod: pulling them over a network takes as long as the network does.
"""

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from e2e.support.measurements import recorded

from bench.machine import package_versions
from bench.models import minilm, smollm2, write_minilm_onnx
from bench.pairs import median
from bench.process import Program, free_port
from bench.result import Fact, NotRun, Result
from bench.rounds import Effort

LOADS = 3
# Reading the Lease and the pods, writing the children, the scheduler and the kubelet: all that is not the load itself.
AIM_SECONDS = 5.0


def run(effort: Effort) -> Result:
    """Read what the scenarios recorded, and load the same weights without a cluster."""
    known = recorded()
    if "ready_seconds" not in known:
        why = "no scenario recorded it: run `make e2e` first"
        return Result(bench="cluster", not_run=(NotRun(name="apply to Ready", why=why),))
    with tempfile.TemporaryDirectory(prefix="berth-bench-") as folder:
        loads = _bare_loads(Path(folder), min(effort.pairs, LOADS))
    return Result(
        bench="cluster",
        facts=(*build_start_facts(known, loads), *build_cost_facts(known)),
        settings={
            "cluster": "one node, Kubernetes 1.35, all on this machine",
            "aim": f"Ready within the load time + {AIM_SECONDS:g} s",
        },
        versions=package_versions(["berth", "xllamacpp", "onnxruntime"]),
    )


def build_start_facts(known: Mapping[str, Any], loads: Mapping[str, float]) -> Iterator[Fact]:
    """For each Model: apply to Ready, its stages, the bare load, and what is left when that is taken off."""
    for name, seconds in known["ready_seconds"].items():
        yield Fact(name=f"{name}, `kubectl apply` to Ready", value=seconds, unit="s")
        yield from _stages(name, known["stages_milliseconds"][name])
        if name in loads:
            yield Fact(name=f"{name}, bare load of the same runtime", value=loads[name], unit="s")
            yield Fact(name=f"{name}, apply to Ready beyond the bare load", value=seconds - loads[name], unit="s")
    if "warm_seconds" in known:
        name, seconds = "minilm once more, its images there", known["warm_seconds"]
        yield Fact(name=f"{name}, `kubectl apply` to Ready", value=seconds, unit="s")
        yield from _stages(name, known["warm_stages_milliseconds"])
        if "minilm" in loads:
            yield Fact(name=f"{name}, apply to Ready beyond the bare load", value=seconds - loads["minilm"], unit="s")


def _stages(name: str, milliseconds: Mapping[str, int]) -> Iterator[Fact]:
    for stage, took in milliseconds.items():
        yield Fact(name=f"{name}, stage {stage}", value=took / 1e3, unit="s")


def build_cost_facts(known: Mapping[str, Any]) -> Iterator[Fact]:
    """The operator's memory, and how long nobody led."""
    if "operator_resident_bytes" in known:
        name = f"resident memory of the operator with {known['operator_models']} Models"
        yield Fact(name=name, value=known["operator_resident_bytes"] / 2**20, unit="MiB")
    for key, name in (
        ("take_over_after_kill_seconds", "take-over after the leader was killed"),
        ("take_over_after_sigterm_seconds", "take-over after the leader was told to go"),
    ):
        if key in known:
            yield Fact(name=name, value=known[key], unit="s")


def _bare_loads(folder: Path, times: int) -> dict[str, float]:
    """Seconds from start to readiness for each Model whose weights are installed, medians."""
    gguf, source = smollm2(), minilm()
    weights = {"smollm2": gguf, "minilm": write_minilm_onnx(source, folder / "minilm") if source else None}
    return {
        name: median([_load_seconds(name, path, folder) for _ in range(times)])
        for name, path in weights.items()
        if path is not None
    }


def _load_seconds(name: str, weights: Path, folder: Path) -> float:
    port = free_port()
    command = (sys.executable, "-m", "berth_runtime", "--model", f"{name}={weights}", "--host", "127.0.0.1")
    started = time.monotonic()
    with Program((*command, "--port", str(port)), log=folder / f"{name}.log") as runtime:
        runtime.wait_until_answers(port, "/health/ready")
        return time.monotonic() - started
