"""A real registry (distribution) as a process on loopback, with the kinds of login that registries have.

    with running_registry(tmp_path) as registry:
        registry.reference("team/model:v1")

Tests that use it are marked `@pytest.mark.needs("registry")`.
"""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tools

from berth_store.reference import Reference

START_SECONDS = 15.0
STOP_SECONDS = 10.0
# htpasswd's line for the password `correct horse` (bcrypt, the least rounds that the registry takes).
USER, PASSWORD = "someone", "correct horse"
HTPASSWD = f"{USER}:$2b$04$i3LhakFTIEoDgIuUOsQ3/eHrYDmjjMYc1YDFzqQLRQy5Las4QdMJ2\n"


@dataclass(frozen=True)
class TokenAuth:
    """Where the registry sends clients for a token, and whose signature it believes."""

    realm: str
    service: str
    issuer: str
    jwks: Path


@dataclass(frozen=True)
class Certificate:
    """Files with a certificate chain and its key."""

    chain: Path
    key: Path


@dataclass(frozen=True)
class RunningRegistry:
    """The process and where it listens."""

    port: int
    root: Path
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def reference(self, name: str) -> Reference:
        return Reference.parse(f"{self.address}/{name}")

    def requests(self) -> list[dict[str, object]]:
        """The access log: one mapping for each request that was answered."""
        lines = self.log.read_text(errors="replace").splitlines()
        parsed = (json.loads(line) for line in lines if line.startswith("{"))
        return [line for line in parsed if "http.request.method" in line and "http.response.status" in line]


@contextmanager
def running_registry(
    folder: Path,
    *,
    htpasswd: bool = False,
    token: TokenAuth | None = None,
    certificate: Certificate | None = None,
) -> Iterator[RunningRegistry]:
    """Start a registry with its data in `folder`, wait until it answers, and stop it at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = folder / "config.json"
    config.write_text(json.dumps(_config(folder, port, htpasswd=htpasswd, token=token, certificate=certificate)))
    log = folder / "registry.log"
    program = tools.find("registry")
    assert program is not None, tools.why_missing("registry")
    environment = {"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none", "HOME": str(folder)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(program), "serve", str(config)], stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=folder
        )
    try:
        _wait_until_up(port, process, log)
        yield RunningRegistry(port, folder / "data", log, process)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _config(
    folder: Path, port: int, *, htpasswd: bool, token: TokenAuth | None, certificate: Certificate | None
) -> dict[str, object]:
    http: dict[str, object] = {"addr": f"127.0.0.1:{port}", "secret": "for tests only", "draintimeout": "1s"}
    if certificate is not None:
        http["tls"] = {"certificate": str(certificate.chain), "key": str(certificate.key)}
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "info", "formatter": "json", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": http,
    }
    if htpasswd:
        (folder / "htpasswd").write_text(HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
    if token is not None:
        config["auth"] = {
            "token": {
                "realm": token.realm,
                "service": token.service,
                "issuer": token.issuer,
                "jwks": str(token.jwks),
                "signingalgorithms": ["RS256"],
            }
        }
    return config


def _wait_until_up(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=1).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"the registry did not come up:\n{log.read_text(errors='replace')[-2000:]}")
