"""A real kube-apiserver with its etcd, as processes on loopback: what a cluster stores and checks, without a node.

    with running_api_server(tmp_path) as server:
        server.kubeconfig          # of an administrator
        server.credentials()       # the same, for berth_kube

No controller runs: nothing makes pods of a Deployment, and nothing collects garbage. Tests that use it are marked
`@pytest.mark.needs("kube")`.
"""

import base64
import contextlib
import json
import os
import random
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tools
import trustme
import yaml

from berth_kube.credentials import Credentials
from berth_kube.kubeconfig import read_kubeconfig

START_SECONDS = 90.0
STOP_SECONDS = 20.0
ADMINISTRATORS = "system:masters"
CRDS = tools.REPOSITORY / "crds"


@dataclass
class ApiServer:
    """The two processes. `stop_api` and `start_api` play an outage; etcd keeps what it has."""

    folder: Path
    port: int
    etcd_port: int
    authority: trustme.CA
    extra_arguments: tuple[str, ...] = ()
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """Of somebody who may do everything."""
        return self.kubeconfig_of("admin", ADMINISTRATORS)

    def kubeconfig_of(self, user: str, *groups: str) -> Path:
        """Of a user with a certificate: `system:serviceaccount:NS:NAME` has the rights of that service account."""
        folder = self.folder / "users" / user.replace(":", "_")
        file = folder / "kubeconfig"
        if not file.exists():
            folder.mkdir(parents=True)
            _write_certificate(self.authority, folder, user, groups)
            file.write_text(json.dumps(_kubeconfig(self.url, self.folder / "ca.pem", folder)))
        return file

    def credentials(self) -> Credentials:
        """The administrator's, as `berth_kube.client.connect` takes them."""
        file = self.kubeconfig
        return Credentials(lambda: read_kubeconfig((file,)))

    def start_etcd(self) -> None:
        peer = f"http://127.0.0.1:{free_port()}"
        client = f"http://127.0.0.1:{self.etcd_port}"
        self._start(
            "etcd",
            *("--data-dir", str(self.folder / "etcd"), "--unsafe-no-fsync", "--log-level", "warn"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *(
                "--listen-peer-urls",
                peer,
                "--initial-advertise-peer-urls",
                peer,
                "--initial-cluster",
                f"default={peer}",
            ),
        )
        self._wait("etcd", lambda: self.ask_etcd("maintenance/status"))

    def start_api(self) -> None:
        """Start kube-apiserver, and return when it is ready."""
        folder = self.folder
        self._start(
            "kube-apiserver",
            *("--etcd-servers", f"http://127.0.0.1:{self.etcd_port}"),
            *("--bind-address", "127.0.0.1", "--secure-port", str(self.port), "--advertise-address", "127.0.0.1"),
            *("--cert-dir", str(folder / "generated"), "--client-ca-file", str(folder / "ca.pem")),
            *("--tls-cert-file", str(folder / "server.pem"), "--tls-private-key-file", str(folder / "server.key")),
            *("--service-account-issuer", "https://kubernetes.default.svc"),
            *("--service-account-key-file", str(folder / "server.key")),
            *("--service-account-signing-key-file", str(folder / "server.key")),
            *("--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.96.0.0/16", "--allow-privileged"),
            # Nobody makes the service accounts that this plugin would ask of every pod.
            *("--disable-admission-plugins", "ServiceAccount"),
            *self.extra_arguments,
        )
        self._wait("kube-apiserver", lambda: self.ask("/readyz"))

    def stop_api(self, *, hard: bool = False) -> None:
        """Stop kube-apiserver, or kill it."""
        self._stop("kube-apiserver", hard=hard)

    def lose_everything(self) -> None:
        """Restart both with nothing stored, so that versions begin anew."""
        self.stop()
        shutil.rmtree(self.folder / "etcd")
        self.start_etcd()
        self.start_api()

    def stop(self) -> None:
        """Stop both."""
        self._stop("kube-apiserver", hard=True)
        self._stop("etcd", hard=True)

    def ask(
        self, path: str, *, method: str = "GET", body: object = None, content_type: str = "application/json"
    ) -> Any:
        """One request of the administrator, for setting a scene: the JSON, or the text, of the answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": content_type}, method=method)
        with urllib.request.urlopen(request, timeout=30, context=self._tls()) as response:
            answer = response.read()
        return json.loads(answer) if answer.startswith(b"{") else answer.decode()

    def ask_etcd(self, path: str, **body: object) -> Any:
        """One request to etcd's gateway for JSON: `kv/compaction`, `kv/deleterange`. Texts for keys come as bytes."""
        coded = {name: base64.b64encode(v).decode() if isinstance(v, bytes) else v for name, v in body.items()}
        url = f"http://127.0.0.1:{self.etcd_port}/v3/{path}"
        with urllib.request.urlopen(url, json.dumps(coded).encode(), timeout=10) as response:
            return json.loads(response.read())

    def compact(self) -> None:
        """Forget all of history: every version that somebody still watches from is too old."""
        revision = self.ask_etcd("maintenance/status")["header"]["revision"]
        self.ask_etcd("kv/compaction", revision=revision, physical=True)

    def log(self, program: str) -> str:
        """The end of what `etcd` or `kube-apiserver` wrote."""
        return (self.folder / f"{program}.log").read_text(errors="replace")[-4000:]

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        user = self.kubeconfig.parent
        context.load_cert_chain(user / "client.pem", user / "client.key")
        return context

    def _start(self, program: str, *arguments: str) -> None:
        binary = tools.find("kube")
        assert binary is not None, tools.why_missing("kube")
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        with (self.folder / f"{program}.log").open("ab") as log:
            self._processes[program] = subprocess.Popen(
                [str(binary.with_name(program)), *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self.folder,
            )

    def _wait(self, program: str, ask: Callable[[], object]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._processes[program].poll() is None:
            with contextlib.suppress(OSError):
                ask()
                return
            time.sleep(0.05)
        raise AssertionError(f"{program} did not come up:\n{self.log(program)}")

    def _stop(self, program: str, *, hard: bool) -> None:
        process = self._processes.pop(program, None)
        if process is None:
            return
        process.kill() if hard else process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running_api_server(
    folder: Path, *, crds: Sequence[Path] = (), arguments: Sequence[str] = ()
) -> Iterator[ApiServer]:
    """Start both with their data in `folder`, install the kinds of `crds` (files or folders), stop them at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1", "localhost", "kubernetes.default.svc")
    certificate.private_key_pem.write_to_path(folder / "server.key")
    _write_chain(certificate, folder / "server.pem")
    server = ApiServer(folder, free_port(), free_port(), authority, tuple(arguments))
    try:
        server.start_etcd()
        server.start_api()
        install_crds(server, crds)
        yield server
    finally:
        server.stop()


def install_crds(server: ApiServer, crds: Sequence[Path]) -> None:
    """Install kinds, and return when they are served."""
    files = [file for path in crds for file in (sorted(path.glob("*.yaml")) if path.is_dir() else [path])]
    for document in (yaml.safe_load(file.read_text()) for file in files):
        server.ask("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", method="POST", body=document)
    for document in (yaml.safe_load(file.read_text()) for file in files):
        _wait_until_served(server, document)


def free_port() -> int:
    """A port of loopback that nobody listens on, out of those that the system never gives to whoever asks for any."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _wait_until_served(server: ApiServer, document: Mapping[str, Any]) -> None:
    spec = document["spec"]
    path = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.HTTPError):
            server.ask(path)
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} is not served")


def _write_certificate(authority: trustme.CA, folder: Path, user: str, groups: Sequence[str]) -> None:
    """A certificate names one organization here; Kubernetes reads it as the user's group."""
    (group,) = groups or (None,)
    certificate = authority.issue_cert("user.invalid", common_name=user, organization_name=group)
    certificate.private_key_pem.write_to_path(folder / "client.key")
    _write_chain(certificate, folder / "client.pem")


def _write_chain(certificate: trustme.LeafCert, file: Path) -> None:
    file.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))


def _kubeconfig(url: str, authority: Path, folder: Path) -> Mapping[str, Any]:
    user = {"client-certificate": str(folder / "client.pem"), "client-key": str(folder / "client.key")}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(authority)}}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
