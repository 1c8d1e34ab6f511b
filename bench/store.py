"""Pulling an artifact from a registry: Berth beside oras-py, huggingface_hub, and curl with sha256sum.

**Compared.** `berth pull` into an empty store, from the start of the command to its end, beside three others that
fetch the same files from the same registry on loopback: oras-py's `pull`, huggingface_hub's `snapshot_download` (a
small front speaks the hub's API and sends each download on to the registry, as the hub does to its CDN), and `curl`
followed by `sha256sum`. One file of 2 GiB, and 500 of 64 KiB. Then through a line of 50 ms round trip with a limit for
each connection, beside one stream of `curl`.

**Why it is fair.** The same bytes from the same program; each side begins with nothing on disk and ends with every
file there; turns alternate. Between them, untimed, what was fetched is deleted and memory for the next one's files is
claimed. Ours verifies every digest, flushes to the disk and can be killed at any moment. curl with sha256sum verifies
too; oras-py does not, so it runs twice: as it is, and with sha256sum after it. No peer flushes, and huggingface_hub
does not hash what it fetches.

**What it can't show.** A registry far away with losses on the line, or a disk slower than this one's cache.
"""

import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.artifacts import Published, publish
from bench.command import module, run_command
from bench.machine import back_with_memory, package_versions, program_version
from bench.process import Program, free_port
from bench.registry import find_registry, registry_command
from bench.result import Better, Fact, Figure, NotRun, Result, Round, Sample, fact, figure
from bench.rounds import Effort, run_rounds

GIB, MIB, KIB = 1 << 30, 1 << 20, 1 << 10
LARGE = {"model.safetensors": 2 * GIB}
SMALL = {f"parts/{index:03d}.safetensors": 64 * KIB for index in range(500)}
FAR = {"model.safetensors": 192 * MIB}
MEMORY_OF_A_SIDE = 512 * MIB
ROUND_TRIP_MILLISECONDS = 50
LINE_BYTES_PER_SECOND = 16_000_000

OURS, ORAS, HUB, CURL = "berth pull", "oras-py", "huggingface_hub", "curl and sha256sum"
ORAS_VERIFIED = "oras-py and sha256sum"
ONE_STREAM = "curl, one stream"
AIMS: Mapping[str, float] = {ORAS: 1 / 3, ORAS_VERIFIED: 1 / 3, HUB: 1.0, CURL: 1.0}
FAR_AIM = 1 / 4


def run(effort: Effort) -> Result:
    """Publish the artifacts, then pull each in turns."""
    registry = find_registry()
    if registry is None:
        why = "no registry was found (run `make tools`, or install the package docker-registry)"
        return Result(bench="store", not_run=(NotRun(name="pulls", why=why),))
    with ExitStack() as programs:
        folder = Path(programs.enter_context(tempfile.TemporaryDirectory(prefix="berth-bench-")))
        port = _start_registry(programs, registry, folder)
        large = publish(port, "bench/large", LARGE, folder)
        small = publish(port, "bench/small", SMALL, folder)
        far = publish(port, "bench/far", FAR, folder).by_way_of(_start_line(programs, port, folder))
        near_rounds = {
            "one file of 2 GiB": run_rounds(_sides(programs, large, folder), effort.part(0.56), label="large"),
            "500 files of 64 KiB": run_rounds(_sides(programs, small, folder), effort.part(0.19), label="small"),
        }
        far_sides = {OURS: partial(_ours, far, folder), ONE_STREAM: partial(_curl, far, folder)}
        far_rounds = run_rounds(far_sides, effort.part(0.25), label="far")
    return Result(
        bench="store",
        figures=(*_near_figures(near_rounds), _far_figure(far_rounds)),
        facts=_facts(near_rounds),
        settings={
            "registry": "distribution, on loopback, one process",
            "line": f"{ROUND_TRIP_MILLISECONDS} ms round trip, {LINE_BYTES_PER_SECOND / 1e6:g} MB/s a connection",
            "connections of ours": "8",
        },
        versions={
            **package_versions(["berth", "oras", "huggingface_hub", "aiohttp"]),
            "curl": program_version("curl", "--version"),
        },
    )


def _start_registry(programs: ExitStack, registry: Path, folder: Path) -> int:
    port = free_port()
    command = registry_command(registry, folder, port)
    program = programs.enter_context(Program(command, log=folder / "registry.log"))
    program.wait_until_answers(port, "/v2/")
    return port


def _start_line(programs: ExitStack, port: int, folder: Path) -> int:
    near = free_port()
    command = module(
        "bench.slow_line",
        *("--port", str(near), "--to", str(port)),
        *("--round-trip-milliseconds", str(ROUND_TRIP_MILLISECONDS)),
        *("--bytes-per-second", str(LINE_BYTES_PER_SECOND)),
    )
    programs.enter_context(Program(command, log=folder / "line.log")).wait_until_answers(near, "/v2/")
    return near


def _sides(programs: ExitStack, artifact: Published, folder: Path) -> dict[str, Callable[[], Sample]]:
    front = _start_front(programs, artifact, folder)
    sides: dict[str, Callable[[], Sample]] = {
        OURS: partial(_ours, artifact, folder),
        ORAS: partial(_oras, artifact, folder),
        ORAS_VERIFIED: partial(_oras_verified, artifact, folder),
        HUB: partial(_hub, front, folder),
        CURL: partial(_curl, artifact, folder),
    }
    return {name: partial(_with_memory, artifact, side) for name, side in sides.items()}


def _with_memory(artifact: Published, side: Callable[[], Sample]) -> Sample:
    """No side waits for the memory that it and its files need; which one would have to is chance."""
    back_with_memory(artifact.size_bytes + MEMORY_OF_A_SIDE)
    return side()


def _start_front(programs: ExitStack, artifact: Published, folder: Path) -> str:
    port = free_port()
    name = artifact.repository.replace("/", "-")
    listing = folder / f"{name}.json"
    blobs = {blob.path: (artifact.url(blob), blob.digest.partition(":")[2], blob.size) for blob in artifact.blobs}
    listing.write_text(json.dumps(blobs))
    command = module("bench.peers.hub", "serve", "--port", str(port), "--listing", str(listing))
    program = programs.enter_context(Program(command, log=folder / f"{name}-front.log"))
    program.wait_until_answers(port, "/api/models/bench/model/revision/main")
    return f"http://127.0.0.1:{port}"


def _ours(artifact: Published, folder: Path) -> Sample:
    command = module("berth_cli", "pull", artifact.reference)
    return _timed(command, folder, lambda home: {"BERTH_HOME": str(home)})


def _oras(artifact: Published, folder: Path) -> Sample:
    return _timed(module("bench.peers.oras_pull", artifact.reference), folder, into=True)


def _oras_verified(artifact: Published, folder: Path) -> Sample:
    """The same, then one `sha256sum` that checks all files."""
    fetch = shlex.join(module("bench.peers.oras_pull", artifact.reference))
    return _timed(_and_verify(f'{fetch} "$0"', artifact, folder), folder, into=True)


def _hub(endpoint: str, folder: Path) -> Sample:
    command = module("bench.peers.hub", "pull", "--endpoint", endpoint, "--into")
    quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1"}
    return _timed(command, folder, lambda home: {**quiet, "HF_HOME": str(home)}, into=True)


def _curl(artifact: Published, folder: Path) -> Sample:
    """One `curl` for all files, which keeps its connection, then one `sha256sum` that checks them all."""
    config = folder / "curl.txt"
    config.write_text("".join(f'url = "{artifact.url(blob)}"\noutput = "{blob.path}"\n' for blob in artifact.blobs))
    fetch = f'curl --silent --show-error --fail --create-dirs --output-dir "$0" --config {config}'
    return _timed(_and_verify(fetch, artifact, folder), folder, into=True)


def _and_verify(fetch: str, artifact: Published, folder: Path) -> tuple[str, ...]:
    """A command that fetches into the folder that is its last word (`$0` in `fetch`), and compares every digest."""
    sums = folder / "sums.txt"
    sums.write_text("".join(f"{blob.digest.partition(':')[2]}  {blob.path}\n" for blob in artifact.blobs))
    return ("sh", "-c", f'{fetch} && cd "$0" && sha256sum --quiet --check {sums}')


def _timed(
    command: tuple[str, ...],
    folder: Path,
    environment: Callable[[Path], Mapping[str, str]] | None = None,
    *,
    into: bool = False,
) -> Sample:
    """Run it with an empty folder, which is deleted afterwards; `into` adds the folder as the last word."""
    home = folder / "fetched"
    home.mkdir()
    try:
        words = (*command, str(home)) if into else command
        return run_command(words, log=folder / "command.log", environment=environment(home) if environment else None)
    finally:
        shutil.rmtree(home)
        os.sync()  # the next side shall not pay for what this one left to be written


def _near_figures(rounds: Mapping[str, tuple[Round, ...]]) -> tuple[Figure, ...]:
    return tuple(
        figure(each, name=name, metric="seconds", unit="s", ours=OURS, peer=peer, better=Better.LOWER, aim=aim)
        for name, each in rounds.items()
        for peer, aim in AIMS.items()
    )


def _far_figure(rounds: tuple[Round, ...]) -> Figure:
    name = f"{FAR['model.safetensors'] // MIB} MiB over the line"
    return figure(
        rounds, name=name, metric="seconds", unit="s", ours=OURS, peer=ONE_STREAM, better=Better.LOWER, aim=FAR_AIM
    )


def _facts(rounds: Mapping[str, tuple[Round, ...]]) -> tuple[Fact, ...]:
    return tuple(
        fact(each, name=f"{name}, most memory of {side}", metric="resident_mebibytes", side=side, unit="MiB")
        for name, each in rounds.items()
        for side in (OURS, *AIMS)
    )
