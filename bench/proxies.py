"""Start the proxies of the gateway measurement, each on the same core, before one upstream on the other."""

import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.machine import cores
from bench.peers import berth_gateway, nginx, vllm_router
from bench.process import Program, free_port

OURS, NGINX, DIRECT = "berth_gateway", "nginx", "upstream alone"
ROUTER_POLICIES: Mapping[str, str | None] = {"vllm-router": None, "vllm-router, cheapest policy": "round_robin"}
MODEL = "smollm2"


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A started proxy (or the upstream itself) and where it listens."""

    program: Program
    port: int


def find_router() -> Path | None:
    """vllm-router of this environment, or the one in PATH."""
    found = shutil.which("vllm-router", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    return Path(found) if found else None


class Stage:
    """Where everything of one measurement runs; what it starts ends with `programs`."""

    def __init__(self, programs: ExitStack, folder: Path, answer: str) -> None:
        self._programs = programs
        self._folder = folder
        self._answer = answer
        self._upstream_port = free_port()

    def start(self) -> dict[str, Proxy]:
        """The upstream and every proxy that this machine has, by side."""
        upstream = self._start_upstream()
        proxies = {OURS: self._start_ours(), NGINX: self._start_nginx()}
        router = find_router()
        if router is not None:
            proxies |= {side: self._start_router(router, policy) for side, policy in ROUTER_POLICIES.items()}
        return {**proxies, DIRECT: upstream}

    def _start_upstream(self) -> Proxy:
        folder, port = self._place("upstream"), self._upstream_port
        configuration = nginx.upstream_configuration(folder=folder, port=port, answer=self._answer)
        return self._run(nginx.command(_nginx(), configuration, folder), port, core=1)

    def _start_nginx(self) -> Proxy:
        folder, port = self._place("nginx"), free_port()
        configuration = nginx.proxy_configuration(folder=folder, port=port, upstream_port=self._upstream_port)
        return self._run(nginx.command(_nginx(), configuration, folder), port)

    def _start_ours(self) -> Proxy:
        port = free_port()
        settings = berth_gateway.Settings(
            run_dir=str(self._place("ours")), port=port, upstream_port=self._upstream_port, model=MODEL
        )
        command = (sys.executable, "-m", "bench.peers.berth_gateway", settings.as_argument())
        return self._run(command, port, path="/v1/models")

    def _start_router(self, router: Path, policy: str | None) -> Proxy:
        port, metrics_port = free_port(), free_port()
        command = vllm_router.command(
            router, port=port, metrics_port=metrics_port, upstream_port=self._upstream_port, policy=policy
        )
        return self._run(command, port, environment=vllm_router.ENVIRONMENT)

    def _run(
        self,
        command: tuple[str, ...],
        port: int,
        *,
        core: int = 0,
        path: str = "/health",
        environment: Mapping[str, str] | None = None,
    ) -> Proxy:
        log = self._folder / f"{port}.log"
        program = Program(command, log=log, pinned_to=[cores()[core]], environment=environment)
        self._programs.enter_context(program).wait_until_answers(port, path)
        return Proxy(program=program, port=port)

    def _place(self, name: str) -> Path:
        place = self._folder / name
        place.mkdir()
        return place


def _nginx() -> Path:
    return Path(shutil.which("nginx") or "nginx")
