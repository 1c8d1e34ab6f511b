"""A real vLLM behind Berth's supervisor, as a process of its own: `make nightly` brings what it needs."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx2
import tools

READY_SECONDS = 900.0
DEADLINE_SECONDS = 60.0


def source_path() -> str:
    """Where Berth's code is, for a Python that it is not installed in."""
    return os.pathsep.join(str(tools.REPOSITORY / room) for room in ("api", "store", "runtime"))


def python() -> Path:
    """The Python with vLLM."""
    found = tools.find("vllm")
    assert found is not None
    return found


@dataclass
class VllmServer:
    """The supervisor and what it says."""

    process: subprocess.Popen[str]
    base_url: str
    said: list[str] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)

    def get(self, path: str) -> httpx2.Response:
        """A GET; raises where nobody listens."""
        return httpx2.get(self.base_url + path, timeout=DEADLINE_SECONDS)

    def wait_ready(self) -> float:
        """Until it is ready; how many seconds that took. Keeps each answer of the probe in `seen`, 0 for none."""
        started = time.monotonic()
        while time.monotonic() - started < READY_SECONDS:
            assert self.process.poll() is None, "".join(self.said[-60:])
            try:
                self.seen.append(self.get("/health/ready").status_code)
            except httpx2.TransportError:
                self.seen.append(0)
            if self.seen[-1] == 200:
                return time.monotonic() - started
            time.sleep(0.2)
        raise AssertionError("it did not become ready: " + "".join(self.said[-60:]))

    def terminate(self) -> float:
        """SIGTERM; the moment of it."""
        self.process.send_signal(signal.SIGTERM)
        return time.monotonic()

    def children(self) -> dict[int, str]:
        """All processes below it, with their command lines."""
        found: dict[int, str] = {}
        waiting = [self.process.pid]
        while waiting:
            parent = waiting.pop()
            for task in Path(f"/proc/{parent}/task").glob("*/children"):
                for child in task.read_text().split():
                    found[int(child)] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                    waiting.append(int(child))
        return found


@contextmanager
def a_vllm(
    weights: Path,
    home: Path,
    *words: str,
    name: str = "smollm2",
    environ: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[VllmServer]:
    """Start it on a free port, with `environ` besides; killed in the end if it still lives."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [*(str(python()), "-m", "berth_runtime", "--engine", "VLLM", "--model", f"{name}={weights}")]
    command += ["--host", "127.0.0.1", "--port", str(port), *words]
    environment = {
        **os.environ,
        "PYTHONPATH": source_path(),
        "HOME": str(home),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        **environ,
    }
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    server = VllmServer(process, f"http://127.0.0.1:{port}")
    reader = threading.Thread(target=_read, args=(server,), daemon=True)
    reader.start()
    try:
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join(5)
        if process.stderr is not None:
            process.stderr.close()


def read_stream(server: VllmServer, into: dict[str, Any], **body: Any) -> threading.Thread:
    """Read a stream beside; what came, and whether it ended as a body should."""

    def read() -> None:
        into["text"] = ""
        try:
            with httpx2.stream("POST", f"{server.base_url}/v1/chat/completions", json=body, timeout=120) as response:
                into["status"] = response.status_code
                for piece in response.iter_text():
                    into["text"] += piece
            into["ended"] = True
        except httpx2.RemoteProtocolError:
            into["ended"] = False
        into["at"] = time.monotonic()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def eventually(is_so: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> float:
    """Wait until it is so; how long that took."""
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() - started < seconds, "it did not become so"
        time.sleep(0.05)
    return time.monotonic() - started


def _read(server: VllmServer) -> None:
    assert server.process.stderr is not None
    for line in server.process.stderr:
        server.said.append(line)
